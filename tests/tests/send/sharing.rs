//! What one machine sends, another one gets, whatever it is and whoever holds the repository.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::{Duration, Instant};

use cidra_tests::program::LIMIT;
use cidra_tests::suite::MIB;
use cidra_tests::{Daemon, Lan, Repository, sample};

use super::{interrupt, paste, send};

const NAMES: [&[u8]; 9] = [
    b"plain.txt",
    b"it's \"quoted\" twice.txt",
    b"$(touch pwned) `touch pwned`; touch pwned & | > pwned",
    b"two\nlines\tand a tab",
    b"-rf",
    b"100%41 + a=b&filename=c#d?",
    b"caf\xe9 of no charset",
    "写真 é.jpg".as_bytes(),
    b" ~ * {a,b} !! \\ ",
];

#[test]
fn names_of_all_kinds_pass_through_a_shell_and_many_send_at_once() {
    let Some(lan) = Lan::of(2) else { return };
    let (alice, bob) = (Repository::new(), Repository::new());
    let files = alice.file("files");
    fs::create_dir(&files).unwrap();
    let mut senders = vec![];
    let mut expected = BTreeMap::new();
    for name in NAMES.map(|name| OsString::from_vec(name.to_vec())) {
        let content = format!("what stands in {name:?}");
        fs::write(files.join(&name), &content).unwrap();
        senders.push(send(&alice, lan.host(0), &[OsStr::new("--"), files.join(&name).as_os_str()]));
        expected.insert(name, content);
    }

    let got = bob.file("got");
    for (_, line) in &senders {
        paste(line, &bob, lan.host(1), &got).run().success();
    }

    let found: BTreeMap<OsString, String> = fs::read_dir(&got)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), fs::read_to_string(entry.path()).unwrap()))
        .collect();
    assert_eq!(found, expected);
    // The first holds the repository, and stays for the others.
    senders.into_iter().rev().for_each(|(sender, _)| drop(interrupt(sender)));
}

#[test]
fn a_limit_on_either_side_holds() {
    let Some(lan) = Lan::of(2) else { return };
    let (alice, bob, carol) = (Repository::new(), Repository::new(), Repository::new());
    let file = alice.file("film.mp4");
    sample::file(&file, 2 * MIB, 1);
    let (slow, slow_line) = send(&alice, lan.host(0), &["--limit-up=1MB/s".as_ref(), file.as_os_str()]);
    let (fast, fast_line) = send(&carol, lan.host(0), &[&file]);

    for line in [slow_line, format!("{fast_line} --limit-down 1MB/s")] {
        let (getter, began) = (Repository::new(), Instant::now());
        paste(&line, &getter, lan.host(1), &bob.file("got")).run().success();

        let took = began.elapsed();
        assert!(took > Duration::from_millis(1900), "two mebibytes came in {took:?}");
        sample::assert_same(&file, &bob.file("got/film.mp4"));
        fs::remove_file(bob.file("got/film.mp4")).unwrap();
    }
    drop([slow, fast].map(interrupt));
}

#[test]
fn what_is_sent_is_not_copied() {
    let Some(lan) = Lan::of(2) else { return };
    let (alice, bob) = (Repository::new(), Repository::new());
    let size = 24 * MIB;
    let (file, got) = (alice.file("film.mp4"), bob.file("got"));
    sample::file(&file, size, 1);

    let (sender, line) = send(&alice, lan.host(0), &[&file]);
    paste(&line, &bob, lan.host(1), &got).run().success();

    sample::assert_same(&file, &got.join("film.mp4"));
    let taken = alice.block_bytes();
    assert!(taken < MIB, "{taken} bytes in the repository for a file of {size} that stands where it was");
    interrupt(sender);
}

#[test]
fn folders_standard_input_and_several_at_once_arrive_as_they_were() {
    let Some(lan) = Lan::of(2) else { return };
    let (alice, bob) = (Repository::new(), Repository::new());
    let (folder, got) = (alice.file("holiday pictures"), bob.file("got"));
    sample::folder(&folder, 60, 1);
    fs::write(folder.join(".hidden"), "too").unwrap();
    fs::write(alice.file("one"), "one").unwrap();
    let piped = alice.cidra(["send", "--name", "dump.txt", "-"]);
    let mut piped = piped.on(lan.host(0)).input("through a pipe").start();
    // It holds the repository, for the others too, and so is the last to end.
    let piped_line = super::line(&mut piped);

    let (sender, line) = send(&alice, lan.host(0), &[&folder]);
    paste(&line, &bob, lan.host(1), &got).run().success();
    let (many, line) =
        send(&alice, lan.host(0), &[Path::new("--name"), Path::new("both"), &folder, &alice.file("one")]);
    paste(&line, &bob, lan.host(1), &got).run().success();
    paste(&piped_line, &bob, lan.host(1), &got).run().success();

    sample::assert_same(&folder, &got.join("holiday pictures"));
    sample::assert_same(&folder, &got.join("both/holiday pictures"));
    assert_eq!(fs::read_to_string(got.join("both/one")).unwrap(), "one");
    assert_eq!(fs::read_to_string(got.join("dump.txt")).unwrap(), "through a pipe");
    for sender in [sender, many, piped] {
        interrupt(sender);
    }
}

#[test]
fn a_daemon_that_runs_or_starts_serves_what_is_sent() {
    let Some(lan) = Lan::of(2) else { return };
    let (alice, bob) = (Repository::new(), Repository::new());
    let [before, after] = ["before", "after"].map(|name| alice.file(name));
    sample::file(&before, 3_000_000, 1);
    sample::file(&after, 3_000_000, 2);

    let (first, first_line) = send(&alice, lan.host(0), &[&before]);
    let call = alice.cidra(["daemon", "--no-mdns", "--bootstrap", "none", "--api-listen", "none"]);
    let daemon = Daemon::start(call.on(lan.host(0)), "Daemon is ready");
    let (second, second_line) = send_through(&alice, &after);
    let got = bob.file("got");
    for line in [&first_line, &second_line] {
        paste(line, &bob, lan.host(1), &got).run().success();
    }

    sample::assert_same(&before, &got.join("before"));
    sample::assert_same(&after, &got.join("after"));
    assert!(second_line.contains("/tcp/4001/"), "the daemon serves it: {second_line}");
    interrupt(second);
    interrupt(first);
    daemon.stop();
}

/// With a daemon that does the work, flags for a node are refused.
fn send_through(repository: &Repository, path: &Path) -> (cidra_tests::Running, String) {
    let mut sender = repository.cidra([OsStr::new("send"), path.as_os_str()]).start();
    let line = super::line(&mut sender);
    (sender, line)
}

#[test]
fn what_is_sent_is_protected_as_long_and_no_longer() {
    let Some(lan) = Lan::of(2) else { return };
    let (alice, bob) = (Repository::new(), Repository::new());
    let file = alice.file("file");
    sample::file(&file, 3_000_000, 1);
    let removed = || {
        let removed = alice.cidra(["repo", "gc"]).run().success();
        removed.lines().iter().filter(|line| line.starts_with("removed ")).count()
    };

    let (sender, line) = send(&alice, lan.host(0), &[&file]);
    assert_eq!(removed(), 0, "while it is sent");
    paste(&line, &bob, lan.host(1), &bob.file("got")).run().success();
    interrupt(sender);
    let after_its_end = removed();
    let (sender, _) = send(&alice, lan.host(0), &[&file]);
    sender.kill();
    let after_its_death = removed();

    assert!(after_its_end >= 4 && after_its_death == after_its_end, "{after_its_end}, {after_its_death}");
}

#[test]
fn events_say_the_same_to_programs() {
    let Some(lan) = Lan::of(2) else { return };
    let (alice, bob) = (Repository::new(), Repository::new());
    let file = alice.file("it's a file");
    sample::file(&file, 3_000_000, 1);
    let call = alice.cidra([OsStr::new("send"), OsStr::new("--json"), file.as_os_str()]).env("CIDRA_BOOTSTRAP", "none");
    // So that little is on its way at a time: what a getter asks for anew may be.
    let mut sender = call.args(["--limit-up", "3MB/s"]).on(lan.host(0)).start();

    let lines = sender.wait_for_line(LIMIT, |line| event(line)["Event"] == "Ready");
    let ready = event(lines.last().unwrap());
    let addresses: Vec<&str> =
        ready["Addresses"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let line = ready["Command"].as_str().unwrap();
    paste(line, &bob, lan.host(1), &bob.file("got")).run().success();
    let lines =
        sender.wait_for_line(LIMIT, |line| event(line)["Event"] == "Receiver" && event(line)["Address"].is_null());

    let last = event(lines.last().unwrap());
    let (bytes, total) = (last["Bytes"].as_u64().unwrap(), last["Total"].as_u64().unwrap());
    assert!(total >= 3_000_000 && (total..=total + MIB).contains(&bytes), "{last}");
    assert_eq!(last["Position"], last["Total"]);
    assert_eq!(ready["Size"], 3_000_000);
    assert!(addresses.len() == 1 && addresses[0].starts_with("/ip4/10.111.0.1/tcp/"), "{addresses:?}");
    assert!(line.ends_with(&format!("?filename=it%27s%20a%20file' --peer {}", addresses[0])), "{line}");
    interrupt(sender);
}

fn event(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}
