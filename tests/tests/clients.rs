//! Programs that others wrote for Kubo's RPC drive a daemon: the npm client, and `ipfs` itself. Where they are not installed this says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cidra_tests::{Call, Daemon, Finished, Program, Repository, kubo, sample};

#[test]
fn the_npm_client_works_as_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubo-rpc-client");
    if !folder.join("node_modules/kubo-rpc-client").is_dir() {
        println!("skipped: kubo-rpc-client is not installed (`npm ci` in {})", folder.display());
        return;
    }
    let repository = Repository::new();
    let daemon = repository.daemon(&[]);
    let other = Repository::new();
    let peer = other.daemon(&[]);

    let driven = Command::new("node")
        .arg(folder.join("drive.mjs"))
        .arg(format!("http://{}/api/v0", daemon.server("RPC API")))
        .arg(peer.address())
        .output();

    let driven = driven.expect("what installed the client is there to run it");
    let said = String::from_utf8_lossy(&driven.stdout);
    assert!(driven.status.success(), "{said}\n{}", String::from_utf8_lossy(&driven.stderr));
    assert_eq!(said.lines().count(), PARTS, "{said}");
    daemon.stop();
    peer.stop();
}

/// Of `drive.mjs`.
const PARTS: usize = 12;

/// `ipfs --api` towards a daemon of ours, with a folder of its own.
struct Ipfs {
    api: String,
    folder: Repository,
}

impl Ipfs {
    fn of(daemon: &Daemon) -> Ipfs {
        let (host, port) =
            daemon.server("RPC API").split_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).expect("HOST:PORT");
        Ipfs { api: format!("/ip4/{host}/tcp/{port}"), folder: Repository::new() }
    }

    fn call(&self, words: &str) -> Call {
        Call::new(Program::Kubo)
            .env("IPFS_PATH", self.folder.file("none"))
            .env("HOME", self.folder.folder())
            .current_dir(self.folder.folder())
            .args(["--api", &self.api])
            .args(words.split(' '))
    }

    fn run(&self, words: &str) -> Finished {
        self.call(words).run().success()
    }

    fn text(&self, words: &str) -> String {
        self.run(words).text().to_owned()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.file(name)
    }
}

#[test]
fn ipfs_works_with_a_daemon_of_ours() {
    if let Err(reason) = kubo::program() {
        println!("skipped: {reason}");
        return;
    }
    let repository = Repository::new();
    let daemon = repository.daemon(&[]);
    let ipfs = Ipfs::of(&daemon);
    fs::create_dir(ipfs.file("folder")).expect("the test's own folder");
    fs::write(ipfs.file("folder/a"), "hello world").expect("the test's own folder");
    sample::file(&ipfs.file("folder/large"), 3 << 20, 1);

    // add, ls, cat, get
    let root = ipfs.text("add -r -Q folder");
    let hello = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD";
    let listed = ipfs.text(&format!("ls {root}"));
    assert!(listed.starts_with(&format!("{hello} 11      a")), "{listed}");
    assert_eq!(ipfs.text(&format!("cat /ipfs/{root}/a")), "hello world");
    ipfs.run(&format!("get -o got {root}"));
    sample::assert_same(&ipfs.file("folder/large"), &ipfs.file("got/large"));
    assert_eq!(ipfs.text(&format!("resolve /ipfs/{root}/a")), format!("/ipfs/{hello}"));
    assert_eq!(ipfs.run(&format!("refs -r {root}")).lines().len(), 14);

    // pin
    assert!(ipfs.text("pin ls --type=recursive").contains(&root));
    assert_eq!(ipfs.text(&format!("pin rm {root}")), format!("unpinned {root}"));
    assert_eq!(ipfs.text(&format!("pin add --progress=false {root}")), format!("pinned {root} recursively"));
    ipfs.call(&format!("pin rm {hello}")).run().exits(1);

    // block, dag
    let block = ipfs.call("block put").input("a block").run().success().text().to_owned();
    assert_eq!(ipfs.text(&format!("block get {block}")), "a block");
    assert_eq!(ipfs.run(&format!("block stat {block}")).lines()[1], "Size: 7");
    assert_eq!(ipfs.text(&format!("block rm {block}")), format!("removed {block}"));
    let node = ipfs.call("dag put").input("{\"a\":{\"b\":7}}").run().success().text().to_owned();
    assert_eq!(ipfs.text(&format!("dag get {node}/a/b")), "7");
    ipfs.call(&format!("dag export --progress=false {root}")).output_to(&ipfs.file("root.car")).run().success();
    let imported = ipfs.text("dag import root.car");
    assert_eq!(imported, format!("Pinned root\t{root}\tsuccess"));
    assert!(ipfs.text(&format!("dag stat --progress=false {root}")).contains("Total"), "of a DAG");

    // files
    ipfs.run("files mkdir -p /tree/below");
    ipfs.call("files write --create /tree/below/note").input("hello there").run().success();
    ipfs.call("files write -o 6 /tree/below/note").input("HERE").run().success();
    assert_eq!(ipfs.text("files read /tree/below/note"), "hello HEREe");
    ipfs.run(&format!("files cp /ipfs/{root} /tree/copy"));
    ipfs.run("files mv /tree/copy /tree/moved");
    assert_eq!(ipfs.text("files stat --hash /tree/moved"), root);
    assert!(ipfs.text("files stat /tree/moved").contains("\nType: directory\n"));
    assert_eq!(ipfs.run("files ls /tree").lines(), ["below", "moved"]);
    let long = ipfs.text("files ls -l /tree/moved");
    assert!(long.starts_with(&format!("a\t{hello}\t11\n")), "{long}");
    ipfs.run("files chcid --cid-version=1 /tree/below");
    assert!(ipfs.text("files flush /tree/below").contains("bafybei"));
    assert!(ipfs.call("files rm /tree /none").run().exits(1).text().contains("use -r"));
    ipfs.run("files rm -r /tree");

    // swarm, repo and the others
    let other = Repository::new();
    let peer = other.daemon(&[]);
    assert!(ipfs.text(&format!("swarm connect {}", peer.address())).ends_with("success"));
    assert!(ipfs.text("swarm peers").contains(peer.peer()));
    assert!(ipfs.text("id -f <id>").starts_with("12D3"));
    assert!(ipfs.text("repo stat").contains("NumObjects:"));
    ipfs.run("repo gc --quiet");
    assert!(ipfs.text("diag sys").contains("ipfs_version"));
    assert_eq!(ipfs.text("log level all error"), "Changed log level of '*' to 'error'");
    daemon.stop();
    peer.stop();
}
