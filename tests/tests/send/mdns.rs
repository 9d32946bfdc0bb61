//! Peers find each other without being told of anybody.

use std::time::Duration;

use cidra_tests::{Daemon, Host, Lan, Repository};

#[test]
fn two_nodes_find_each_other_on_the_local_network_and_fetch() {
    let Some(lan) = Lan::of(2) else { return };
    let (alice, bob) = (Repository::new(), Repository::new());
    std::fs::write(alice.file("news"), "from next door").unwrap();
    let cid = alice.add(&alice.file("news"));
    let _daemon = daemon(&alice, lan.host(0));

    let fetched = bob.cidra(["cat", &cid, "--bootstrap", "none", "--timeout", "30s"]).on(lan.host(1)).run().success();
    let alone = ["cat", &cid, "--bootstrap", "none", "--timeout", "3s", "--no-mdns"];
    let carol = Repository::new();
    let by_flag = carol.cidra(alone).on(lan.host(1)).run();
    let by_variable = carol.cidra(&alone[..6]).env("CIDRA_NO_MDNS", "1").on(lan.host(1)).run();
    std::fs::write(carol.path().join("config.toml"), "[swarm]\nmdns = false\n").unwrap();
    let by_config = carol.cidra(&alone[..6]).on(lan.host(1)).run();

    assert_eq!(fetched.text(), "from next door");
    println!("found and fetched in {:?}", fetched.elapsed);
    for alone in [by_flag, by_variable, by_config] {
        alone.exits(3);
    }
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
