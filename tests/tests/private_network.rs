//! A private network of three Cidra and two Kubo, and nodes without its key.

use std::fs;
use std::path::Path;

use cidra_tests::suite::MIB;
use cidra_tests::{Daemon, Kubo, Lan, Repository, sample};

#[test]
fn all_with_the_key_fetch_from_each_other_and_one_without_gets_nothing() {
    let Some(lan) = Lan::of(6) else { return };
    let ours: Vec<Repository> = (0..3).map(|_| Repository::new()).collect();
    let key_file = ours[0].file("swarm.key");
    new_key(&ours[0], &key_file);
    let with_key = ["--swarm-key", key_file.to_str().expect("it is text")];
    let mut daemons: Vec<Daemon> = vec![];
    let mut known: Vec<String> = vec![];
    for (number, repository) in ours.iter().enumerate() {
        let first: Vec<&str> = known.first().map(String::as_str).into_iter().collect();
        let flags = [&["--listen", "/ip4/0.0.0.0/tcp/4001"], &with_key[..]].concat();
        let call = repository.daemon_call(&first, &flags).on(lan.host(number));
        let daemon = Daemon::start(call, "Daemon is ready");
        known.push(format!("/ip4/{}/tcp/4001/p2p/{}", lan.host(number).address, daemon.peer()));
        daemons.push(daemon);
    }
    let key = fs::read_to_string(&key_file).expect("just written");
    let mut kubos: Vec<Kubo> = vec![];
    for number in 3..5 {
        let Some(kubo) = Kubo::private(lan.host(number), &known[..3], &key) else { return };
        known.push(format!("/ip4/{}/tcp/4001/p2p/{}", lan.host(number).address, kubo.peer()));
        // It dialled them while it started. Of a connection from before its exchange began that exchange is never told; where it says
        // so late, Cidra meets it anew (node/tests/network/late.rs). Without what follows, one run in eleven still hung; why is not known.
        for address in &known[..3] {
            let peer = address.rsplit('/').next().expect("a split gives at least one part");
            kubo.ipfs(["swarm", "disconnect", &format!("/p2p/{peer}")]).run();
            kubo.ipfs(["swarm", "connect", address]).run().success();
        }
        kubos.push(kubo);
    }
    let cidra = |number: usize, arguments: &[&str]| ours[number].cidra(arguments).on(lan.host(number));

    // Each adds a file of its own, and all get it, those of the other kind first: nobody else has it then.
    let file = ours[0].file("file");
    let mut cids = vec![];
    for number in 0..5u64 {
        sample::file(&file, MIB, number);
        let (from_kubo, number) = (number >= 3, number as usize);
        let cid = match from_kubo {
            false => cidra(number, &["add", "-Q"]).arg(&file).run().success().text().to_owned(),
            true => kubos[number - 3].add(&[], &file),
        };
        for to_kubo in [!from_kubo, from_kubo] {
            match to_kubo {
                false => (0..3).for_each(|to| {
                    let got = cidra(to, &["cat", &cid, "--timeout", "60s"]).run().success().stdout;
                    assert_eq!(got.len(), MIB as usize, "Cidra {to} of {number}");
                }),
                true => kubos.iter().for_each(|kubo| {
                    assert_eq!(kubo.ipfs(["cat", &cid]).run().success().stdout.len(), MIB as usize);
                }),
            }
        }
        cids.push(cid);
    }

    // The sixth knows where all of them are, who all have it.
    let sixth = Repository::new();
    let other_key = sixth.file("other.key");
    new_key(&sixth, &other_key);
    let ask = |timeout: &str, key: &[&str]| {
        let call = sixth.cidra(["cat", &cids[0], "--timeout", timeout, "--no-mdns", "--bootstrap", &known[0]]);
        call.args(known.iter().flat_map(|address| ["--peer", address])).args(key).on(lan.host(5)).run()
    };
    for key in [&[][..], &["--swarm-key", other_key.to_str().expect("it is text")]] {
        let got = ask("3s", key);
        assert!(got.code != Some(0) && got.stdout.is_empty(), "{got:?}");
    }
    assert_eq!(ask("60s", &with_key).success().stdout.len(), MIB as usize, "it is the key that was missing");
    daemons.into_iter().for_each(|daemon| drop(daemon.stop()));
}

fn new_key(repository: &Repository, file: &Path) {
    let key = repository.cidra(["network", "new"]).run().success().text().to_owned();
    fs::write(file, key + "\n").expect("the test's own folder");
}
