//! A daemon starts while commands hold the repository: it is ready before they end, and they end as if nothing had happened.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ChildStdin;

use cidra_tests::program::LIMIT;
use cidra_tests::suite::MIB;
use cidra_tests::{Relay, Repository, Running, Suite, sample};

const PART: usize = 3 << 20;

#[test]
fn what_was_acknowledged_after_the_handover_survives_the_daemons_kill() {
    let repository = Repository::new();
    let mut slow = Slow::start(&repository, 1);

    let daemon = repository.daemon(&[]);
    assert!(slow.is_running(), "the daemon was ready before the add ended");
    slow.write(2);
    let (cid, stderr) = slow.end();

    assert_eq!(stderr, "", "the daemon serves it");
    assert!(repository.cidra(["get", &cid, "-o", "out"]).run().success().stderr.is_empty());
    assert!(std::fs::read(repository.file("out")).unwrap() == content(&[1, 2]));
    daemon.kill();
    assert!(repository.cidra(["--offline", "cat", &cid]).run().success().stdout == content(&[1, 2]));
    let pins = repository.cidra(["--offline", "pin", "ls", "-q"]).run().success();
    assert!(pins.lines().contains(&cid.as_str()), "it is pinned");
}

#[test]
fn the_guests_of_a_command_survive_its_handover() {
    let repository = Repository::new();
    let mut host = Slow::start(&repository, 1);
    let mut guest = Slow::start(&repository, 3);

    let daemon = repository.daemon(&[]);
    let mut late = Slow::start(&repository, 5);
    guest.write(4);
    host.write(2);
    late.write(6);
    // A host stays until its guests are done.
    let [late, guest, host] = [late, guest, host].map(|slow| slow.end().0);
    daemon.kill();

    for (cid, parts) in [(host, [1, 2]), (guest, [3, 4]), (late, [5, 6])] {
        assert!(repository.cidra(["--offline", "cat", &cid]).run().success().stdout == content(&parts), "{parts:?}");
    }
}

#[test]
fn a_get_goes_on_when_a_daemon_starts_on_its_repository() {
    let size = Suite::chosen().of(48, 256, 1024) * MIB;
    let holder = Repository::new();
    let file = holder.file("file");
    sample::file(&file, size, 1);
    let at_holder = holder.daemon(&[]);
    let cid = holder.add(&file);
    let relay = Relay::before(&at_holder);
    let getter = Repository::new();
    let nobody = ["--bootstrap", "none", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];
    let get = getter.cidra(["get", &cid, "-o", "out"]).args(nobody).args(["--peer", relay.address()]).limit(LIMIT * 2);

    let get = get.start();
    relay.wait_for(size / 8, LIMIT);
    let daemon = getter.daemon(&[]);
    get.finish().success();

    sample::assert_same(&file, &getter.file("out"));
    daemon.stop();
    let out = getter.file("again");
    getter.cidra(["--offline", "cat", &cid]).output_to(&out).run().success();
    sample::assert_same(&file, &out);
}

#[test]
fn a_second_daemon_is_refused_before_and_after_a_handover() {
    let repository = Repository::new();
    let mut slow = Slow::start(&repository, 1);
    let daemon = repository.daemon(&[]);

    let second = repository.cidra(["daemon", "--bootstrap", "none", "--no-mdns"]).run().exits(1);

    assert!(second.stderr.contains("a daemon runs on"), "{}", second.stderr);
    slow.write(2);
    slow.end();
    repository.cidra(["daemon", "--bootstrap", "none", "--no-mdns"]).run().exits(1);
    daemon.stop();
}

#[test]
fn a_command_whose_new_holder_stops_says_so_and_what_was_acknowledged_is_there() {
    let repository = Repository::new();
    let small = repository.file("small");
    sample::file(&small, 100, 1);
    let mut slow = Slow::start(&repository, 1);
    let daemon = repository.daemon(&[]);
    let cid = repository.add(&small);

    daemon.stop();
    // Its pipe is closed when it ends.
    let _ = slow.input.as_mut().expect("not ended").write_all(&content(&[2]));
    let failed = slow.finish().exits(1);

    assert!(failed.stderr.contains("went away"), "{}", failed.stderr);
    assert!(repository.cidra(["--offline", "cat", &cid]).run().success().stdout.len() == 100);
}

#[test]
fn a_command_goes_on_though_the_daemon_that_asked_it_does_not_start() {
    let repository = Repository::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of this host");
    let port = taken.local_addr().expect("it listens").port();
    let mut slow = Slow::start(&repository, 1);

    let api = format!("/ip4/127.0.0.1/tcp/{port}");
    let failed = repository.cidra(["daemon", "--bootstrap", "none", "--no-mdns", "--api-listen", &api]).run().exits(1);
    assert!(failed.stderr.contains("--api-listen"), "{}", failed.stderr);
    slow.write(2);
    let (cid, _) = slow.end();

    assert!(repository.cidra(["--offline", "cat", &cid]).run().success().stdout == content(&[1, 2]));
}

/// An `add` of standard input that gets it part by part.
struct Slow {
    running: Running,
    input: Option<ChildStdin>,
}

impl Slow {
    /// One that has begun, and got its first part.
    fn start(repository: &Repository, number: u8) -> Slow {
        let mut running = repository.cidra(["add", "-Q", "-"]).open_input().start();
        let mut slow = Slow { input: Some(running.stdin()), running };
        // More than a pipe holds: when it is written, the command reads.
        slow.write(number);
        slow
    }

    fn write(&mut self, number: u8) {
        let input = self.input.as_mut().expect("not ended");
        input.write_all(&content(&[number])).expect("it reads on");
    }

    fn is_running(&self) -> bool {
        !self.running.wait_for_end(std::time::Duration::ZERO)
    }

    /// Ends its input; its CID, and what it says to people.
    fn end(mut self) -> (String, String) {
        self.input = None;
        let finished = self.running.finish().success();
        (finished.text().to_owned(), finished.stderr.clone())
    }

    fn finish(self) -> cidra_tests::Finished {
        drop(self.input);
        self.running.finish()
    }
}

fn content(parts: &[u8]) -> Vec<u8> {
    parts.iter().flat_map(|part| std::iter::repeat_n(*part, PART)).collect()
}
