//! Nodes that nobody can dial, each behind a router that translates addresses: others reach them through a relay, and then through
//! a hole that both sides make.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use cidra_tests::{Call, Daemon, Lan, Ports, Program, Repository, sample};

#[test]
fn two_nodes_that_nobody_can_dial_fetch_from_each_other_through_a_hole() {
    fetches_through_a_hole(&[]);
}

#[test]
fn so_do_two_nodes_of_a_private_network_over_tcp() {
    let folder = Repository::new();
    let key = folder.cidra(["network", "new"]).run().success();
    let file = folder.file("swarm.key");
    fs::write(&file, key.stdout).unwrap();

    fetches_through_a_hole(&["--swarm-key", file.to_str().unwrap()]);
}

fn fetches_through_a_hole(flags: &[&str]) {
    let Some(town) = Town::of(Ports::Kept, flags) else { return };
    let file = town.holder.file("film");
    sample::file(&file, 20_000_000, 1);
    let cid = town.holder.add(&file);
    town.holder.cidra(["routing", "provide", &cid]).run().success();

    let got = town.getter.cidra(["get", &cid, "-o", "film", "--timeout", "60s"]).run().success();

    sample::assert_same(&file, &town.getter.file("film"));
    println!("fetched through a hole in {:?}", got.elapsed);
    // Some way led there first.
    let ways = town.ways();
    assert!(ways.iter().any(|way| !way.contains("/p2p-circuit")), "{ways:?}");
}

#[test]
fn where_no_hole_can_be_made_little_goes_through_the_relay_and_no_more() {
    let Some(town) = Town::of(Ports::Random, &[]) else { return };
    let (small, large) = (town.holder.file("small"), town.holder.file("large"));
    sample::file(&small, 10_000, 1);
    sample::file(&large, 500_000, 2);
    let (small_cid, large_cid) = (town.holder.add(&small), town.holder.add(&large));
    for cid in [&small_cid, &large_cid] {
        town.holder.cidra(["routing", "provide", cid]).run().success();
    }

    let got = town.getter.cidra(["get", &small_cid, "-o", "small", "--timeout", "60s"]).run().success();
    let ways = town.ways();
    let not = town.getter.cidra(["get", &large_cid, "-o", "large", "--timeout", "10s"]).run();

    sample::assert_same(&small, &town.getter.file("small"));
    println!("fetched through the relay in {:?}", got.elapsed);
    assert!(ways.iter().all(|way| way.contains("/p2p-circuit")) && !ways.is_empty(), "{ways:?}");
    not.exits(3);
}

#[test]
fn a_router_that_is_asked_opens_the_port_and_others_dial() {
    let Some(mut lan) = Lan::of(2) else { return };
    if !lan.hide(1, Ports::Kept) {
        return;
    }
    let (introducer, hidden) = (Repository::new(), Repository::new());
    let bootstrap = introduce(&lan, &introducer, &[]);
    let router = Call::test("opens_ports").on(&lan.router(1)).start();
    let call = hidden.daemon_call(&[&bootstrap.1], &["--listen", "/ip4/0.0.0.0/tcp/4001"]);
    let daemon = Daemon::start(call.on(lan.host(1)), "Daemon is ready");

    // If a relay had given it a place before, it is given back.
    let is_dialled = |id: &str| id.contains("nodes of its own network reach this node at /ip4/10.111.0.2/tcp/4001");
    wait_for(&hidden, |id| is_dialled(id) && !id.contains("/p2p-circuit"));

    daemon.stop();
    router.kill();
}

/// A router that speaks NAT-PMP alone, and does what it says.
#[test]
#[ignore = "the test of a router runs it"]
fn opens_ports() {
    let socket = UdpSocket::bind("192.168.7.1:5351").unwrap();
    let mut packet = [0; 1100];
    loop {
        let (length, from) = socket.recv_from(&mut packet).unwrap();
        let answer = match packet[..length] {
            // Its own address as the others of the test see it.
            [0, 0] => [0, 128, 0, 0, 0, 0, 0, 1, 10, 111, 0, 2].to_vec(),
            [0, kind @ (1 | 2), ..] if length == 12 => {
                let protocol = if kind == 1 { "udp" } else { "tcp" };
                let port = u16::from_be_bytes([packet[4], packet[5]]);
                open_port(protocol, port);
                [&[0, 128 + kind, 0, 0, 0, 0, 0, 1], &packet[4..6], &packet[4..6], &packet[8..12]].concat()
            }
            [_, kind, ..] => vec![0, kind | 128, 0, 1, 0, 0, 0, 1],
            _ => continue,
        };
        socket.send_to(&answer, from).unwrap();
    }
}

fn open_port(protocol: &str, port: u16) {
    let (port, inside) = (port.to_string(), format!("192.168.7.2:{port}"));
    let to = ["-t", "nat", "-A", "PREROUTING", "-i", "eth0", "-p", protocol, "--dport", &port, "-j", "DNAT", "--to"];
    let through = ["-A", "FORWARD", "-i", "eth0", "-p", protocol, "--dport", &port, "-j", "ACCEPT"];
    for rule in [&[&to[..], &[&inside]].concat()[..], &through] {
        assert!(Command::new("iptables").args(rule).status().unwrap().success());
    }
}

/// An introducer that all reach, and two nodes that nobody can dial. Dropped in this order.
struct Town {
    _daemons: Vec<Daemon>,
    peer: String,
    holder: Repository,
    getter: Repository,
    _introducer: Repository,
    _lan: Lan,
}

impl Town {
    fn of(ports: Ports, flags: &[&str]) -> Option<Town> {
        let mut lan = Lan::of(3)?;
        if !lan.hide(1, ports) || !lan.hide(2, ports) {
            return None;
        }
        let (introducer, holder, getter) = (Repository::new(), Repository::new(), Repository::new());
        let (bootstrap, address) = introduce(&lan, &introducer, flags);
        let start = |number: usize, repository: &Repository| {
            let listen = ["--listen", "/ip4/0.0.0.0/tcp/4001", "--listen", "/ip4/0.0.0.0/udp/4001/quic-v1"];
            let call = repository.daemon_call(&[&address], &[&listen[..], flags].concat());
            Daemon::start(call.on(lan.host(number)), "Daemon is ready")
        };
        let daemons = vec![start(1, &holder), start(2, &getter), bootstrap];
        for repository in [&holder, &getter] {
            wait_for_circuit(repository);
        }
        let peer = daemons[0].peer().to_owned();
        Some(Town { _daemons: daemons, peer, holder, getter, _introducer: introducer, _lan: lan })
    }

    /// The connections from the getter to the holder.
    fn ways(&self) -> Vec<String> {
        let peers = self.getter.cidra(["swarm", "peers"]).run().success();
        peers.lines().into_iter().filter(|line| line.ends_with(&self.peer)).map(str::to_owned).collect()
    }
}

/// A bootstrap node on the first host, and where it is.
fn introduce(lan: &Lan, introducer: &Repository, flags: &[&str]) -> (Daemon, String) {
    let call = Call::new(Program::Bootstrap)
        .env("HOME", introducer.path())
        .args(["--listen", "/ip4/0.0.0.0/tcp/4001", "--listen", "/ip4/0.0.0.0/udp/4001/quic-v1", "--data"])
        .arg(introducer.path())
        .args(flags);
    let bootstrap = Daemon::start(call.on(lan.host(0)), "Bootstrap is ready");
    let address = format!("/ip4/{}/tcp/4001/p2p/{}", lan.host(0).address, bootstrap.peer());
    (bootstrap, address)
}

/// Asks until the node says that it is reached through a relay.
fn wait_for_circuit(repository: &Repository) {
    wait_for(repository, |id| id.contains("/p2p-circuit"));
}

/// Asks until what the node says of itself is so.
fn wait_for(repository: &Repository, is_so: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let id = repository.cidra(["id"]).run().success();
        if is_so(id.text()) {
            return;
        }
        assert!(Instant::now() < deadline, "it does not come to that: {}", id.text());
    }
}
