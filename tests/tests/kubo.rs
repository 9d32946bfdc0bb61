//! A real Kubo fetches from Cidra and Cidra from it, by an address given by hand, over every transport that both have.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cidra_tests::kubo::Transport;
use cidra_tests::suite::MIB;
use cidra_tests::{Daemon, Kubo, Repository, Suite, sample};

#[test]
fn over_tcp_with_tls() {
    let Some(scene) = Scene::new(Transport::Tls) else { return };
    scene.files();
    scene.folder();
    scene.kubo_sees_one_of_theirs();
    scene.kubo_finds_our_announcement();
    scene.names_lead_across();
    scene.what_nobody_has_ends_in_words();
    scene.end();
}

#[test]
fn over_tcp_with_noise() {
    let Some(scene) = Scene::new(Transport::Noise) else { return };
    scene.files();
    scene.end();
}

#[test]
fn over_quic() {
    let Some(scene) = Scene::new(Transport::Quic) else { return };
    scene.files();
    scene.end();
}

struct Scene {
    kubo: Kubo,
    ours: Repository,
    daemon: Daemon,
    /// By hand: ours, as Kubo dials it.
    address: String,
}

impl Scene {
    fn new(transport: Transport) -> Option<Scene> {
        let kubo = Kubo::online(transport)?;
        let ours = Repository::new();
        let listen = if transport == Transport::Quic { "/ip4/127.0.0.1/udp/0/quic-v1" } else { "/ip4/127.0.0.1/tcp/0" };
        let daemon = ours.daemon_with(&[], &["--listen", listen]);
        let address = daemon.any_address().to_owned();
        kubo.ipfs(["swarm", "connect", &address]).run().success();
        Some(Scene { kubo, ours, daemon, address })
    }

    /// One file each way in both profiles, and one that is empty.
    fn files(&self) {
        let suite = Suite::chosen();
        let (file, empty) = (self.ours.file("file"), self.ours.file("empty"));
        sample::file(&file, suite.of(3, 64, 1024) * MIB + 1, 1);
        sample::file(&empty, 0, 1);
        for profile in ["unixfs-v0-2015", "unixfs-v1-2025"] {
            for path in [&file, &empty] {
                let cid = self.ours.cidra(["add", "-Q", "--profile", profile]).arg(path).run().success();
                self.kubo_gets(cid.text(), path);
            }
        }

        let file = self.ours.file("theirs");
        sample::file(&file, suite.of(3, 64, 1024) * MIB + 1, 2);
        let modern: &[&str] = &["--cid-version=1", "--chunker=size-1048576", "--max-file-links=1024"];
        for flags in [&[][..], modern] {
            for path in [&file, &empty] {
                self.cidra_gets(&self.kubo.add(flags, path), path);
            }
        }
    }

    /// One each way of so many entries that its list is in shards.
    fn folder(&self) {
        let suite = Suite::chosen();
        for (name, seed) in [("ours", 3), ("theirs", 4)] {
            let folder = self.ours.file(&format!("folder of {name}"));
            many_files(&folder, suite.of(900, 5000, 5000), suite.of(10, 300, 5000), seed);
            match name {
                "ours" => self.kubo_gets(&self.ours.add(&folder), &folder),
                _ => self.cidra_gets(&self.kubo.add(&["--cid-version=1"], &folder), &folder),
            }
        }
    }

    fn kubo_sees_one_of_theirs(&self) {
        let peer = self.daemon.peer();
        let id = self.kubo.ipfs(["id", peer]).run().success();
        assert!(id.text().contains("cidra/") && id.text().contains("/ipfs/bitswap/1.2.0"), "{}", id.text());
        let peers = self.kubo.ipfs(["swarm", "peers"]).run().success();
        assert!(peers.lines().contains(&self.address.as_str()), "{}", peers.text());
        let ping = self.kubo.ipfs(["ping", "-n", "2", peer]).run().success();
        assert!(ping.text().contains("Average latency"), "{}", ping.text());
    }

    /// In the DHT of local networks, where we are a server like it.
    fn kubo_finds_our_announcement(&self) {
        let file = self.ours.file("announced");
        sample::file(&file, 1000, 5);
        let (cid, begin) = (self.ours.add(&file), Instant::now());
        loop {
            let found = self.kubo.ipfs(["--timeout", "2s", "routing", "findprovs", &cid]).run();
            if found.lines().contains(&self.daemon.peer()) {
                return;
            }
            assert!(begin.elapsed() < FETCH, "Kubo finds only {:?}", found.lines());
        }
    }

    /// Over the DHT of local networks; of both kinds of keys.
    fn names_lead_across(&self) {
        let empty = "/ipfs/bafkqaaa";
        let file = self.ours.file("named");
        sample::file(&file, 1000, 6);
        let path = format!("/ipfs/{}", self.ours.add(&file));
        for (key, kind) in [("small", "ed25519"), ("large", "rsa")] {
            self.ours.cidra(["key", "gen", "--type", kind, key]).run().success();
            for value in [empty, &path] {
                let name = self.ours.cidra(["name", "publish", "-Q", "--resolve=false", "--key", key, value]).run();
                let name = name.success().text().to_owned();
                let resolved = self.kubo.ipfs(["name", "resolve", "--nocache", &name]).limit(FETCH).run().success();
                assert_eq!(resolved.text(), value, "{kind}");
            }
        }
        self.kubo.ipfs(["key", "gen", "theirs"]).run().success();
        for value in [empty, &path] {
            let name = self.kubo.ipfs(["name", "publish", "-Q", "--resolve=false", "--key=theirs", value]).limit(FETCH);
            let name = name.run().success().text().to_owned();
            let resolved = self.ours.cidra(["name", "resolve", "--nocache", &name]).limit(FETCH).run().success();
            assert_eq!(resolved.text(), value);
        }
        // A key goes over with all that its name stands for.
        self.ours.cidra(["key", "export", "small", "-o", "small.key"]).run().success();
        let key = self.ours.file("small.key");
        let imported = self.kubo.ipfs(["key", "import", "ours"]).arg(&key).run().success().text().to_owned();
        assert!(self.ours.cidra(["key", "list", "-l"]).run().success().text().contains(&imported));
        let published = self.kubo.ipfs(["name", "publish", "-Q", "--resolve=false", "--key=ours", empty]).limit(FETCH);
        assert_eq!(published.run().success().text(), imported);
        let ours = self.ours.cidra(["name", "resolve", "--nocache", &imported]).limit(FETCH).run().success();
        assert_eq!(ours.text(), empty);
    }

    fn what_nobody_has_ends_in_words(&self) {
        let absent = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
        let get = self.ours.cidra(["get", absent, "--timeout", "3s", "-o", "absent"]).limit(FETCH).run();
        assert!(get.code != Some(0) && get.stderr.contains(absent), "{}", get.stderr);
        let get = self.kubo.ipfs(["--timeout", "3s", "get", absent]).limit(FETCH).run();
        assert_ne!(get.code, Some(0), "Kubo got what nobody has");
    }

    fn kubo_gets(&self, cid: &str, original: &Path) {
        let out = self.out(cid);
        self.kubo.ipfs(["get", cid, "-o"]).arg(&out).limit(FETCH).run().success();
        sample::assert_same(original, &out);
    }

    /// By a node that has just come, and dials.
    fn cidra_gets(&self, cid: &str, original: &Path) {
        let (out, getter) = (self.out(cid), Repository::new());
        getter.cidra(["get", cid, "--peer", &self.kubo.address(), "-o"]).arg(&out).limit(FETCH).run().success();
        sample::assert_same(original, &out);
    }

    fn out(&self, cid: &str) -> PathBuf {
        self.ours.file(&format!("got {cid}"))
    }

    fn end(self) {
        self.daemon.stop();
        self.kubo.stop();
    }
}

/// Files with names so long that fewer than a thousand need shards, and only so many contents: Kubo gets few in a second.
fn many_files(folder: &Path, count: u64, contents: u64, seed: u64) {
    std::fs::create_dir_all(folder).expect("the test's own folder");
    for number in 0..count {
        let name = format!("{:250}", format!("{number} of {seed}")).replace(' ', "_");
        std::fs::write(folder.join(name), format!("{} {seed}", number % contents)).expect("the test's own file");
    }
}

/// How long one fetch may take.
const FETCH: Duration = Duration::from_secs(300);
