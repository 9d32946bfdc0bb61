//! The program as it is started: it says where it is, says that it is well, keeps its identity and stops.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn says_where_it_is_is_healthy_stops_and_comes_back_the_same() {
    let data = tempfile::tempdir().unwrap();
    assert!(!health(data.path()), "nobody runs yet");

    let mut first = start(data.path());
    let address = wait_until_ready(&mut first);
    assert!(health(data.path()));
    assert!(!start(data.path()).wait().unwrap().success(), "one folder, one node");
    stop(first);
    assert!(!health(data.path()));

    let mut second = start(data.path());
    let again = wait_until_ready(&mut second);
    stop(second);

    assert_eq!(peer(&address), peer(&again));
}

#[test]
fn a_taken_port_is_replaced_by_a_free_one() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let data = tempfile::tempdir().unwrap();

    let mut node = spawn(data.path(), &format!("/ip4/127.0.0.1/tcp/{port}"));
    let address = wait_until_ready(&mut node);
    stop(node);

    assert!(address.starts_with("/ip4/127.0.0.1/tcp/"));
    assert!(!address.contains(&format!("/tcp/{port}/")));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let data = tempfile::tempdir().unwrap();

    let status = spawn(data.path(), "localhost:4001").wait().unwrap();

    assert_eq!(status.code(), Some(2));
}

fn start(data: &Path) -> Child {
    spawn(data, "/ip4/127.0.0.1/tcp/0")
}

fn spawn(data: &Path, listen: &str) -> Child {
    let mut command = program(data);
    command.args(["--listen", listen]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn program(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cidra-bootstrap"));
    command.env("CIDRA_DATA", data).env_remove("CIDRA_LISTEN").env_remove("CIDRA_BOOTSTRAP");
    command
}

fn health(data: &Path) -> bool {
    program(data).arg("health").stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// Its last listening address.
fn wait_until_ready(node: &mut Child) -> String {
    let mut address = None;
    for line in BufReader::new(node.stdout.take().unwrap()).lines().map(Result::unwrap) {
        if line == "Bootstrap is ready" {
            return address.expect("it said where it listens before it was ready");
        }
        address = line.strip_prefix("Swarm listening on ").map(str::to_owned);
    }
    panic!("it ended before it was ready");
}

fn peer(address: &str) -> &str {
    address.rsplit_once("/p2p/").expect("it says who it is").1
}

fn stop(mut node: Child) {
    let begun = Instant::now();
    Command::new("kill").args(["-TERM", &node.id().to_string()]).status().unwrap();
    assert!(node.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(5));
}
