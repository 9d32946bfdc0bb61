//! A local network without a way out: a namespace of the system for each host, joined by a switch in one of its own.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The network. Dropped, it is taken down with all that is in it.
pub struct Lan {
    prefix: String,
    hosts: Vec<Host>,
    routers: Vec<String>,
}

/// How a router chooses the port under which the others see a connection from behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// The same as within, where it is free: two such routers can be made to let each other in.
    Kept,
    /// Another one for each connection: nobody can guess it.
    Random,
}

/// One of its hosts.
#[derive(Clone, Debug)]
pub struct Host {
    namespace: String,
    /// Its only address but for loopback.
    pub address: String,
}

impl Lan {
    /// A network of so many hosts; `None`, and a line that says so, where this user may not make one.
    pub fn of(count: usize) -> Option<Lan> {
        Lan::with_addresses(count, "10.111.0.", 24)
    }

    /// The same of IPv6.
    pub fn of_ip6(count: usize) -> Option<Lan> {
        Lan::with_addresses(count, "fd00:111::", 64)
    }

    /// The same with addresses that look public, each of another owner. Nothing outside ever dials them.
    pub fn of_public(count: usize) -> Option<Lan> {
        Lan::with_addresses(count, PUBLIC, 8)
    }

    fn with_addresses(count: usize, network: &str, prefix_length: u8) -> Option<Lan> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("cidra-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let mut lan = Lan { prefix, hosts: vec![], routers: vec![] };
        match lan.build(count, network, prefix_length) {
            Ok(()) => Some(lan),
            Err(why) => {
                println!("skipped: no network namespaces here ({why})");
                None
            }
        }
    }

    /// The host of this number.
    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number]
    }

    /// Lets a host send no more than so many bytes a second; false, and a line that says so, where that cannot be.
    pub fn limit_uplink(&self, number: usize, rate: u64) -> bool {
        let namespace = &self.hosts[number].namespace;
        let rate = format!("{rate}bps");
        let shape = ["-n", namespace, "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", &rate];
        match run("tc", &[&shape[..], &["burst", "256kb", "latency", "50ms"]].concat()) {
            Ok(()) => true,
            Err(why) => {
                println!("skipped: no links of a given rate here ({why})");
                false
            }
        }
    }

    /// The router of a host that is hidden, as seen from the host: `192.168.7.1`.
    pub fn router(&self, number: usize) -> Host {
        let namespace = self.hosts[number].namespace.strip_suffix("-in").expect("it is hidden").to_owned();
        Host { namespace, address: "192.168.7.1".to_owned() }
    }

    /// How many hosts it has.
    #[expect(clippy::len_without_is_empty, reason = "one without hosts is none")]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Puts a host behind a router of its own that translates its addresses and lets in only what answers it; false, and a line
    /// that says so, where that cannot be. It is then at `192.168.7.2`, and the others see the router, at the host's address before.
    pub fn hide(&mut self, number: usize, ports: Ports) -> bool {
        match self.put_behind_router(number, ports) {
            Ok(()) => true,
            Err(why) => {
                println!("skipped: no translation of addresses here ({why})");
                false
            }
        }
    }

    fn put_behind_router(&mut self, number: usize, ports: Ports) -> Result<(), String> {
        let outer = self.hosts[number].namespace.clone();
        let inner = format!("{outer}-in");
        ip(&["netns", "add", &inner])?;
        // The namespace on the switch becomes the router's.
        self.routers.push(outer.clone());
        self.hosts[number] = Host { namespace: inner.clone(), address: "192.168.7.2".to_owned() };
        ip(&["-n", &outer, "link", "add", "inside", "type", "veth", "peer", "name", "eth0", "netns", &inner])?;
        ip(&["-n", &outer, "address", "add", "192.168.7.1/24", "dev", "inside"])?;
        ip(&["-n", &outer, "link", "set", "inside", "up"])?;
        ip(&["-n", &inner, "address", "add", "192.168.7.2/24", "dev", "eth0"])?;
        ip(&["-n", &inner, "link", "set", "lo", "up"])?;
        ip(&["-n", &inner, "link", "set", "eth0", "up"])?;
        ip(&["-n", &inner, "route", "add", "default", "via", "192.168.7.1"])?;
        let within = |arguments: &[&str]| run("ip", &[&["netns", "exec", &outer], arguments].concat());
        within(&["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])?;
        within(&["iptables", "-A", "INPUT", "-i", "inside", "-j", "ACCEPT"])?;
        // It answers nobody outside who knocks, as routers of homes do: a refusal would end what makes a hole.
        within(&["iptables", "-P", "INPUT", "DROP"])?;
        within(&["iptables", "-P", "FORWARD", "DROP"])?;
        within(&["iptables", "-A", "FORWARD", "-i", "inside", "-j", "ACCEPT"])?;
        let answers = ["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"];
        within(&[&["iptables", "-A", "FORWARD"][..], &answers].concat())?;
        let random: &[&str] = if ports == Ports::Random { &["--random-fully"] } else { &[] };
        let translate = ["iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE"];
        within(&[&translate[..], random].concat())?;
        Ok(())
    }

    /// Pulls the cable of a host: nothing goes or comes any more, and nobody is told.
    pub fn cut(&self, number: usize) {
        let port = format!("port{number}");
        ip(&["-n", &self.switch(), "link", "set", &port, "down"]).expect("it was set up so");
    }

    /// Bytes that came to a host from others so far, as its interface counts them.
    pub fn received(&self, number: usize) -> u64 {
        self.counted(number, "rx")
    }

    /// Waits until so many bytes have come to a host from others. Panics at the limit.
    pub fn wait_for(&self, number: usize, bytes: u64, limit: Duration) {
        let deadline = Instant::now() + limit;
        // Each look is a process of its own, so that looking again at once takes little of a processor.
        while self.received(number) < bytes {
            assert!(Instant::now() < deadline, "{} of {bytes} bytes came within {limit:?}", self.received(number));
        }
    }

    /// Bytes that went from a host to others so far.
    pub fn sent(&self, number: usize) -> u64 {
        self.counted(number, "tx")
    }

    fn counted(&self, number: usize, way: &str) -> u64 {
        let of = ["-n", &self.hosts[number].namespace, "-s", "-j", "link", "show", "eth0"];
        let output = Command::new("ip").args(of).output().expect("it made the network");
        let link: serde_json::Value = serde_json::from_slice(&output.stdout).expect("-j is for JSON");
        link[0]["stats64"][way]["bytes"].as_u64().expect("an interface counts")
    }

    fn build(&mut self, count: usize, network: &str, prefix_length: u8) -> Result<(), String> {
        let switch = self.switch();
        ip(&["netns", "add", &switch])?;
        ip(&["-n", &switch, "link", "add", "switch", "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", "switch", "up"])?;
        for number in 0..count {
            let namespace = format!("{}-{number}", self.prefix);
            let address = match network {
                PUBLIC => format!("{PUBLIC}{}.0.1", number + 1),
                network => format!("{network}{}", number + 1),
            };
            let host = Host { namespace: namespace.clone(), address };
            ip(&["netns", "add", &namespace])?;
            self.hosts.push(host.clone());
            let port = format!("port{number}");
            let peer = ["peer", "name", "eth0", "netns", &namespace];
            ip(&[&["-n", &switch, "link", "add", &port, "type", "veth"][..], &peer].concat())?;
            ip(&["-n", &switch, "link", "set", &port, "master", "switch", "up"])?;
            let address = format!("{}/{prefix_length}", host.address);
            // Nobody else has it: there is nothing to wait for.
            let at_once: &[&str] = if network.contains(':') { &["nodad"] } else { &[] };
            ip(&[&["-n", &namespace, "address", "add", &address, "dev", "eth0"], at_once].concat())?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
            ip(&["-n", &namespace, "link", "set", "eth0", "up"])?;
        }
        Ok(())
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.prefix)
    }
}

/// The first byte of addresses that are given out.
const PUBLIC: &str = "5.";

impl Drop for Lan {
    fn drop(&mut self) {
        let hosts = self.hosts.iter().map(|host| host.namespace.clone());
        for namespace in hosts.chain(self.routers.iter().cloned()).chain([self.switch()]) {
            // What was never made cannot be deleted.
            let _ = ip(&["netns", "delete", &namespace]);
        }
    }
}

impl Host {
    /// The command line that runs another one on this host.
    pub(crate) fn prefix(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.namespace]
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
