//! `repo gc` while everybody works, and killed in the midst of it: what is pinned or being added is there, byte for byte.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use cidra_tests::{Repository, Suite};

#[test]
fn what_is_pinned_or_being_added_survives_collection_in_a_loop() {
    let repository = Repository::new();
    let daemon = repository.daemon(&[]);
    let time = Duration::from_secs(Suite::chosen().of(2, 20, 120));
    let end = Instant::now() + time;
    let pinned: Mutex<Vec<(String, Vec<u8>)>> = Mutex::default();
    let most = Mutex::new(0);

    thread::scope(|scope| {
        scope.spawn(|| add_and_unpin(&repository, &pinned, &most, end));
        scope.spawn(|| read(&repository, &pinned, end));
        scope.spawn(|| {
            while Instant::now() < end {
                repository.cidra(["repo", "gc", "--silent"]).run().success();
            }
        });
    });

    let pinned = pinned.into_inner().expect("no thread panicked");
    for (cid, content) in &pinned {
        assert!(repository.cidra(["--offline", "cat", cid]).run().success().stdout == *content, "{cid} differs");
        repository.cidra(["pin", "rm", cid]).run().success();
    }
    repository.cidra(["--offline", "repo", "verify"]).run().success();
    repository.cidra(["repo", "gc", "--silent"]).run().success();
    let (most, left) = (*most.lock().expect("no thread panicked"), size(&repository));
    println!("{} files at the end; {most} bytes of disk at most, {left} when none was pinned", pinned.len());
    assert!(left < most / 2, "{most} bytes of disk at most, {left} in the end");
    daemon.kill();
}

/// Adds files, and takes the pin of every second one away again.
fn add_and_unpin(repository: &Repository, pinned: &Mutex<Vec<(String, Vec<u8>)>>, most: &Mutex<u64>, end: Instant) {
    let mut random = SmallRng::seed_from_u64(1);
    for number in 0.. {
        if Instant::now() >= end {
            return;
        }
        // Some begin as others did: their blocks are there already, perhaps about to be deleted.
        let mut content = content(number / 3, 2_000_000);
        content.truncate(random.random_range(1..=content.len()));
        let file = repository.file(&format!("{number}"));
        fs::write(&file, &content).expect("the test's own folder");
        let cid = repository.add(&file);
        fs::remove_file(&file).expect("it was just written");
        let mut pinned = pinned.lock().expect("no thread panicked");
        pinned.retain(|(other, _)| *other != cid);
        pinned.push((cid, content));
        if number % 2 == 1 {
            let at = random.random_range(0..pinned.len());
            let (cid, _) = pinned.swap_remove(at);
            drop(pinned);
            repository.cidra(["pin", "rm", &cid]).run().success();
        }
        let mut most = most.lock().expect("no thread panicked");
        *most = size(repository).max(*most);
    }
}

fn read(repository: &Repository, pinned: &Mutex<Vec<(String, Vec<u8>)>>, end: Instant) {
    let mut random = SmallRng::seed_from_u64(2);
    while Instant::now() < end {
        let chosen = {
            let pinned = pinned.lock().expect("no thread panicked");
            let Some(last) = pinned.len().checked_sub(1) else { continue };
            pinned[random.random_range(0..=last)].clone()
        };
        let read = repository.cidra(["--offline", "cat", &chosen.0]).run();
        // It may have been unpinned and collected since it was chosen.
        let still = pinned.lock().expect("no thread panicked").iter().any(|(cid, _)| *cid == chosen.0);
        if still {
            assert!(read.success().stdout == chosen.1, "{} differs", chosen.0);
        }
    }
}

#[test]
fn a_collection_that_is_killed_loses_nothing_that_is_pinned() {
    let model = Repository::new();
    let kept = model.file("kept");
    fs::write(&kept, content(0, 3_000_000)).expect("the test's own folder");
    let garbage = model.file("garbage");
    fs::create_dir(&garbage).expect("the test's own folder");
    for number in 0..FILES {
        fs::write(garbage.join(number.to_string()), content(number, 3000)).expect("the test's own folder");
    }
    // In turns, so that both are in every part of the segments.
    let folder = model.cidra(["add", "-Q", "--pin=false"]).arg(&garbage).run().success().text().to_owned();
    let cid = model.add(&kept);
    let pinned: Vec<String> =
        (0..FILES).step_by(100).map(|number| model.add(&garbage.join(number.to_string()))).collect();

    let before = blocks(&model);
    let spare = Repository::new();
    copy(&model.path(), &spare.path());
    let whole = spare.cidra(["--offline", "repo", "gc"]).run().success();
    let after = blocks(&spare);

    let rounds = Suite::chosen().of(3, 20, 100);
    let (mut round, mut torn) = (0, 0);
    while round < rounds || torn == 0 {
        assert!(round < 10 * rounds, "no kill came in the midst of the deleting: this showed nothing");
        let repository = Repository::new();
        copy(&model.path(), &repository.path());
        let mut random = SmallRng::seed_from_u64(round);
        let collection = repository.cidra(["--offline", "repo", "gc"]).start();
        collection.wait_for_end(whole.elapsed.mul_f64(random.random_range(0.0..1.0)));
        collection.kill();
        let left = blocks(&repository);
        println!("round {round}: killed after {} of {} blocks were deleted", before - left, before - after);
        torn += u32::from(after < left && left < before);

        repository.cidra(["--offline", "repo", "verify"]).run().success();
        assert!(repository.cidra(["--offline", "cat", &cid]).run().success().stdout == content(0, 3_000_000));
        for (at, cid) in pinned.iter().enumerate() {
            if at % 10 == round as usize % 10 {
                let read = repository.cidra(["--offline", "cat", cid]).run().success().stdout;
                assert!(read == content(at as u64 * 100, 3000), "round {round}: {cid} differs");
            }
        }
        repository.cidra(["--offline", "repo", "gc", "--silent"]).run().success();
        repository.cidra(["--offline", "ls", &folder]).run().exits(3);
        repository.cidra(["--offline", "cat", &cid]).run().success();
        round += 1;
    }
}

/// How many blocks are in a repository.
fn blocks(repository: &Repository) -> usize {
    repository.cidra(["--offline", "refs", "local"]).run().success().lines().len()
}

const FILES: u64 = 3000;

/// Bytes that are others for every seed.
fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SmallRng::seed_from_u64(seed).fill(&mut bytes[..]);
    bytes
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the test's own folder");
    for entry in fs::read_dir(from).expect("a repository") {
        let entry = entry.expect("a repository");
        let kind = entry.file_type().expect("a repository");
        if kind.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("room for a small repository");
        }
    }
}

/// Bytes of disk that the store takes.
fn size(repository: &Repository) -> u64 {
    let files = fs::read_dir(repository.path().join("store")).expect("a store");
    let size = |file: fs::DirEntry| {
        // It may be deleted in this moment.
        file.metadata().map_or(0, |metadata| std::os::unix::fs::MetadataExt::blocks(&metadata) * 512)
    };
    files.filter_map(Result::ok).filter(|file| file.file_name() != "reserve").map(size).sum()
}
