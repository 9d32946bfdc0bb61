//! A daemon or a bootstrap node as a process, once it has said that it is ready.

use std::path::Path;
use std::time::Duration;

use crate::program::LIMIT;
use crate::{Call, Finished, Memory, Program, Running};

/// A node that runs and is ready. Dropped, it is killed with -9.
pub struct Daemon {
    running: Running,
    addresses: Vec<String>,
    lines: Vec<String>,
}

impl Daemon {
    /// Starts it and waits for the line that says that it is ready.
    pub fn start(call: Call, ready: &str) -> Daemon {
        Daemon::ready(call.limit(LIFE).start(), ready)
    }

    /// Waits for a node that was started already.
    pub fn ready(mut running: Running, ready: &str) -> Daemon {
        let lines = running.wait_for_line(LIMIT, |line| line == ready);
        let listening = |line: &String| line.strip_prefix("Swarm listening on ").map(str::to_owned);
        Daemon { running, addresses: lines.iter().filter_map(listening).collect(), lines }
    }

    /// `cidra-bootstrap` with its data in a folder, on a port of this host (0: a free one), ready.
    pub fn bootstrap(data: &Path, port: u16) -> Daemon {
        let call = Call::new(Program::Bootstrap)
            .env("HOME", data)
            .args(["--listen", &format!("/ip4/127.0.0.1/tcp/{port}")])
            .arg("--data")
            .arg(data);
        Daemon::start(call, "Bootstrap is ready")
    }

    /// Its address on this host over TCP, with its peer id.
    pub fn address(&self) -> &str {
        let tcp = |address: &&String| address.starts_with("/ip4/127.0.0.1/tcp/");
        self.addresses.iter().find(tcp).expect("it was told to listen there")
    }

    /// Where it serves HTTP, as `HOST:PORT`, by the words before ` server listening on `. Panics where it did not say so.
    pub fn server(&self, name: &str) -> String {
        let words = format!("{name} server listening on ");
        let address = self.lines.iter().find_map(|line| line.strip_prefix(&words));
        let address = address.unwrap_or_else(|| panic!("no {name} server in {:?}", self.lines));
        let parts: Vec<&str> = address.split('/').collect();
        format!("{}:{}", parts[2], parts[4])
    }

    /// The first of its addresses on this host, with its peer id, whatever the transport.
    pub fn any_address(&self) -> &str {
        self.addresses.iter().find(|address| address.starts_with("/ip4/127.0.0.1/")).expect("it listens there")
    }

    /// Its peer id.
    pub fn peer(&self) -> &str {
        self.any_address().rsplit('/').next().expect("a split gives at least one part")
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        let port = self.address().split('/').nth(4).expect("/ip4/ADDRESS/tcp/PORT");
        port.parse().expect("a port is a number")
    }

    /// What it holds in memory at this moment.
    pub fn memory(&self) -> Memory {
        self.running.memory()
    }

    /// Time of processors that it took so far.
    pub fn processor_time(&self) -> Duration {
        self.running.processor_time()
    }

    /// The most it held in memory so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.running.peak_memory()
    }

    /// Stops it with SIGTERM. Panics unless it ends with exit code 0 in `STOP_LIMIT`.
    pub fn stop(self) -> Finished {
        self.running.terminate();
        self.ended()
    }

    /// Waits for its end, which something else has asked for. Panics unless it ends with exit code 0 in `STOP_LIMIT`.
    pub fn ended(self) -> Finished {
        assert!(self.running.wait_for_end(STOP_LIMIT), "still there {STOP_LIMIT:?} after it was told to stop");
        self.running.finish().success()
    }

    /// Kills it with -9.
    pub fn kill(self) {
        self.running.kill();
    }
}

/// Longer than any suite.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// A stop is a matter of seconds.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);
