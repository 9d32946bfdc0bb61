//! Either side ends, even by kill -9, and is started again: only the rest moves, as the kernel counts it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use cidra_tests::program::LIMIT;
use cidra_tests::suite::MIB;
use cidra_tests::{Lan, Repository, Running, Suite, sample};

use super::{interrupt, paste, send};

/// Frames, heads and greetings, in parts of the content; and what was on its way when one side died.
const OVERHEAD: u64 = 12;
const SURPLUS: u64 = 12 * MIB;

/// Someone who sends a film, and someone who will get it.
struct Film {
    lan: Lan,
    alice: Repository,
    bob: Repository,
    file: PathBuf,
    size: u64,
    sender: Running,
    line: String,
}

impl Film {
    /// `None` without the right to make a network. The link needs some seconds for it, so there is time to be killed in.
    fn sent() -> Option<Film> {
        let lan = Lan::of(2)?;
        let size = Suite::chosen().of(96, 256, 1024) * MIB;
        if !lan.limit_uplink(0, size / 3) {
            return None;
        }
        let (alice, bob) = (Repository::new(), Repository::new());
        let file = alice.file("film.mp4");
        sample::file(&file, size, 1);
        let (sender, line) = send(&alice, lan.host(0), &[&file]);
        Some(Film { lan, alice, bob, file, size, sender, line })
    }
}

#[test]
fn a_sender_that_was_killed_is_picked_up_when_it_is_back() {
    let Some(Film { lan, alice, bob, file, size, sender, line }) = Film::sent() else { return };

    let mut getter = paste(&format!("{line} --json"), &bob, lan.host(1), &bob.file("got")).start();
    wait_for(&mut getter, size / 4);
    sender.kill();
    let first = lan.received(1);
    let (sender, again) = send(&alice, lan.host(0), &[&file]);
    getter.finish().success();

    let all = lan.received(1);
    println!("{first} of {size} bytes before the sender was killed, {all} in all");
    assert_eq!(again, line, "what was pasted goes on working");
    sample::assert_same(&file, &bob.file("got/film.mp4"));
    assert!(first < size, "it was killed too late to show anything");
    assert!(all <= size + size / OVERHEAD + SURPLUS, "{all} bytes for {size}: part of it was fetched twice");
    interrupt(sender);
}

#[test]
fn a_receiver_that_was_killed_fetches_only_the_rest_by_the_same_line() {
    let Some(Film { lan, alice: _alice, bob, file, size, sender, line }) = Film::sent() else { return };
    let got = bob.file("got");

    // So that the signal hits the program and not its shell.
    let mut getter = paste(&format!("exec {line} --json"), &bob, lan.host(1), &got).start();
    wait_for(&mut getter, size / 4);
    getter.kill();
    let first = lan.received(1);
    assert!(!got.join("film.mp4").exists(), "until it is complete nothing stands under its name");
    paste(&line, &bob, lan.host(1), &got).run().success();

    let all = lan.received(1);
    println!("{first} of {size} bytes before the receiver was killed, {all} in all");
    sample::assert_same(&file, &got.join("film.mp4"));
    assert!(first < size, "it was killed too late to show anything");
    assert!(all <= size + size / OVERHEAD + SURPLUS, "{all} bytes for {size}: part of it was fetched twice");
    let said = interrupt(sender).stderr;
    assert!(said.contains("10.111.0.2 fetches it"), "{said}");
}

#[test]
fn a_sparse_file_arrives_as_it_is() {
    let Some(lan) = Lan::of(2) else { return };
    let size = Suite::chosen().of(64, 512, 10_000) * MIB;
    let (alice, bob) = (Repository::new(), Repository::new());
    let file = File::create(alice.file("disk.img")).unwrap();
    file.set_len(size).unwrap();
    for island in 0..8 {
        let data: Vec<u8> = (0..100_000u32).map(|byte| (byte * 7 + island) as u8).collect();
        file.write_all_at(&data, u64::from(island) * (size / 8) + 12_345).unwrap();
    }
    let (sender, line) = send(&alice, lan.host(0), &[alice.file("disk.img")]);

    paste(&line, &bob, lan.host(1), &bob.file("got")).run().success();

    sample::assert_same(&alice.file("disk.img"), &bob.file("got/disk.img"));
    let moved = lan.received(1);
    assert!(moved < 20 * MIB, "{moved} bytes: the holes are one block");
    interrupt(sender);
}

#[test]
fn who_cannot_be_reached_is_named_with_what_was_tried() {
    let Some(lan) = Lan::of(2) else { return };
    let (alice, bob) = (Repository::new(), Repository::new());
    fs::write(alice.file("news"), "from next door").unwrap();
    let (sender, line) = send(&alice, lan.host(0), &[alice.file("news")]);
    interrupt(sender);
    let got = bob.file("got");
    let tried = |line: &str| {
        let line = format!("{line} --timeout 6s");
        paste(&line, &bob, lan.host(1), &got).run().exits(3).stderr
    };

    let refused = tried(&line);
    let elsewhere = tried(&line.replace("10.111.0.1", "10.99.0.1"));

    assert!(refused.contains("/ip4/10.111.0.1/tcp/") && refused.contains("Connection refused"), "{refused}");
    assert!(elsewhere.contains("/ip4/10.99.0.1/tcp/") && elsewhere.contains("unreachable"), "{elsewhere}");
    println!("{refused}{elsewhere}");
}

/// Until so many bytes have come, as it says itself.
fn wait_for(getter: &mut Running, bytes: u64) {
    getter.wait_for_line(LIMIT, |line| {
        let event: serde_json::Value = serde_json::from_str(line).expect("an event a line");
        event["Received"].as_u64().is_some_and(|received| received >= bytes)
    });
}
