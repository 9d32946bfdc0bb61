//! A `get` that was killed half way fetches only the rest when it is called again.

use cidra_tests::program::LIMIT;
use cidra_tests::suite::MIB;
use cidra_tests::{Call, Relay, Repository, Suite, sample};

/// What a fetch may cost on the wire beyond the content: framing, encryption, greetings, and what was on its way when the
/// first getter died.
const SURPLUS: u64 = 8 * MIB;

#[test]
fn a_get_that_was_killed_fetches_only_the_rest() {
    let size = Suite::chosen().of(48, 256, 1024) * MIB;
    let holder = Repository::new();
    let file = holder.file("file");
    sample::file(&file, size, 1);
    let at_holder = holder.daemon(&[]);
    let cid = holder.add(&file);
    let relay = Relay::before(&at_holder);
    let getter = Repository::new();
    let out = getter.file("out");

    let half_way = get(&getter, &cid, &relay).start();
    relay.wait_for(size / 2, LIMIT);
    half_way.kill();
    let first = relay.bytes();
    assert!(!out.exists(), "until it is complete nothing stands under the final name");
    assert!(first < size * 9 / 10, "{first} of {size} bytes had passed: it was killed too late to show anything");

    get(&getter, &cid, &relay).run().success();
    let rest = relay.bytes() - first;

    sample::assert_same(&file, &out);
    assert!(first + rest >= size, "{first} and {rest} bytes came over this connection: the rest came some other way");
    assert!(first + rest <= size + SURPLUS, "{first} and then {rest} bytes for {size}: part of it was fetched twice");
}

fn get(getter: &Repository, cid: &str, relay: &Relay) -> Call {
    getter
        .cidra([
            "get",
            cid,
            "-o",
            "out",
            "--bootstrap",
            "none",
            "--no-mdns",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
            "--peer",
        ])
        .arg(relay.address())
        .limit(LIMIT * 2)
}
