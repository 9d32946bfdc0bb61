//! Plays each row of the table for each holder, as text and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use cidra_tests::{Finished, Repository, rpc};
use serde_json::Value;

use crate::rows::{Json, Needs, ROWS, Row};
use crate::stage::{Holder, Neighbour, Stage};

#[test]
fn each_command_has_a_row() {
    let commands: BTreeSet<String> = cidra_node::cli::commands().into_iter().collect();
    let rows: BTreeSet<String> = ROWS.iter().map(|row| row.command.to_owned()).collect();

    let without: Vec<_> = commands.difference(&rows).collect();
    let gone: Vec<_> = rows.difference(&commands).collect();

    assert!(without.is_empty(), "commands without a row in tests/tests/commands/rows.rs: {without:?}");
    assert!(gone.is_empty(), "rows of no command: {gone:?}");
    for row in ROWS {
        let Some(file) = row.elsewhere else { continue };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(&format!("\"{}\"", row.command)), "{file} does not call {}", row.command);
    }
}

#[test]
fn each_command_does_the_same_whoever_holds_the_repository() {
    let neighbour = Neighbour::new();
    let printed = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for holder in [Holder::Nobody, Holder::Daemon, Holder::Command] {
            let (neighbour, printed) = (&neighbour, &printed);
            scope.spawn(move || {
                let mut stage = Stage::new(holder, neighbour);
                let rows = ROWS.iter().filter(|row| row.elsewhere.is_none());
                let wrong: Vec<String> = rows.flat_map(|row| play(row, &stage, printed)).collect();
                assert!(wrong.is_empty(), "held by {holder:?}:\n{}", wrong.join("\n"));
                if let Some(finished) = stage.end() {
                    assert_eq!(finished.success().lines().len(), 1, "the holding command added what it got");
                }
            });
        }
    });
    for (command, texts) in printed.into_inner().expect("no thread panicked") {
        assert_eq!(texts.len(), 1, "{command} prints other things for other holders: {texts:?}");
    }
}

/// Each text that a command printed.
type Printed = Mutex<BTreeMap<&'static str, BTreeSet<String>>>;

/// What these print has the repository, its node, its peers or its bootstrap list in it.
const OWN: [&str; 21] = [
    "bootstrap",
    "bootstrap list",
    "bootstrap rm",
    "get",
    "id",
    "key gen",
    "key list",
    "key rename",
    "name inspect",
    "name publish",
    "network new",
    "ping",
    "refs local",
    "repo gc",
    "repo path",
    "repo stat",
    "routing findprovs",
    "routing get",
    "routing provide",
    "routing put",
    "repo verify",
];

#[test]
fn a_daemon_starts_whoever_holds_the_repository_and_is_shut_down() {
    let neighbour = Neighbour::new();
    for (holder, json) in [(Holder::Nobody, true), (Holder::Command, false)] {
        let mut stage = Stage::new(holder, &neighbour);
        let mut flags = vec!["--api-listen", "/ip4/127.0.0.1/tcp/0", "--gateway-listen", "none"];
        flags.extend(json.then_some("--json"));
        let mut running = stage.cidra("daemon").args(flags).start();
        let ready = if json { r#"{"Event":"Ready"}"# } else { "Daemon is ready" };
        let lines = running.wait_for_line(cidra_tests::program::LIMIT, |line| line == ready);
        if json {
            let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            assert!(events.iter().all(|event| event["Event"].is_string()), "{events:?}");
            assert!(events.iter().any(|event| event["Event"] == "Api" && event["Address"].is_string()), "{events:?}");
        }
        says(&stage.cidra("daemon").run().exits(1), "already");

        // A guest of the daemon ends first: what it adds would be lost to it otherwise.
        if let Some(finished) = stage.end() {
            finished.success();
        }
        let shutdown = if json { "shutdown --json" } else { "shutdown" };
        assert_eq!(stage.cidra(shutdown).run().success().text(), "");

        running.finish().success();
        says(&stage.cidra("shutdown").run().exits(1), "no daemon");
    }
}

#[test]
fn files_are_sent_whoever_holds_the_repository() {
    let neighbour = Neighbour::new();
    for (holder, json) in [(Holder::Nobody, true), (Holder::Daemon, false)] {
        let mut stage = Stage::new(holder, &neighbour);
        let mut flags = vec!["folder"];
        flags.extend(json.then_some("--json"));
        let mut running = stage.cidra("send").args(flags).start();

        let lines = running.wait_for_line(cidra_tests::program::LIMIT, |line| match json {
            true => line.contains(r#""Event":"Ready""#),
            false => line.starts_with("cidra get "),
        });

        running.interrupt();
        running.finish().success();
        if json {
            let ready: Value = serde_json::from_str(lines.last().expect("it was waited for")).expect("JSON");
            assert!(ready["Command"].as_str().is_some_and(|line| line.starts_with("cidra get ")), "{ready}");
        }
        stage.end();
    }
}

#[test]
fn what_needs_no_repository_makes_none() {
    let repository = Repository::new();
    for words in ["version", "completion bash", "network new", "repo path", "--help", "config set --help"] {
        repository.cidra(words.split(' ')).run().success();
    }
    repository.cidra(["health"]).run().exits(1);

    assert!(!repository.path().exists());
}

/// What is wrong with a row.
fn play(row: &Row, stage: &Stage<'_>, printed: &Printed) -> Vec<String> {
    let mut wrong = vec![];
    let works = row.needs == Needs::Nobody || stage.holder == Holder::Daemon;
    for json in [false, true] {
        let expected = match (&row.json, json) {
            (Json::Refused, true) => 2,
            _ => i32::from(!works),
        };
        if works {
            prepare(row, stage);
        }
        let finished = run(row, stage, json);
        let name = format!("{}{}", row.command, if json { " --json" } else { "" });
        // What an archive has is no text, and the same for all.
        let text = String::from_utf8_lossy(&finished.stdout);
        if finished.code != Some(expected) {
            wrong.push(format!("{name}: exit {:?} instead of {expected}: {}{text}", finished.code, finished.stderr));
            continue;
        }
        if expected != 0 {
            let says_it = finished.stderr.starts_with("cidra: ") && finished.stdout.is_empty();
            wrong.extend((!says_it).then(|| format!("{name}: {finished:?}")));
        } else if json {
            wrong.extend(judge(row, stage, &finished).err().map(|why| format!("{name}: {why}")));
        } else if text.starts_with('{') != ["dag get", "id"].contains(&row.command) {
            wrong.push(format!("{name}: is that text? {text}"));
        } else if row.needs == Needs::Nobody && !OWN.contains(&row.command) {
            let mut printed = printed.lock().expect("no thread panics with it");
            printed.entry(row.command).or_default().insert(text.trim_end().to_owned());
        }
    }
    wrong
}

fn prepare(row: &Row, stage: &Stage<'_>) {
    row.before.iter().for_each(|words| drop(stage.cidra(words).run().success()));
}

fn run(row: &Row, stage: &Stage<'_>, json: bool) -> Finished {
    let mut call = stage.cidra(&format!("{} {}", row.command, row.arguments));
    if json {
        call = call.arg("--json");
    }
    match row.input {
        Some(input) => call.input(input).run(),
        None => call.run(),
    }
}

/// Whether what was printed is JSON, an object a line, with the fields that it should have.
fn judge(row: &Row, stage: &Stage<'_>, finished: &Finished) -> Result<(), String> {
    let mut fields = BTreeSet::new();
    for line in finished.lines() {
        let object: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
        let object = object.as_object().ok_or_else(|| format!("no object: {line}"))?;
        fields.extend(object.keys().cloned());
    }
    let (call, file) = match row.json {
        Json::Nothing if fields.is_empty() => return Ok(()),
        Json::Nothing | Json::Refused => return Err(format!("it prints {fields:?}")),
        Json::Fields(expected) => {
            let lacking: Vec<_> = expected.iter().filter(|field| !fields.contains(**field)).collect();
            return if lacking.is_empty() { Ok(()) } else { Err(format!("{fields:?} lacks {lacking:?}")) };
        }
        Json::As(call) => (call, None),
        Json::AsWith(call, file) => (call, Some(file)),
    };
    // Only a daemon serves the RPC on a port; what it answers counts for the others, too.
    if stage.holder != Holder::Daemon {
        return if fields.is_empty() { Err("it prints nothing".to_owned()) } else { Ok(()) };
    }
    prepare(row, stage);
    let reply = rpc::call(&stage.endpoint(), &stage.filled(call), file, &[]);
    if reply.status != 200 {
        return Err(format!("the RPC answers {call} with {}: {}", reply.status, reply.text()));
    }
    let objects = reply.objects();
    let answered: BTreeSet<String> =
        objects.iter().flat_map(|object| object.as_object()).flat_map(|object| object.keys().cloned()).collect();
    if answered == fields { Ok(()) } else { Err(format!("{fields:?}, and the RPC has {answered:?}")) }
}

fn says(finished: &Finished, wanted: &str) {
    assert!(finished.stderr.contains(wanted), "the message does not name {wanted:?}: {}", finished.stderr);
}
