//! What the program holds in memory while it adds a large file, and when it has nothing to do.

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
const IDLE: u64 = 25_000_000;
const IDLE_OWN: u64 = 10_000_000;

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
