//! What a bootstrap node keeps when it is killed.

use cidra_tests::suite::MIB;
use cidra_tests::{Daemon, Repository, sample};

#[test]
fn a_bootstrap_node_comes_back_with_its_identity_and_its_records() {
    let introducer = Repository::new();
    let bootstrap = Daemon::bootstrap(&introducer.path(), 0);
    let (peer, port) = (bootstrap.peer().to_owned(), bootstrap.port());
    let holder = Repository::new();
    let at_holder = holder.daemon(&[bootstrap.address()]);
    let file = holder.file("file");
    sample::file(&file, MIB, 1);
    let cid = holder.add(&file);
    // Answers when the record is out, so that it is surely at the bootstrap node.
    holder.cidra(["routing", "provide", &cid]).run().success();
    let provider = at_holder.peer().to_owned();

    bootstrap.stop();
    at_holder.kill();
    let bootstrap = Daemon::bootstrap(&introducer.path(), port);

    assert_eq!(bootstrap.peer(), peer);
    let asker = Repository::new();
    let answer = asker
        .cidra(["routing", "findprovs", &cid, "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0", "--bootstrap"])
        .arg(bootstrap.address())
        .run()
        .success();
    assert_eq!(answer.lines(), [provider]);
}

#[test]
fn a_bootstrap_node_holds_no_content_and_answers_its_health_check() {
    let introducer = Repository::new();
    let health =
        || cidra_tests::Call::new(cidra_tests::Program::Bootstrap).arg("health").arg("--data").arg(introducer.path());
    health().run().exits(1);
    let bootstrap = Daemon::bootstrap(&introducer.path(), 0);
    health().run().success();
    let holder = Repository::new();
    let file = holder.file("file");
    sample::file(&file, MIB, 1);
    let cid = holder.add(&file);

    let got = holder
        .cidra(["--repo"])
        .arg(holder.file("other"))
        .args(["cat", &cid, "--timeout", "3s", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0", "--bootstrap"])
        .arg(bootstrap.address())
        .run();

    got.exits(3);
    bootstrap.stop();
}
