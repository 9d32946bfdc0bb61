//! What a list denies is not to be had: not by commands, not by the gateway, not by peers.

use std::fs;
use std::time::{Duration, Instant};

use cidra_tests::{Daemon, Repository, rpc, sample};

#[test]
fn what_is_denied_is_not_served_fetched_or_shown_and_the_list_is_named() {
    let repository = Repository::new();
    let list = repository.file("list.deny");
    fs::write(&list, "").unwrap();
    let folder = repository.file("folder");
    fs::create_dir(&folder).unwrap();
    sample::file(&folder.join("good"), 1000, 1);
    sample::file(&folder.join("bad"), 1000, 2);
    let root = repository.add(&folder);
    repository.cidra(["config", "deny.lists"]).arg(&list).run().success();
    let free = "/ip4/127.0.0.1/tcp/0";
    let call = repository.cidra(["daemon", "--no-mdns", "--bootstrap", "none", "--listen", free]);
    let daemon = Daemon::start(call.args(["--api-listen", free, "--gateway-listen", free]), "Daemon is ready");
    let gateway = daemon.server("Gateway");
    let status = |path: &str| rpc::get(&gateway, path, &[]).status;
    let bad = repository.cidra(["resolve", &format!("/ipfs/{root}/bad")]).run().success();
    let bad = bad.text().trim_start_matches("/ipfs/").to_owned();
    assert_eq!(status(&format!("/ipfs/{bad}")), 200);

    // A file that changes counts in a daemon that runs.
    fs::write(&list, format!("/ipfs/{bad} gateway_status=451\n/ipfs/{root}/good\n")).unwrap();
    until("the list is read", || status(&format!("/ipfs/{bad}")) == 451);

    assert_eq!(status(&format!("/ipfs/{bad}?format=raw")), 451);
    assert_eq!(status(&format!("/ipfs/{root}/good")), 410);
    assert_eq!(status(&format!("/ipfs/{root}/?format=raw")), 200);
    for what in [bad.clone(), format!("{root}/bad"), format!("{root}/good")] {
        let refused = repository.cidra(["cat", &what]).run().exits(1);
        let said = &refused.stderr;
        assert!(said.contains("is denied by") && said.contains("list.deny"), "{what}: {said}");
    }

    let other = Repository::new();
    let peer = ["--no-mdns", "--bootstrap", "none", "--listen", "/ip4/127.0.0.1/tcp/0", "--peer", daemon.address()];
    other.cidra(["cat", &format!("{root}/good"), "--timeout", "20s"]).args(peer).run().success();
    other.cidra(["cat", &bad, "--timeout", "3s"]).args(peer).run().exits(3);
    daemon.stop();
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "not in time: {what}");
        std::thread::yield_now();
    }
}
