//! `add` and `dag import` killed with -9 at any moment: what was acknowledged is there, byte for byte, and the repository opens at once.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use cid::Cid;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use cidra_tests::program::LIMIT;
use cidra_tests::suite::MIB;
use cidra_tests::{Repository, Running, Suite, sample};

#[test]
fn what_add_acknowledged_survives_kill_9() {
    let source = source();
    let mut torn = 0;
    for round in 0..Suite::chosen().of(3, 40, 200) {
        let repository = Repository::new();
        let mut add = start_add(&repository, &source);
        wait_for_moment(&mut add, round);
        let acknowledged = add.kill().stdout;

        torn += u32::from(check(&repository, &acknowledged, round));
    }
    assert!(torn > 0, "every kill came before or after the add: this showed nothing");
}

#[test]
fn what_was_referred_to_and_acknowledged_survives_kill_9() {
    let source = source();
    let mut torn = 0;
    for round in 0..Suite::chosen().of(2, 8, 100) {
        let repository = Repository::new();
        let mut add = start(&repository, &source, &["--nocopy"]);
        wait_for_moment(&mut add, round);
        let acknowledged = add.kill().stdout;

        torn += u32::from(check(&repository, &acknowledged, round));
    }
    assert!(torn > 0, "every kill came before or after the add: this showed nothing");
}

#[test]
fn what_a_daemon_acknowledged_survives_its_kill_9() {
    let source = source();
    let mut torn = 0;
    for round in 0..Suite::chosen().of(3, 10, 50) {
        let repository = Repository::new();
        let daemon = repository.daemon(&[]);
        let mut guest = start_add(&repository, &source);
        wait_for_moment(&mut guest, round);
        // First the guest, which else would go on by itself.
        let acknowledged = guest.kill().stdout;
        daemon.kill();

        torn += u32::from(check(&repository, &acknowledged, round));
    }
    assert!(torn > 0, "every kill came before or after the add: this showed nothing");
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    let size = Suite::chosen().of(48, 192, 1024) * MIB;
    let there = Repository::new();
    let (file, car) = (there.file("file"), there.file("file.car"));
    sample::file(&file, size, 1);
    let root = there.add(&file);
    there.cidra(["dag", "export", &root]).output_to(&car).run().success();
    for part in 1..4 {
        let repository = Repository::new();
        let import = repository.cidra(["dag", "import", "--progress=false"]).arg(&car).start();
        let deadline = Instant::now() + LIMIT;
        while repository.block_bytes() < size * part / 4 && !import.wait_for_end(Duration::from_millis(1)) {
            assert!(Instant::now() < deadline, "{size} bytes are not imported within {LIMIT:?}");
        }
        import.kill();
        let before = repository.cidra(["--offline", "refs", "local"]).run().success().lines().len();
        repository.cidra(["--offline", "repo", "verify"]).run().success();
        assert_eq!(repository.cidra(["pin", "ls"]).run().success().text(), "", "not before all of it is here");

        repository.cidra(["dag", "import", "--progress=false"]).arg(&car).run().success();

        println!("{before} blocks were here, of {} and a few", size / MIB);
        let again = repository.file("again.car");
        repository.cidra(["--offline", "dag", "export", &root]).output_to(&again).run().success();
        sample::assert_same(&car, &again);
        let taken = repository.block_bytes();
        assert!(before > 0 && taken < size + size / 8, "{taken} bytes for {size}: what was here was written again");
    }
}

/// So many files that they are acknowledged in several batches, whatever the machine's speed.
const FILES: usize = 9_000;

fn source() -> TempDir {
    let source = tempfile::tempdir().expect("a temporary folder");
    for number in 0..FILES {
        fs::write(source.path().join(number.to_string()), content(number)).expect("the test's own folder");
    }
    source
}

fn content(number: usize) -> String {
    format!("file {number}\n").repeat(number % 50 + 1)
}

fn start_add(repository: &Repository, source: &TempDir) -> Running {
    start(repository, source, &[])
}

fn start(repository: &Repository, source: &TempDir, flags: &[&str]) -> Running {
    repository.cidra(["add", "--progress=false"]).args(flags).arg(source.path()).start()
}

/// Waits for one of the batches of acknowledgements, or none, and a random while more.
fn wait_for_moment(add: &mut Running, round: u64) {
    let mut random = SmallRng::seed_from_u64(round);
    add.wait_for_lines(LIMIT, [0, 1, FILES / 2 + 1][round as usize % 3]);
    add.wait_for_end(Duration::from_millis(random.random_range(0..300)));
}

/// Each line `added CID name` holds: the bytes of that name are here. Whether some were acknowledged, and not all.
fn check(repository: &Repository, acknowledged: &[u8], round: u64) -> bool {
    let opened = repository.cidra(["--offline", "repo", "stat"]).run().success().elapsed;
    assert!(opened < OPENS, "round {round}: the repository took {opened:?} to open");
    let acknowledged = String::from_utf8_lossy(acknowledged);
    let whole_lines = acknowledged.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let line = |line| str::strip_prefix(line, "added ").and_then(|rest| rest.split_once(' ')).expect("added CID name");
    let files: Vec<(&str, &str)> = whole_lines.lines().map(line).filter(|(_, name)| name.contains('/')).collect();
    println!("round {round}: killed when {} of {FILES} files were acknowledged", files.len());

    let here = repository.cidra(["--offline", "refs", "local"]).run().success();
    let here: BTreeSet<Vec<u8>> = here.lines().into_iter().map(multihash).collect();
    let lost: Vec<_> = files.iter().filter(|(cid, _)| !here.contains(&multihash(cid))).take(3).collect();
    assert!(lost.is_empty(), "round {round}: {lost:?} and perhaps more were acknowledged and are not here");
    repository.cidra(["--offline", "repo", "verify"]).run().success();
    // The last ones are those that a kill would take.
    for (cid, name) in files.iter().rev().take(2) {
        let number = name.rsplit('/').next().and_then(|name| name.parse().ok()).expect("a name of ours");
        let found = repository.cidra(["--offline", "cat", cid]).run().success().stdout;
        assert!(found == content(number).as_bytes(), "round {round}: {name} differs");
    }
    (1..FILES).contains(&files.len())
}

/// What the store keeps a block by.
fn multihash(cid: &str) -> Vec<u8> {
    cid.parse::<Cid>().expect("it prints CIDs").hash().to_bytes()
}

/// At once, on a machine that does other things too.
const OPENS: Duration = Duration::from_secs(5);
