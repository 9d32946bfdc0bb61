//! What a daemon serves over HTTP, to programs that are not ours.

use std::io::Write;
use std::process::{Command, Stdio};

use cidra_tests::{Repository, rpc, sample};

/// `promtool check metrics` reads what Prometheus would.
#[test]
fn prometheus_finds_no_fault_with_the_metrics() {
    let repository = Repository::new();
    let daemon =
        repository.daemon_with(&[], &["--listen", "/ip4/127.0.0.1/tcp/0", "--metrics-listen", "/ip4/127.0.0.1/tcp/0"]);
    let file = repository.file("file");
    sample::file(&file, 3_000_000, 1);
    repository.add(&file);

    let (metrics, api) = (daemon.server("Metrics"), daemon.server("RPC API"));
    let own = rpc::get(&metrics, "/metrics", &[]);
    assert_eq!((rpc::get(&api, "/metrics", &[]).status, rpc::get(&metrics, "/api/v0/id", &[]).status), (200, 404));

    let text = own.text();
    let blocks = text.lines().find_map(|line| line.strip_prefix("cidra_store_blocks ")?.parse::<f64>().ok());
    assert!(own.status == 200 && blocks.is_some_and(|blocks| blocks >= 4.0), "{text}");
    let tool = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut tool) = tool else { return println!("skipped: promtool is not installed") };
    tool.stdin.take().expect("it is piped").write_all(&own.body).expect("it reads");
    let said = tool.wait_with_output().expect("it ends");
    let faults = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success() && faults.is_empty(), "{faults}");
    daemon.stop();
}
