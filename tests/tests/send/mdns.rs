//! Peers find each other without being told of anybody.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use cidra_content::mdns;
use cidra_tests::suite::MIB;
use cidra_tests::{Call, Daemon, Host, Lan, Repository, Suite};
use libp2p::PeerId;

#[test]
fn two_nodes_find_each_other_on_the_local_network_and_fetch() {
    let Some(lan) = Lan::of(2) else { return };
    let (cid, _holder) = fetches_from_next_door(&lan);

    let alone = ["cat", &cid, "--bootstrap", "none", "--timeout", "3s", "--no-mdns"];
    let carol = Repository::new();
    let by_flag = carol.cidra(alone).on(lan.host(1)).run();
    let by_variable = carol.cidra(&alone[..6]).env("CIDRA_NO_MDNS", "1").on(lan.host(1)).run();
    std::fs::write(carol.path().join("config.toml"), "[swarm]\nmdns = false\n").unwrap();
    let by_config = carol.cidra(&alone[..6]).on(lan.host(1)).run();

    for alone in [by_flag, by_variable, by_config] {
        alone.exits(3);
    }
}

/// A node gets what another one has that it was not told of. The other one goes on.
fn fetches_from_next_door(lan: &Lan) -> (String, (Daemon, Repository)) {
    let (alice, bob) = (Repository::new(), Repository::new());
    std::fs::write(alice.file("news"), "from next door").unwrap();
    let cid = alice.add(&alice.file("news"));
    let daemon = daemon(&alice, lan.host(0));

    let fetched = bob.cidra(["cat", &cid, "--bootstrap", "none", "--timeout", "30s"]).on(lan.host(1)).run().success();

    assert_eq!(fetched.text(), "from next door");
    println!("found and fetched in {:?}", fetched.elapsed);
    (cid, (daemon, alice))
}

#[test]
fn a_peer_that_comes_back_is_met_again() {
    let Some(lan) = Lan::of(2) else { return };
    let (alice, bob) = (Repository::new(), Repository::new());
    let daemon = daemon(&alice, lan.host(0));
    let other = self::daemon(&bob, lan.host(1));
    wait_for_peers(&bob, 1);

    other.stop();
    let _other = self::daemon(&bob, lan.host(1));

    wait_for_peers(&bob, 1);
    drop(daemon);
    wait_for_peers(&bob, 0);
}

#[test]
fn two_nodes_find_each_other_where_there_is_only_ip6() {
    let Some(lan) = Lan::of_ip6(2) else { return };
    fetches_from_next_door(&lan);
}

/// Thousands of packets a second, each of which speaks of ten peers that there are not.
#[test]
fn a_flood_of_forged_peers_costs_a_node_little() {
    let Some(lan) = Lan::of(3) else { return };
    let (alice, bob) = (Repository::new(), Repository::new());
    std::fs::write(alice.file("news"), "all the same").unwrap();
    let cid = alice.add(&alice.file("news"));
    let daemon = daemon(&alice, lan.host(0));
    let before = daemon.memory().own;

    let seconds = Suite::chosen().of(3, 6, 60);
    let flood = Call::test("mdns::floods").env(ADDRESS, &lan.host(2).address).env(SECONDS, seconds.to_string());
    let flood = flood.on(lan.host(2)).run().success();
    let figure = |name: &str| -> u64 {
        let said = flood.text().lines().find_map(|line| line.strip_prefix(name)).expect("it says what it did");
        said.trim().parse().expect("a number")
    };
    let (sent, dialled) = (figure("packets:"), figure("dialled:"));
    let grown = daemon.memory().own.saturating_sub(before);
    println!("{sent} packets in {seconds} s: {dialled} dials, {grown} bytes more");

    assert!(sent > 1000 * seconds, "no flood: {sent} packets");
    assert!(dialled > 0, "nothing of it was heard");
    assert!(dialled <= 8 * (seconds + 3), "dialled {dialled} times in {seconds} s");
    assert!(grown < 16 * MIB, "{grown} bytes more");
    let fetched = bob.cidra(["cat", &cid, "--bootstrap", "none", "--timeout", "30s"]).on(lan.host(1)).run().success();
    assert_eq!(fetched.text(), "all the same");
    daemon.stop();
}

/// The address that a flood comes from, and how long it lasts.
const ADDRESS: &str = "STRANGER_ADDRESS";
const SECONDS: &str = "STRANGER_SECONDS";

/// The stranger of the test above, on a host of its own: says what it did on standard output.
#[test]
#[ignore = "the test of a flood runs it"]
fn floods() {
    let Ok(address) = env::var(ADDRESS) else { return };
    let address: Ipv4Addr = address.parse().expect("its test says where it is");
    let seconds: u64 = env::var(SECONDS).expect("its test says how long").parse().expect("a number");
    let listener = TcpListener::bind((address, 0)).expect("the host's own address");
    let port = listener.local_addr().expect("it is bound").port();
    let dialled = AtomicUsize::new(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Whoever dials is dismissed; the last one is the stranger itself.
            for connection in listener.incoming() {
                drop(connection);
                if Instant::now() >= end {
                    return;
                }
                dialled.fetch_add(1, Ordering::Relaxed);
            }
        });
        let socket = UdpSocket::bind((address, 0)).expect("the host's own address");
        rustix::net::sockopt::set_ip_multicast_if(&socket, &address).expect("the host's own address");
        let mut packets = 0_u64;
        while Instant::now() < end {
            let peers = (0..10).map(|_| format!("/ip4/{address}/tcp/{port}/p2p/{}", PeerId::random()));
            let peers: Vec<String> = peers.collect();
            let packet = mdns::answer("stranger", peers.iter().map(String::as_str));
            // A full buffer of the system is no reason to stop.
            packets += u64::from(socket.send_to(&packet, (Ipv4Addr::new(224, 0, 0, 251), 5353)).is_ok());
        }
        std::net::TcpStream::connect((address, port)).expect("it listens");
        // The runner of tests has begun a line.
        println!("\npackets: {packets}");
    });
    println!("dialled: {}", dialled.into_inner());
}

fn daemon(repository: &Repository, host: &Host) -> Daemon {
    let call = repository.cidra(["daemon", "--bootstrap", "none", "--api-listen", "none"]);
    Daemon::start(call.on(host), "Daemon is ready")
}

/// The socket is a file: it is reached from outside the namespace.
fn wait_for_peers(repository: &Repository, count: usize) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let peers = repository.cidra(["swarm", "peers"]).run().success();
        if peers.text().lines().count() == count {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{count} peers are expected: {}", peers.text());
    }
}
