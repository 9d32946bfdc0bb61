//! One bootstrap node and four daemons that know only it: what is added on one is fetched by its hash on the others.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cidra_tests::suite::MIB;
use cidra_tests::{Daemon, Repository, Suite, sample};

/// How long one fetch may take: 1 GiB on a slow and busy machine.
const FETCH: Duration = Duration::from_secs(300);

#[test]
fn what_one_node_adds_the_others_fetch_by_hash_alone() {
    let suite = Suite::chosen();
    let shared = tempfile::tempdir().expect("a temporary folder");
    let [large, medium, folder, empty] =
        ["large.bin", "medium.bin", "folder", "empty"].map(|name| shared.path().join(name));
    sample::file(&large, suite.of(16, 1024, 1024) * MIB, 1);
    sample::file(&medium, suite.of(3, 128, 1024) * MIB + 1, 2);
    sample::folder(&folder, suite.of(200, 2_000, 10_000), 3);
    fs::create_dir(&empty).expect("the test's own folder");

    let introducer = Repository::new();
    let bootstrap = Daemon::bootstrap(&introducer.path(), 0);
    let [a, b, c, d] = [(); 4].map(|()| Repository::new());
    let [at_a, at_b, at_c, at_d] = [&a, &b, &c, &d].map(|repository| repository.daemon(&[bootstrap.address()]));

    let large_cid = a.add(&large);
    fetch(&b, &large_cid, &large);
    drop(fs::remove_file(&large));
    let medium_cid = b.add(&medium);
    let folder_cid = c.add(&folder);
    let empty_cid = d.add(&empty);
    for (others, cid, original) in
        [([&a, &c, &d], &medium_cid, &medium), ([&a, &b, &d], &folder_cid, &folder), ([&a, &b, &c], &empty_cid, &empty)]
    {
        for other in others {
            fetch(other, cid, original);
        }
    }

    // The bootstrap node is gone: what is added from here on is found through the DHT of those that are left.
    let port = bootstrap.port();
    bootstrap.kill();
    let late = shared.path().join("late.bin");
    sample::file(&late, MIB, 4);
    let late_cid = b.add(&late);
    fetch(&d, &late_cid, &late);

    // A node that comes when it is back finds what was added while it was away.
    let bootstrap = Daemon::bootstrap(&introducer.path(), port);
    let newcomer = Repository::new();
    let at_newcomer = newcomer.daemon(&[bootstrap.address()]);
    fetch(&newcomer, &late_cid, &late);

    // Killed and started again on other ports, with what they hold, nodes are found again.
    at_b.kill();
    at_c.kill();
    let at_b = b.daemon(&[bootstrap.address()]);
    let at_c = c.daemon(&[bootstrap.address()]);
    let last = Repository::new();
    let at_last = last.daemon(&[bootstrap.address()]);
    at_newcomer.stop();
    at_d.stop();
    at_a.stop();
    fetch(&last, &folder_cid, &folder);
    fetch(&last, &late_cid, &late);

    for daemon in [at_b, at_c, at_last, bootstrap] {
        daemon.stop();
    }
}

/// Gets it on a node and compares what came with what was added.
fn fetch(getter: &Repository, cid: &str, original: &Path) {
    let out = getter.file(cid);
    getter.cidra(["get", cid, "-o"]).arg(&out).limit(FETCH).run().success();
    sample::assert_same(original, &out);
    if out.is_dir() { fs::remove_dir_all(&out) } else { fs::remove_file(&out) }.expect("the test's own folder");
}
