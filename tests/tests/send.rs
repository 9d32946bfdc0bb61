//! What needs a network with nothing but its hosts: peers that find each other on it, and `cidra send`.
//!
//! Each test makes a network of namespaces, which takes root; without, it prints `skipped: …`.

#[path = "send/mdns.rs"]
mod mdns;
#[path = "send/resuming.rs"]
mod resuming;
#[path = "send/sharing.rs"]
mod sharing;

use std::path::Path;
use std::time::Duration;

use cidra_tests::program::LIMIT;
use cidra_tests::{Call, Finished, Host, Repository, Running};

/// `cidra send` on a host, and the line that it prints.
fn send(repository: &Repository, host: &Host, arguments: &[impl AsRef<std::ffi::OsStr>]) -> (Running, String) {
    // As a variable: a flag for a node is refused where another command does the work.
    let call = repository.cidra(["send"]).args(arguments).env("CIDRA_BOOTSTRAP", "none");
    let mut running = call.limit(LIMIT * 10).on(host).start();
    let line = line(&mut running);
    (running, line)
}

/// The one line that it prints, once it is there.
fn line(running: &mut Running) -> String {
    let mut lines = running.wait_for_line(LIMIT * 5, |line| line.starts_with("cidra get '"));
    assert_eq!(lines.len(), 1, "standard output is for the line alone: {lines:?}");
    lines.remove(0)
}

/// The line as a person runs it on another host, in this folder.
fn paste(line: &str, repository: &Repository, host: &Host, folder: &Path) -> Call {
    std::fs::create_dir_all(folder).expect("the test's own folder");
    let call = Call::shell(line).env("CIDRA_PATH", repository.path()).env("HOME", repository.folder());
    call.env("CIDRA_BOOTSTRAP", "none").env("CIDRA_NO_MDNS", "1").current_dir(folder).limit(LIMIT * 10).on(host)
}

/// Ctrl-C: it ends well, and soon.
fn interrupt(sender: Running) -> Finished {
    sender.interrupt();
    assert!(sender.wait_for_end(Duration::from_secs(10)), "still there after Ctrl-C");
    sender.finish().success()
}
