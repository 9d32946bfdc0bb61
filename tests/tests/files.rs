//! The tree of `cidra files`: as Kubo has it, for the same steps; whole after a kill at any moment; kept by collection.

#[path = "files/step.rs"]
mod step;

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use cidra_tests::{Kubo, Repository, Suite, rpc};

use step::Step;

/// Sequence N is made of the seed N and nothing else: `CIDRA_SEED=N` runs that one alone.
#[test]
fn the_same_steps_lead_to_the_cids_of_kubo() {
    let Some(kubo) = Kubo::start(None) else { return };
    let repository = Repository::new();
    let daemon = repository.daemon(&[]);
    let (theirs, ours) = (kubo.api(), daemon.server("RPC API"));
    let sources: Vec<String> = step::SOURCES.iter().map(|source| source.put(&[&theirs, &ours])).collect();
    let seeds = match env::var("CIDRA_SEED") {
        Ok(seed) => vec![seed.parse::<u64>().expect("CIDRA_SEED is a number")],
        Err(_) => (0..Suite::chosen().of(4, 30, 600)).collect(),
    };
    let (mut done, mut refused) = (0, 0);
    for seed in seeds {
        for endpoint in [&theirs, &ours] {
            for name in names(endpoint) {
                assert_eq!(rpc::call(endpoint, &format!("files/rm?arg=/{name}&force=true"), None, &[]).status, 200);
            }
        }
        let mut random = SmallRng::seed_from_u64(seed);
        let mut taken: Vec<String> = vec![];
        for _ in 0..STEPS {
            let step = Step::random(&mut random, &sources);
            taken.push(format!("{step:?}"));
            let answers = [&theirs, &ours].map(|endpoint| step.take(endpoint));
            let [expected, found] = [&theirs, &ours].map(|endpoint| stat(endpoint, "/"));
            let unheard = answers.contains(&Err(String::new()));
            let same = (unheard || answers[0].is_ok() == answers[1].is_ok()) && expected == found;
            let steps = taken.join("\n");
            assert!(same, "CIDRA_SEED={seed}\n{steps}\nKubo and ours: {answers:?}\n{expected}\n{found}");
            if answers[0].is_ok() { done += 1 } else { refused += 1 }
        }
    }
    println!("{done} steps have the same CIDs in both, {refused} are refused by both");
    assert!(done * 4 > refused, "what both refuse compares nothing");
    daemon.stop();
    kubo.stop();
}

/// Of one sequence.
const STEPS: usize = 40;

#[test]
fn a_large_folder_is_the_one_of_kubo() {
    let Some(kubo) = Kubo::start(None) else { return };
    let repository = Repository::new();
    let daemon = repository.daemon(&[]);
    let endpoints = [kubo.api(), daemon.server("RPC API")];
    let block = b"entry";
    let put = |endpoint: &String| rpc::call(endpoint, "block/put", Some(block), &[]).objects()[0]["Key"].clone();
    let cid = endpoints.each_ref().map(put)[0].as_str().expect("a CID").to_owned();
    let name = |number: usize| format!("{}{number}", "long name ".repeat(24).replace(' ', "%20"));
    for endpoint in &endpoints {
        good(endpoint, "files/mkdir?arg=/big&flush=false");
        for number in 0..1_100 {
            // Kubo writes a folder anew for each entry that is flushed.
            let flush = number % 100 == 99;
            good(endpoint, &format!("files/cp?arg=/ipfs/{cid}&arg=/big/{}&flush={flush}", name(number)));
        }
    }
    let [theirs, ours] = endpoints.each_ref().map(|endpoint| stat(endpoint, "/big"));
    assert_eq!(theirs, ours, "in shards");
    let kind = rpc::call(&endpoints[1], &format!("dag/get?arg={}", ours["Hash"].as_str().unwrap_or("")), None, &[]);
    assert!(kind.text().contains("\"CAUS"), "it is a shard: {}", &kind.text()[..200]);
    for endpoint in &endpoints {
        for number in 0..300 {
            good(endpoint, &format!("files/rm?arg=/big/{}", name(number)));
        }
    }
    let [theirs, ours] = endpoints.each_ref().map(|endpoint| stat(endpoint, "/big"));
    assert_eq!(theirs, ours, "in one block again");
    daemon.stop();
    kubo.stop();
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let mut torn = 0;
    for round in 0..Suite::chosen().of(3, 20, 100) {
        let repository = Repository::new();
        let daemon = repository.daemon(&[]);
        let endpoint = daemon.server("RPC API");
        let writing = AtomicBool::new(true);
        let acknowledged = std::thread::scope(|scope| {
            let writer = scope.spawn(|| write_until_killed(&endpoint, &writing));
            let mut random = SmallRng::seed_from_u64(round);
            wait_for(&endpoint, random.random_range(1..8));
            // So that it falls into another part of a change each time.
            for _ in 0..random.random_range(0..20) {
                entries(&endpoint, "/d");
            }
            writing.store(false, Ordering::Relaxed);
            daemon.kill();
            writer.join().expect("it ends with the daemon")
        });
        let listed = repository.cidra(["--offline", "files", "ls", "/d"]).run().success();
        let here = listed.lines().len();
        println!("round {round}: {acknowledged} files were acknowledged, {here} are there");
        assert!(here == acknowledged || here == acknowledged + 1, "round {round}: {here} of {acknowledged}");
        for number in [0, acknowledged - 1] {
            let path = format!("/d/{number}");
            let read = repository.cidra(["--offline", "files", "read", &path]).run().success();
            assert_eq!(read.stdout, content(number), "round {round}: {path}");
        }
        repository.cidra(["--offline", "repo", "verify"]).run().success();
        repository.cidra(["--offline", "repo", "gc"]).run().success();
        let path = format!("/d/{}", acknowledged - 1);
        repository.cidra(["--offline", "files", "read", &path]).run().success();
        torn += usize::from(here != acknowledged);
    }
    println!("{torn} kills came between a change and its acknowledgement");
}

#[test]
fn nothing_is_lost_between_writers_at_the_same_time() {
    let repository = Repository::new();
    let daemon = repository.daemon(&[]);
    let endpoint = daemon.server("RPC API");
    good(&endpoint, "files/mkdir?arg=/d");
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let endpoint = &endpoint;
            scope.spawn(move || {
                for number in 0..20 {
                    let call = format!("files/write?arg=/d/{writer}-{number}&create=true");
                    let reply = rpc::call(endpoint, &call, Some(&content(number)), &[]);
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    // What is written is there at once, and what others write does not hide it.
                    let read = rpc::call(endpoint, &format!("files/read?arg=/d/{writer}-{number}"), None, &[]);
                    assert_eq!(read.body, content(number));
                }
            });
        }
    });
    assert_eq!(entries(&endpoint, "/d").len(), 8 * 20);
    // A command that opens the repository for itself sees the same.
    daemon.stop();
    assert_eq!(repository.cidra(["files", "ls", "/d"]).run().success().lines().len(), 8 * 20);
}

#[test]
fn what_is_not_flushed_is_seen_and_made_durable_by_a_flush_or_a_stop() {
    let repository = Repository::new();
    let daemon = repository.daemon(&[]);
    let endpoint = daemon.server("RPC API");
    good(&endpoint, "files/mkdir?arg=/kept");
    for number in 0..256 {
        good(&endpoint, &format!("files/mkdir?arg=/kept/{number}&flush=false"));
    }
    assert_eq!(entries(&endpoint, "/kept").len(), 256);
    let more = rpc::call(&endpoint, "files/mkdir?arg=/kept/more&flush=false", None, &[]);
    assert!(more.status == 500 && more.text().contains("reached limit of 256"), "{}", more.text());
    let collected = rpc::call(&endpoint, "repo/gc", None, &[]);
    assert_eq!((collected.status, entries(&endpoint, "/kept").len()), (200, 256));
    good(&endpoint, "files/flush?arg=/");
    daemon.kill();

    assert_eq!(repository.cidra(["files", "ls", "/kept"]).run().success().lines().len(), 256);
    repository.cidra(["files", "--flush=false", "mkdir", "/stopped"]).run().success();
    repository.cidra(["files", "stat", "/stopped"]).run().success();
}

#[test]
fn collection_leaves_what_the_tree_names_and_a_copy_fetches_nothing_else() {
    let holder = Repository::new();
    std::fs::create_dir(holder.file("folder")).expect("the test's own folder");
    for name in ["near", "far"] {
        std::fs::write(holder.file("folder").join(name), name.repeat(1000)).expect("the test's own folder");
    }
    let root = holder.add(&holder.file("folder"));
    let theirs = holder.daemon(&[]);
    let repository = Repository::new();
    let daemon = repository.daemon(&[theirs.address()]);
    let endpoint = daemon.server("RPC API");

    good(&endpoint, &format!("files/cp?arg=/ipfs/{root}&arg=/lazy"));
    let local = stat(&endpoint, "/lazy&with-local=true");
    assert_eq!((&local["Local"], &local["WithLocality"]), (&Value::Null, &Value::Bool(true)), "{local}");
    assert!(local["SizeLocal"].as_u64() < Some(1000), "{local}");
    assert_eq!(rpc::call(&endpoint, "files/read?arg=/lazy/near", None, &[]).body, b"near".repeat(1000));
    theirs.stop();
    assert_eq!(rpc::call(&endpoint, "repo/gc", None, &[]).status, 200);

    assert_eq!(rpc::call(&endpoint, "files/read?arg=/lazy/near&offset=3998", None, &[]).body, b"ar");
    let far = rpc::call(&endpoint, "files/read?arg=/lazy/far&offline=true", None, &[]);
    assert_eq!(far.status, 500, "it was never here: {}", far.text());
    good(&endpoint, "files/rm?arg=/lazy&recursive=true");
    assert_eq!(rpc::call(&endpoint, "repo/gc", None, &[]).status, 200);
    let near = rpc::call(&endpoint, &format!("cat?arg={root}/near&offline=true"), None, &[]);
    assert_eq!(near.status, 500, "nothing protects it any more");
    daemon.stop();
}

fn write_until_killed(endpoint: &str, writing: &AtomicBool) -> usize {
    for number in 0.. {
        let call = format!("files/write?arg=/d/{number}&create=true&parents=true");
        match rpc::call_if_there(endpoint, &call, Some(&content(number))) {
            Some(reply) => assert_eq!(reply.status, 200, "{}", reply.text()),
            None => {
                assert!(!writing.load(Ordering::Relaxed), "it ended before it was killed");
                return number;
            }
        }
    }
    unreachable!("the daemon is killed")
}

/// Waits until so many files are in the folder.
fn wait_for(endpoint: &str, count: usize) {
    while entries(endpoint, "/d").len() < count {
        std::thread::yield_now();
    }
}

fn content(number: usize) -> Vec<u8> {
    format!("file {number}\n").repeat(number % 50 * 1000 + 1).into_bytes()
}

fn names(endpoint: &str) -> Vec<String> {
    entries(endpoint, "/").iter().map(|entry| entry["Name"].as_str().expect("a name").to_owned()).collect()
}

fn entries(endpoint: &str, path: &str) -> Vec<Value> {
    let reply = rpc::call(endpoint, &format!("files/ls?arg={path}"), None, &[]);
    reply.objects()[0]["Entries"].as_array().cloned().unwrap_or_default()
}

fn stat(endpoint: &str, path: &str) -> Value {
    rpc::call(endpoint, &format!("files/stat?arg={path}"), None, &[]).objects().remove(0)
}

fn good(endpoint: &str, call: &str) {
    let reply = rpc::call(endpoint, call, None, &[]);
    assert_eq!(reply.status, 200, "{call}: {}", reply.text());
}
