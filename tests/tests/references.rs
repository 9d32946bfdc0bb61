//! Files that are read where they stand, by every command and for every peer, whatever is done to them: those of `add --nocopy`,
//! and those that `get` made.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::Path;

use cidra_tests::suite::MIB;
use cidra_tests::{Call, Daemon, Mount, Repository, sample};

const SIZE: u64 = 12 * MIB + 345;

#[test]
fn an_edited_file_is_never_served_wrong() {
    for profile in ["unixfs-v1-2025", "unixfs-v0-2015"] {
        let (holder, file, cid) = refer(profile);
        let daemon = holder.daemon(&[]);
        assert_an_edit_is_noticed(&holder, &daemon, &file, &cid);
        daemon.stop();
    }
}

#[test]
fn whatever_stands_in_its_place_gives_nothing_and_the_file_is_named() {
    type Replace = fn(&Path);
    let replacements: [(&str, Replace); 4] = [
        ("nothing", |_| {}),
        ("a folder", |path| fs::create_dir(path).expect("the test's own folder")),
        ("a link to the same bytes", |path| {
            fs::write(path.with_extension("copy"), fs::read(path.with_extension("kept")).unwrap()).unwrap();
            symlink(path.with_extension("copy"), path).unwrap();
        }),
        ("a pipe", |path| {
            let made = std::process::Command::new("mkfifo").arg(path).status().expect("every Linux has it");
            assert!(made.success());
        }),
    ];
    for (what, replace) in replacements {
        let (holder, file, cid) = refer("unixfs-v1-2025");
        fs::rename(&file, file.with_extension("kept")).expect("the test's own folder");
        replace(&file);

        let verified = holder.cidra(["--offline", "repo", "verify"]).run().exits(1);
        let folder = file.parent().expect("it stands in a folder").canonicalize().expect("it is there");
        let named = format!(" in {}", folder.join("film").display());
        assert!(verified.lines().iter().all(|line| !line.starts_with("block") || line.contains(&named)), "{what}");
        assert!(verified.lines().iter().any(|line| line.contains(&named)), "{what}: {:?}", verified.lines());
        holder.cidra(["--offline", "cat", &cid]).run().exits(3);
        // Back in its place it can be added again.
        let _ = fs::remove_dir(&file).or_else(|_| fs::remove_file(&file)); // nothing stood there once
        fs::rename(file.with_extension("kept"), &file).expect("the test's own folder");
        holder.cidra(["add", "-Q", "--nocopy"]).arg(&file).run().success();
        let out = holder.file("out");
        holder.cidra(["--offline", "cat", &cid]).output_to(&out).run().success();
        sample::assert_same(&file, &out);
    }
}

#[test]
fn a_reference_copies_nothing_and_a_later_add_copies() {
    let (holder, file, cid) = refer("unixfs-v1-2025");
    assert!(segments(&holder) < MIB, "{} bytes were stored", segments(&holder));

    // Through a daemon, too.
    let daemon = holder.daemon(&[]);
    let again = holder.cidra(["add", "-Q", "--nocopy"]).arg(&file).run().success();
    assert_eq!(again.text(), cid);
    assert!(segments(&holder) < MIB, "{} bytes were stored", segments(&holder));
    assert_eq!(holder.add(&file), cid);
    assert!(segments(&holder) > SIZE, "{} bytes were stored", segments(&holder));
    let kept = fs::read(&file).expect("the test's own file");
    fs::remove_file(&file).expect("the test's own file");
    let read = holder.cidra(["cat", &cid]).run().success().stdout;
    assert!(read == kept, "the copy differs");
    daemon.stop();
}

#[test]
fn what_was_fetched_and_pinned_outlives_its_file() {
    for profile in ["unixfs-v1-2025", "unixfs-v0-2015"] {
        let (holder, file, cid) = refer(profile);
        let daemon = holder.daemon(&[]);
        let getter = Repository::new();
        get(&getter, &cid, &daemon).run().success();
        assert!(segments(&getter) < MIB, "{profile}: {} bytes were stored beside the file", segments(&getter));

        // One that is killed halfway through the copying leaves no pin that is not kept.
        let half = format!("ulimit -f {} && exec cidra --offline pin add {cid}", SIZE / 2 / 512);
        let call = Call::shell(&half).env("CIDRA_PATH", getter.path()).current_dir(getter.folder());
        let killed = call.run();
        assert_eq!(killed.signal, Some(rustix::process::Signal::XFSZ.as_raw()), "{profile}: {}", killed.stderr);
        assert!(segments(&getter) > SIZE / 4, "{profile}: nothing was copied yet");
        assert_eq!(getter.cidra(["--offline", "pin", "ls"]).run().success().text(), "", "{profile}");
        getter.cidra(["--offline", "pin", "add", &cid]).run().success();
        fs::remove_file(getter.file("out")).expect("it was fetched");

        getter.cidra(["--offline", "repo", "gc"]).run().success();
        getter.cidra(["--offline", "repo", "verify"]).run().success();
        let read = getter.file("read");
        getter.cidra(["--offline", "cat", &cid]).output_to(&read).run().success();
        sample::assert_same(&file, &read);
        daemon.stop();
    }
}

#[test]
fn what_was_fetched_and_lost_is_named_and_fetched_again() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 3] = [
        ("removed", |out| fs::remove_file(out).expect("it was fetched")),
        ("edited", edit_unseen),
        ("truncated", |out| {
            File::options().write(true).open(out).and_then(|file| file.set_len(SIZE / 3)).expect("it was fetched");
        }),
    ];
    let (holder, file, cid) = refer("unixfs-v1-2025");
    let daemon = holder.daemon(&[]);
    for (what, spoil) in spoils {
        let getter = Repository::new();
        get(&getter, &cid, &daemon).run().success();
        getter.cidra(["--offline", "repo", "verify"]).run().success();
        let out = getter.file("out").canonicalize().expect("it was fetched");
        spoil(&out);

        let verified = getter.cidra(["--offline", "repo", "verify"]).run().exits(1);
        let named = format!(" in {}", out.display());
        assert!(verified.lines().iter().any(|line| line.contains(&named)), "{what}: {:?}", verified.lines());
        let _ = fs::remove_file(&out); // it is gone once
        get(&getter, &cid, &daemon).run().success();
        sample::assert_same(&file, &out);
    }
    daemon.stop();
}

#[test]
fn a_fetch_goes_round_what_was_lost_before_anybody_looked() {
    let (holder, file, cid) = refer("unixfs-v1-2025");
    let daemon = holder.daemon(&[]);
    let getter = Repository::new();
    get(&getter, &cid, &daemon).run().success();
    fs::remove_file(getter.file("out")).expect("it was fetched");

    get(&getter, &cid, &daemon).run().success();

    sample::assert_same(&file, &getter.file("out"));
    // Through a daemon the bytes are copied from where they stand.
    let at_getter = getter.daemon(&[]);
    getter.cidra(["--offline", "get", &cid, "-o", "copy"]).run().success();
    sample::assert_same(&file, &getter.file("copy"));
    at_getter.stop();
    daemon.stop();
}

#[test]
fn on_other_file_systems_an_edit_gives_no_wrong_byte() {
    for mount in [Mount::tmpfs(), Mount::with_coarse_times()].into_iter().flatten() {
        let holder = Repository::new();
        let (file, outside) = (mount.path().join("film"), mount.outside("film"));
        sample::file(&outside, SIZE, 7);
        let added = holder.cidra(["add", "-Q", "--nocopy"]).arg(&file).within(&mount).run().success();
        let call = holder.daemon_call(&[], &["--listen", "/ip4/127.0.0.1/tcp/0"]);
        let daemon = Daemon::start(call.within(&mount), "Daemon is ready");
        assert_an_edit_is_noticed(&holder, &daemon, &outside, added.text());
        daemon.stop();
    }
}

#[test]
fn an_edit_that_the_clock_of_the_file_system_cannot_tell_gives_no_wrong_byte() {
    use std::os::unix::fs::MetadataExt as _;
    let Some(mount) = Mount::with_coarse_times() else { return };
    let (file, outside) = (mount.path().join("film"), mount.outside("film"));
    let identity = || {
        let metadata = fs::metadata(&outside).expect("the test's own file");
        (metadata.ino(), metadata.len(), metadata.mtime(), metadata.ctime())
    };
    let (mut alike, mut turn) = (0, 0);
    while alike < 2 {
        turn += 1;
        assert!(turn < 60, "it takes longer than a second to add a file");
        let holder = Repository::new();
        sample::file(&outside, 5 * MIB, turn);
        let whole = fs::read(&outside).expect("the test's own file");
        let added = holder.cidra(["add", "-Q", "--nocopy"]).arg(&file).within(&mount).run().success();
        let before = identity();
        edit_unseen(&outside);
        alike += u32::from(identity() == before);

        let read = holder.cidra(["--offline", "cat", added.text()]).within(&mount).run().exits(3);

        assert!(whole.starts_with(&read.stdout), "a wrong byte came");
    }
}

#[test]
fn nothing_on_this_machine_is_named_through_a_port() {
    let holder = Repository::new();
    let file = holder.file("film");
    sample::file(&file, 1000, 1);
    let daemon = holder.daemon(&[]);
    let elsewhere = Repository::new();

    let refused = elsewhere
        .cidra(["--api", &format!("/ip4/127.0.0.1/tcp/{}", rpc_port(&holder)), "add", "--nocopy"])
        .arg(&file)
        .run()
        .exits(2);

    assert!(refused.stderr.contains("socket"), "{:?}", refused.stderr);
    daemon.stop();
}

/// Served whole, then edited with its times and length kept: from then on no command and no peer gets a wrong byte of it.
fn assert_an_edit_is_noticed(holder: &Repository, daemon: &Daemon, file: &Path, cid: &str) {
    let whole = fs::read(file).expect("the test's own file");
    let before = Repository::new();
    get(&before, cid, daemon).run().success();
    sample::assert_same(file, &before.file("out"));

    edit_unseen(file);

    let after = Repository::new();
    get(&after, cid, daemon).run().exits(3);
    assert!(!after.file("out").exists(), "something stands under the final name");
    let read = holder.cidra(["--offline", "cat", cid]).run();
    assert!(whole.starts_with(&read.stdout), "a wrong byte came");
    assert!(read.stdout.len() < whole.len(), "it cannot be whole");
}

/// A holder, its file and the file's CID.
fn refer(profile: &str) -> (Repository, std::path::PathBuf, String) {
    let holder = Repository::new();
    let file = holder.file("film");
    sample::file(&file, SIZE, 7);
    let added = holder.cidra(["add", "-Q", "--nocopy", "--profile", profile]).arg(&file).run().success();
    let cid = added.text().to_owned();
    (holder, file, cid)
}

fn get(getter: &Repository, cid: &str, holder: &Daemon) -> Call {
    let own = ["--bootstrap", "none", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0", "--timeout", "8s"];
    getter.cidra(["get", cid, "-o", "out", "--peer", holder.address()]).args(own)
}

/// The port in the repository's file `api`.
fn rpc_port(repository: &Repository) -> String {
    let address = fs::read_to_string(repository.path().join("api")).expect("a daemon writes it");
    address.trim().rsplit('/').next().expect("an address ends in a port").to_owned()
}

/// Edits a file and sets its time back.
fn edit_unseen(file: &Path) {
    let file = File::options().write(true).open(file).expect("the test's own file");
    let time = file.metadata().and_then(|metadata| metadata.modified()).expect("Linux keeps it");
    file.write_all_at(b"evil", 3 * MIB + 7).expect("the test's own file");
    file.set_modified(time).expect("the test's own file");
}

/// Bytes in the segments of a repository.
fn segments(repository: &Repository) -> u64 {
    let entries = fs::read_dir(repository.path().join("store")).expect("the repository's store");
    let lengths = entries
        .map(|entry| entry.expect("it is there"))
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "segment"));
    lengths.map(|entry| entry.metadata().expect("it is there").len()).sum()
}
