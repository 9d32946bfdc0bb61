//! `add` killed with -9 at random moments: what was acknowledged is there, byte for byte, and the repository opens at once.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use cidra_tests::{Repository, Suite, sample};

#[test]
fn what_add_acknowledged_survives_kill_9() {
    let rounds = Suite::chosen().of(3, 40, 200);
    kill_adds(rounds, |repository, _| repository.cidra(["add", "--progress=false", "folder"]).start());
}

#[test]
fn what_a_daemon_acknowledged_survives_its_kill_9() {
    let rounds = Suite::chosen().of(2, 10, 50);
    kill_daemons(rounds);
}

const FILES: usize = 300;

fn kill_adds(rounds: u64, add: impl Fn(&Repository, u64) -> cidra_tests::Running) {
    let repository = Repository::new();
    let whole = undisturbed(&repository);
    for round in 0..rounds {
        sample::folder(&repository.file("folder"), FILES, round);
        let running = add(&repository, round);
        let moment = whole.mul_f64(SmallRng::seed_from_u64(round).random_range(0.05..1.1));
        running.wait_for_end(moment);
        let acknowledged = running.kill().stdout;
        check(&repository, &acknowledged, round);
        std::fs::remove_dir_all(repository.file("folder")).expect("the test's own folder");
    }
    repository.cidra(["--offline", "repo", "verify"]).run().success();
}

fn kill_daemons(rounds: u64) {
    let repository = Repository::new();
    let whole = undisturbed(&repository);
    for round in 0..rounds {
        sample::folder(&repository.file("folder"), FILES, round);
        let daemon = repository.daemon(&[]);
        let guest = repository.cidra(["add", "--progress=false", "folder"]).start();
        let moment = whole.mul_f64(SmallRng::seed_from_u64(round).random_range(0.05..1.1));
        guest.wait_for_end(moment);
        daemon.kill();
        let guest = guest.finish();
        assert!(matches!(guest.code, Some(0 | 1)), "round {round}: a guest whose daemon dies says so: {guest:?}");
        check(&repository, &guest.stdout, round);
        std::fs::remove_dir_all(repository.file("folder")).expect("the test's own folder");
    }
    repository.cidra(["--offline", "repo", "verify"]).run().success();
}

/// How long such an add takes when nobody kills it.
fn undisturbed(repository: &Repository) -> Duration {
    let folder = repository.file("folder");
    sample::folder(&folder, FILES, u64::MAX);
    let elapsed = repository.cidra(["add", "folder"]).run().success().elapsed;
    std::fs::remove_dir_all(folder).expect("the test's own folder");
    elapsed
}

/// Each line `added CID name` holds: the bytes of that name are here.
fn check(repository: &Repository, acknowledged: &[u8], round: u64) {
    let acknowledged = String::from_utf8_lossy(acknowledged);
    let whole_lines = acknowledged.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let opened = repository.cidra(["--offline", "repo", "stat"]).run().success().elapsed;
    assert!(opened < OPENS, "round {round}: the repository took {opened:?} to open");
    let mut files = 0;
    for line in whole_lines.lines() {
        let (cid, name) = line.strip_prefix("added ").and_then(|rest| rest.split_once(' ')).expect("added CID name");
        let original = repository.folder().join(name);
        if original.is_file() {
            let found = repository.cidra(["--offline", "cat", cid]).run().success().stdout;
            assert!(found == std::fs::read(&original).expect("it was added"), "round {round}: {name} differs");
            files += 1;
        }
    }
    println!("round {round}: killed after {files} of {FILES} files were acknowledged, all are here");
}

/// At once, on a machine that does other things too.
const OPENS: Duration = Duration::from_secs(5);
