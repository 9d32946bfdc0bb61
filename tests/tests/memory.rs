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

    println!("add alone: {}, as a guest: {}, its host: {}", mib(alone.peak_memory), mib(guest.peak_memory), mib(host));
    assert_eq!(alone.text(), guest.text());
    for (who, peak) in [("add alone", alone.peak_memory), ("add as a guest", guest.peak_memory), ("its host", host)] {
        assert!(peak < ADDING, "{who} took {}", mib(peak));
    }
    daemon.stop();
}

#[test]
fn an_idle_daemon_is_small() {
    let repository = Repository::new();
    let daemon = repository.daemon(&[]);

    repository.cidra(["health"]).run().success();
    let resident = daemon.memory();

    println!("idle: {}", mib(resident));
    assert!(resident < IDLE, "{}", mib(resident));
    daemon.stop();
}

const ADDING: u64 = 150_000_000;
const IDLE: u64 = 25_000_000;

fn mib(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
