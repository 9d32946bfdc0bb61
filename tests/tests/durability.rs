//! `add` killed with -9 at random moments: what was acknowledged is there, byte for byte, and the repository opens at once.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use cidra_tests::{Repository, Running, Suite};

#[test]
fn what_add_acknowledged_survives_kill_9() {
    let repository = Repository::new();
    let whole = undisturbed(&repository);
    for round in 0..Suite::chosen().of(3, 40, 200) {
        sample_files(&repository, round);

        let add = start_add(&repository);
        add.wait_for_end(moment(round, whole));
        let acknowledged = add.kill().stdout;

        check(&repository, &acknowledged, round);
    }
    repository.cidra(["--offline", "repo", "verify"]).run().success();
}

#[test]
fn what_a_daemon_acknowledged_survives_its_kill_9() {
    let repository = Repository::new();
    let whole = undisturbed(&repository);
    for round in 0..Suite::chosen().of(2, 10, 50) {
        sample_files(&repository, round);

        let daemon = repository.daemon(&[]);
        let guest = start_add(&repository);
        guest.wait_for_end(moment(round, whole));
        daemon.kill();
        let guest = guest.finish();

        assert!(matches!(guest.code, Some(0 | 1)), "round {round}: a guest whose daemon dies says so: {guest:?}");
        check(&repository, &guest.stdout, round);
    }
    repository.cidra(["--offline", "repo", "verify"]).run().success();
}

fn start_add(repository: &Repository) -> Running {
    repository.cidra(["add", "--progress=false", "folder"]).start()
}

/// Files of one round, other ones than those of any other; enough that they are acknowledged in several batches.
fn sample_files(repository: &Repository, round: u64) {
    let folder = repository.file("folder");
    // Not there before the first round.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).expect("the test's own folder");
    for number in 0..FILES {
        fs::write(folder.join(format!("{number}")), content(round, number)).expect("the test's own folder");
    }
}

const FILES: u64 = 2_500;

fn content(round: u64, number: u64) -> String {
    format!("file {number} of round {round}\n").repeat(number as usize % 50 + 1)
}

/// How long such an add takes when nobody kills it.
fn undisturbed(repository: &Repository) -> Duration {
    sample_files(repository, u64::MAX);
    start_add(repository).finish().success().elapsed
}

/// When to kill, from hardly begun to just over.
fn moment(round: u64, whole: Duration) -> Duration {
    whole.mul_f64(SmallRng::seed_from_u64(round).random_range(0.05..1.1))
}

/// Each line `added CID name` holds: the bytes of that name are here. All are looked up, some are read.
fn check(repository: &Repository, acknowledged: &[u8], round: u64) {
    let opened = repository.cidra(["--offline", "repo", "stat"]).run().success().elapsed;
    assert!(opened < OPENS, "round {round}: the repository took {opened:?} to open");
    let acknowledged = String::from_utf8_lossy(acknowledged);
    let whole_lines = acknowledged.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let line = |line| str::strip_prefix(line, "added ").and_then(|rest| rest.split_once(' ')).expect("added CID name");
    let files: Vec<(&str, &str)> = whole_lines.lines().map(line).filter(|(_, name)| *name != "folder").collect();
    println!("round {round}: killed when {} of {FILES} files were acknowledged", files.len());

    let here = repository.cidra(["--offline", "refs", "local"]).run().success();
    let here: BTreeSet<&str> = here.lines().into_iter().collect();
    let lost: Vec<_> = files.iter().filter(|(cid, _)| !here.contains(cid)).take(3).collect();
    assert!(lost.is_empty(), "round {round}: {lost:?} and perhaps more were acknowledged and are not here");

    // The last ones are those that a kill would take.
    let step = files.len() / READ + 1;
    for (cid, name) in files.iter().rev().take(READ).chain(files.iter().step_by(step)) {
        let number = name.rsplit('/').next().and_then(|name| name.parse().ok()).expect("a name of ours");
        let found = repository.cidra(["--offline", "cat", cid]).run().success().stdout;
        assert!(found == content(round, number).as_bytes(), "round {round}: {name} differs");
    }
}

/// How many of the last and how many of the others are read.
const READ: usize = 5;
/// At once, on a machine that does other things too.
const OPENS: Duration = Duration::from_secs(5);
