//! Commands side by side on one repository, with and without a daemon: neither waits for the other to end, nothing is lost.

use std::io::Write;

use cidra_tests::program::LIMIT;
use cidra_tests::suite::MIB;
use cidra_tests::{Daemon, Repository, Suite, sample};

#[test]
fn adds_at_the_same_time_without_a_daemon_lose_nothing() {
    adds_side_by_side(&Repository::new());
}

#[test]
fn adds_at_the_same_time_through_a_daemon_lose_nothing() {
    let repository = Repository::new();
    let daemon = repository.daemon(&[]);
    adds_side_by_side(&repository);
    daemon.stop();
}

fn adds_side_by_side(repository: &Repository) {
    let count = Suite::chosen().of(6, 12, 24);
    let files: Vec<_> = (0..count).map(|number| repository.file(&format!("file {number}"))).collect();
    for (number, file) in files.iter().enumerate() {
        sample::file(file, 2 * MIB + number as u64, number as u64);
    }

    let adds: Vec<_> = files.iter().map(|file| repository.cidra(["add", "-Q"]).arg(file).start()).collect();
    let cids: Vec<String> = adds.into_iter().map(|add| add.finish().success().text().to_owned()).collect();

    let pinned = repository.cidra(["pin", "ls", "--type", "recursive", "-q"]).run().success();
    for (file, cid) in files.iter().zip(&cids) {
        assert!(pinned.lines().contains(&cid.as_str()), "{cid} is not pinned");
        let out = repository.file("out");
        repository.cidra(["--offline", "cat", cid]).output_to(&out).run().success();
        sample::assert_same(file, &out);
    }
}

#[test]
fn a_command_does_not_wait_for_another_that_holds_the_repository() {
    let repository = Repository::new();
    let small = repository.file("small");
    sample::file(&small, 100, 1);

    let mut slow = repository.cidra(["add", "-Q", "-"]).open_input().start();
    let mut input = slow.stdin();
    input.write_all(&[7; 3 << 20]).expect("it reads");
    let cid = repository.add(&small);
    repository.cidra(["--offline", "cat", &cid]).run().success();
    input.write_all(&[8; 3 << 20]).expect("it reads on");
    drop(input);

    let slow = slow.finish().success();
    let stored = repository.cidra(["--offline", "cat", slow.text()]).run().success().stdout;
    assert!(stored == [vec![7; 3 << 20], vec![8; 3 << 20]].concat());
}

#[test]
fn a_daemon_that_starts_beside_a_command_loses_nothing() {
    let repository = Repository::new();
    let mut slow = repository.cidra(["add", "-Q", "-"]).open_input().start();
    let mut input = slow.stdin();
    input.write_all(&[7; 3 << 20]).expect("it reads");

    let daemon = repository.daemon_call(&[], &["--listen", "/ip4/127.0.0.1/tcp/0"]).start();
    input.write_all(&[8; 3 << 20]).expect("it reads on");
    drop(input);

    let slow = slow.finish().success();
    let daemon = Daemon::ready(daemon, "Daemon is ready");
    repository.cidra(["health"]).run().success();
    let stored = repository.cidra(["cat", slow.text()]).run().success().stdout;
    assert!(stored == [vec![7; 3 << 20], vec![8; 3 << 20]].concat());
    daemon.stop();
}

#[test]
fn commands_go_on_without_the_daemon_and_say_that_nobody_serves() {
    let repository = Repository::new();
    let daemon = repository.daemon(&[]);
    repository.cidra(["shutdown"]).run().success();
    daemon.ended();

    repository.cidra(["health"]).run().exits(1);
    repository.cidra(["swarm", "peers"]).run().exits(1);
    let file = repository.file("file");
    sample::file(&file, MIB, 1);
    let added = repository.cidra(["add", "-Q"]).arg(&file).limit(LIMIT).run().success();
    assert!(!added.stderr.is_empty(), "nobody serves it yet: this is said");
}
