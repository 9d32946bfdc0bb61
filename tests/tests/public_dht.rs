//! The rules of the public DHT without the internet: servers of Kubo whose addresses look public, on hosts without a way out, and a
//! Cidra among them that finds and is found, and is a server once they have confirmed that it is reachable.

use std::time::{Duration, Instant};

use cidra_tests::suite::MIB;
use cidra_tests::{Daemon, Kubo, Lan, Repository, Suite, sample};
use serde_json::Value;

#[test]
fn it_finds_and_is_found_among_servers_of_kubo_and_becomes_one() {
    let servers = Suite::chosen().of(3, 10, 10);
    let Some(lan) = Lan::of_public(servers + 1) else { return };
    let mut kubos: Vec<Kubo> = vec![];
    let mut known: Vec<String> = vec![];
    for number in 0..servers {
        let Some(kubo) = Kubo::server(lan.host(number), &known) else { return };
        known.truncate(2);
        known.push(format!("/ip4/{}/tcp/4001/p2p/{}", lan.host(number).address, kubo.peer()));
        kubos.push(kubo);
    }
    let ours = Repository::new();
    let file = ours.file("file");
    sample::file(&file, MIB, 1);
    let call = ours.daemon_call(&[&known[0]], &["--listen", "/ip4/0.0.0.0/tcp/4001"]);
    let daemon = Daemon::start(call.on(lan.host(servers)), "Daemon is ready");
    let cidra = |arguments: &[&str]| ours.cidra(arguments).on(lan.host(servers));

    // Theirs is found by us.
    let theirs = ours.file("theirs");
    sample::file(&theirs, MIB, 2);
    let cid = kubos[1].add(&[], &theirs);
    let holder = kubos[1].peer();
    until("Kubo's announcement is found", || {
        cidra(&["routing", "findprovs", "-n", "5", &cid]).run().success().lines().contains(&&*holder)
    });
    cidra(&["cat", &cid, "--timeout", "60s"]).run().success();

    // Ours is found by them.
    let cid = cidra(&["add", "-Q"]).arg(&file).run().success().text().to_owned();
    let us = daemon.peer().to_owned();
    let last = &kubos[servers - 1];
    until("our announcement is found", || {
        last.ipfs(["routing", "findprovs", "--num-providers", "5", &cid]).run().text().contains(&us)
    });
    last.ipfs(["cat", &cid]).run().success();

    // Their tests of its address find it reachable, and it serves, too.
    until("others say that they reach it", || {
        let said: Value = serde_json::from_slice(&cidra(&["id"]).run().success().stdout).expect("it is JSON");
        said["Reachability"] == "Public"
    });
    until("they take it for a server", || {
        let identity = last.ipfs(["id", &us]).run().success();
        identity.text().contains("/ipfs/lan/kad/1.0.0") && identity.text().contains("\"/ipfs/kad/1.0.0\"")
    });
    daemon.stop();
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not in time: {what}");
    }
}
