//! Names of keys from the command line: published, found by others, and still there after a restart.

use std::fs;
use std::time::{Duration, Instant};

use cidra_tests::{Repository, rpc};

/// How long a name may take to reach another node; seconds are usual.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_name_leads_to_the_last_thing_published_without_any_network() {
    let repository = Repository::new();
    let offline = |words: &[&str]| repository.cidra(["--offline"]).args(words).run();
    fs::write(repository.file("one"), "first").expect("the test's own folder");
    fs::write(repository.file("two"), "second").expect("the test's own folder");
    let (one, two) = (repository.add(&repository.file("one")), repository.add(&repository.file("two")));
    let key = offline(&["key", "gen", "site"]).success().text().to_owned();

    let refused = offline(&["name", "publish", "--key=site", &one]).exits(1);
    assert!(refused.stderr.contains("--allow-offline"), "{}", refused.stderr);
    let printed = offline(&["name", "publish", "--allow-offline", "--key=site", &one]).success();
    assert_eq!(printed.text(), format!("Published to {key}: /ipfs/{one}"));
    assert_eq!(offline(&["cat", &format!("/ipns/{key}")]).success().text(), "first");
    offline(&["name", "publish", "--allow-offline", "--key", &key, "-Q", &two]).success();
    assert_eq!(offline(&["name", "resolve", &key]).success().text(), format!("/ipfs/{two}"));
    assert_eq!(offline(&["resolve", &format!("ipns://{key}")]).success().text(), format!("/ipfs/{two}"));

    // What ends sooner than what was said before is said anew.
    offline(&["name", "publish", "--allow-offline", "--key=site", "--lifetime=1h", &two]).success();

    // A name that leads to a name, and to a path below it.
    let own =
        offline(&["name", "publish", "--allow-offline", "-Q", &format!("/ipns/{key}")]).success().text().to_owned();
    assert_eq!(offline(&["name", "resolve"]).success().text(), format!("/ipfs/{two}"));
    assert_eq!(offline(&["name", "resolve", "--recursive=false", &own]).success().text(), format!("/ipns/{key}"));
    offline(&["get", &format!("/ipns/{own}"), "-o", "got"]).success();
    assert_eq!(fs::read_to_string(repository.file("got")).expect("it was written"), "second");
}

#[test]
fn what_cannot_be_published_or_resolved_is_told() {
    let repository = Repository::new();
    let offline = |words: &[&str]| repository.cidra(["--offline"]).args(words).run();
    let publish =
        |words: &[&str]| offline(&[&["name", "publish", "--allow-offline", "--resolve=false"], words].concat());
    let nothing = "bafkqaaa";

    publish(&["--sequence=5", nothing]).success();
    for words in [&["--sequence=5", nothing][..], &["--sequence=4", nothing], &["--ttl=3h", "--lifetime=2h", nothing]] {
        publish(words).exits(2);
    }
    publish(&["--key=missing", nothing]).exits(1);
    publish(&["--sequence=6", nothing]).success();
    let unknown = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w";
    let failed = offline(&["name", "resolve", unknown]).exits(3);
    assert!(failed.stderr.contains(unknown), "{}", failed.stderr);
    offline(&["name", "resolve", "neither a key nor a website"]).exits(2);
    offline(&["cat", &format!("/ipns/{unknown}/x")]).exits(3);
    // Something that is not there is not published unseen.
    let absent = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    offline(&["name", "publish", "--allow-offline", absent]).exits(3);
}

#[test]
fn a_record_is_carried_by_hand_and_looked_at() {
    let (alice, bob) = (Repository::new(), Repository::new());
    let publish = ["--offline", "name", "publish", "--allow-offline", "-Q", "--ttl=1m", "bafkqaaa"];
    let name = alice.cidra(publish).run().success().text().to_owned();
    let record = bob.file("record");
    alice.cidra(["--offline", "routing", "get", &format!("/ipns/{name}")]).output_to(&record).run().success();

    let inspected = bob.cidra(["name", "inspect", "--verify", &name]).arg(&record).run().success();
    for line in
        ["Value:          \"/ipfs/bafkqaaa\"", "TTL:            1m0s", "Signature Type: V1+V2", "\tValid:  true"]
    {
        assert!(inspected.lines().contains(&line), "{line:?} in {}", inspected.text());
    }
    let own = alice.cidra(["--offline", "key", "gen", "other"]).run().success().text().to_owned();
    let foreign = bob.cidra(["name", "inspect", "--dump=false", "--verify", &own]).arg(&record).run().success();
    assert!(foreign.text().contains("\tValid:  false"), "{}", foreign.text());
    let put = |key: &str| bob.cidra(["--offline", "routing", "put", "--allow-offline", key]).arg(&record).run();
    put(&format!("/ipns/{own}")).exits(2);
    put(&format!("/ipns/{name}")).success();
    assert_eq!(bob.cidra(["--offline", "name", "resolve", &name]).run().success().text(), "/ipfs/bafkqaaa");
}

#[test]
fn a_name_is_found_by_others_and_told_again_after_a_restart() {
    let (alice, bob, carol) = (Repository::new(), Repository::new(), Repository::new());
    let meeting = carol.daemon(&[]);
    let theirs = bob.daemon(&[meeting.address()]);
    let ours = alice.daemon(&[meeting.address()]);
    let name = alice.cidra(["name", "publish", "-Q", "--resolve=false", "bafkqaaa"]).run().success().text().to_owned();
    assert_eq!(bob.cidra(["name", "resolve", &name]).run().success().text(), "/ipfs/bafkqaaa");

    // Whoever kept it is gone, and so are those who know where it was.
    ours.kill();
    theirs.kill();
    meeting.kill();
    let meeting = carol.daemon(&[]);
    let _theirs = bob.daemon(&[meeting.address()]);
    let _ours = alice.daemon(&[meeting.address()]);

    assert_eq!(alice.cidra(["name", "resolve"]).run().success().text(), "/ipfs/bafkqaaa");
    let begin = Instant::now();
    loop {
        let resolved = bob.cidra(["name", "resolve", "--nocache", "--dht-timeout=5s", &name]).run();
        if resolved.code == Some(0) {
            assert_eq!(resolved.text(), "/ipfs/bafkqaaa");
            break;
        }
        assert!(begin.elapsed() < LIMIT, "nobody was told again: {}", resolved.stderr);
    }
}

#[test]
fn the_rpc_answers_in_kubos_fields() {
    let repository = Repository::new();
    let _daemon = repository.daemon(&[]);
    let address = fs::read_to_string(repository.path().join("api")).expect("a daemon writes it");
    let parts: Vec<&str> = address.trim().split('/').collect();
    let endpoint = format!("{}:{}", parts[2], parts[4]);
    let ask = |call: &str| {
        let reply = rpc::call(&endpoint, call, None, &[]);
        assert_eq!(reply.status, 200, "{call}: {}", reply.text());
        reply.objects().remove(0)
    };

    let made = ask("key/gen?arg=site&type=ed25519");
    assert_eq!(made["Name"], "site");
    let peer_id = ask("key/list?ipns-base=b58mh")["Keys"][1]["Id"].clone();
    assert!(peer_id.as_str().is_some_and(|id| id.starts_with("12D3Koo")), "{peer_id}");
    let published = ask("name/publish?arg=bafkqaaa&key=site&allow-offline=true&resolve=false");
    assert_eq!((&published["Name"], &published["Value"]), (&made["Id"], &"/ipfs/bafkqaaa".into()));
    let name = made["Id"].as_str().expect("it is text");
    assert_eq!(ask(&format!("name/resolve?arg=/ipns/{name}"))["Path"], "/ipfs/bafkqaaa");
    let renamed = ask("key/rename?arg=site&arg=page");
    assert_eq!(
        (&renamed["Was"], &renamed["Now"], &renamed["Overwrite"]),
        (&"site".into(), &"page".into(), &false.into())
    );
    assert_eq!(ask("key/rm?arg=page")["Keys"][0]["Name"], "page");
    // A private key leaves through the repository's own socket only.
    assert_eq!(rpc::call(&endpoint, "cidra/key/export?arg=page", None, &[]).status, 404);
}
