//! What the program holds in memory while it adds a large file, with a folder of many small ones, and when it has nothing to do.

use std::time::Duration;

use cidra_tests::suite::MIB;
use cidra_tests::{Repository, Suite, sample};

#[test]
fn adding_a_large_file_takes_little_memory() {
    let repository = Repository::new();
    let file = repository.file("file");
    sample::file(&file, Suite::chosen().of(192, 1024, 4096) * MIB, 1);

    let alone = repository.cidra(["add", "-Q"]).arg(&file).run().success();
    let daemon = repository.daemon(&[]);
    let guest = repository.cidra(["add", "-Q", "--pin-name", "again"]).arg(&file).run().success();
    let host = daemon.peak_memory();

    println!(
        "add alone: {}, as a guest: {}, its host: {}",
        megabytes(alone.peak_memory),
        megabytes(guest.peak_memory),
        megabytes(host)
    );
    assert_eq!(alone.text(), guest.text());
    for (who, peak) in [("add alone", alone.peak_memory), ("add as a guest", guest.peak_memory), ("its host", host)] {
        assert!(peak < ADDING, "{who} took {}", megabytes(peak));
    }
    daemon.stop();
}

#[test]
fn a_folder_of_many_small_files_takes_little_memory() {
    let count = Suite::chosen().of(2_000, 10_000, 100_000);
    let repository = Repository::new();
    let (folder, saved) = (repository.file("folder"), repository.file("saved"));
    sample::small_files(&folder, count);

    let added = repository.cidra(["add", "-Q"]).arg(&folder).limit(PATIENCE).run().success();
    let listed = repository.cidra(["ls", added.text()]).limit(PATIENCE).run().success();
    let got = repository.cidra(["get", added.text(), "-o"]).arg(&saved).limit(PATIENCE).run().success();

    let (add, ls, get) = (added.peak_memory, listed.peak_memory, got.peak_memory);
    println!("{count} files: add {}, ls {}, get {}", megabytes(add), megabytes(ls), megabytes(get));
    let columns = |line: &str| line.split_once(' ').map(|(_, rest)| rest.to_owned());
    let mut entries: Vec<String> = listed.lines().into_iter().filter_map(columns).collect();
    entries.sort();
    let expected: Vec<String> = (0..count).map(|number| format!("{} {number:06}", sample::SMALL_FILE)).collect();
    assert!(entries == expected, "{} entries were listed, among them {:?}", entries.len(), entries.first());
    sample::assert_same(&folder, &saved);
    for (what, peak) in [("add", add), ("ls", ls), ("get", get)] {
        assert!(peak < SMALL_FILES, "{what} took {}", megabytes(peak));
    }
}

#[test]
fn an_idle_daemon_is_small() {
    let repository = Repository::new();
    let daemon = repository.daemon(&[]);

    repository.cidra(["health"]).run().success();
    let memory = daemon.memory();

    println!("idle: {} resident, {} of its own", megabytes(memory.resident), megabytes(memory.own));
    assert!(memory.own < IDLE_OWN, "{}", megabytes(memory.own));
    // Without optimisation the program's code alone is larger than this.
    assert!(cfg!(debug_assertions) || memory.resident < IDLE, "{}", megabytes(memory.resident));
    daemon.stop();
}

const ADDING: u64 = 150_000_000;
/// What the program is without optimisation is a third of it.
const SMALL_FILES: u64 = 80_000_000;
const IDLE: u64 = 25_000_000;
const IDLE_OWN: u64 = 10_000_000;

/// A hundred thousand files on a machine that does something else.
const PATIENCE: Duration = Duration::from_secs(300);

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
