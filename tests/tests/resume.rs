//! A `get` that ended half way, and whatever was done to what it left: it goes on with what it can prove, and writes each byte to
//! the disk once.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use cidra_tests::program::LIMIT;
use cidra_tests::suite::MIB;
use cidra_tests::{Call, Daemon, Mount, Relay, Repository, Suite, sample};

/// What a fetch may cost on the wire beyond the content that is missing: framing, encryption, greetings, a leaf that was cut off.
const SURPLUS: u64 = 8 * MIB;

#[test]
fn a_get_that_was_killed_fetches_only_the_rest() {
    let size = Suite::chosen().of(48, 256, 1024) * MIB;
    let scene = Scene::new(size, "unixfs-v1-2025");

    let first = scene.killed_after(size / 2);
    assert!(!scene.out.exists(), "until it is complete nothing stands under the final name");
    let kept = scene.kept();
    assert!(kept > 0, "{first} bytes had passed, and nothing is on the disk");
    assert!(kept < size * 9 / 10, "{kept} of {size} bytes were there: it was killed too late to show anything");

    scene.get().run().success();
    let rest = scene.relay.bytes() - first;

    scene.assert_same();
    assert!(first + rest >= size, "{first} and {rest} bytes came over this connection: the rest came some other way");
    assert!(rest <= size - kept + SURPLUS, "{rest} bytes came for {size} of which {kept} were there: some came twice");
}

#[test]
fn a_get_writes_each_byte_once() {
    for (profile, ci) in [("unixfs-v1-2025", 256), ("unixfs-v0-2015", 48)] {
        let size = Suite::chosen().of(32, ci, 1024) * MIB;
        let scene = Scene::new(size, profile);

        let done = scene.get().run().success();

        scene.assert_same();
        assert!(done.written >= size, "{profile}: {} bytes were counted for {size}", done.written);
        assert!(done.written <= size / 10 * 11, "{profile}: {} bytes were written for {size}", done.written);
    }
}

#[test]
fn killed_again_and_again_it_goes_on_each_time() {
    let kills = Suite::chosen().of(3, 8, 100);
    let size = Suite::chosen().of(24, 48, 256) * MIB;
    let scene = Scene::new(size, "unixfs-v1-2025");
    let (mut came, mut kept, mut written) = (0, 0, 0);
    for kill in 1..=kills {
        // Not at even steps: within a leaf, within a commit.
        let until = size / (kills + 1) * kill + kill * 77_777 % MIB;
        let getter = scene.get().start();
        scene.relay.wait_for(until.max(came), LIMIT);
        written += getter.kill().written;
        came = scene.relay.bytes();
        assert!(scene.kept() >= kept, "{} bytes are left of {kept}", scene.kept());
        kept = scene.kept();
    }

    written += scene.get().run().success().written;

    scene.assert_same();
    let rest = scene.relay.bytes() - came;
    assert!(kept > 0 && rest <= size - kept + SURPLUS, "{rest} bytes came for {size} of which {kept} were there");
    // A leaf that was cut off by each.
    assert!(written <= size / 10 * 11 + kills * MIB, "{written} bytes were written for {size}");
}

#[test]
fn whatever_was_done_to_the_part_file_the_content_is_right() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 6] = [
        ("edited", |part| {
            let file = File::options().write(true).open(part).expect("it was left");
            let time = file.metadata().and_then(|metadata| metadata.modified()).expect("Linux keeps it");
            file.write_all_at(b"evil", 3 * MIB + 17).expect("the test's own file");
            file.set_modified(time).expect("the test's own file");
        }),
        ("truncated", |part| {
            File::options().write(true).open(part).and_then(|file| file.set_len(2 * MIB + 5)).expect("it was left");
        }),
        ("too long", |part| {
            File::options().write(true).open(part).and_then(|file| file.set_len(100 * MIB)).expect("it was left");
        }),
        ("replaced", |part| {
            fs::remove_file(part).expect("it was left");
            sample::file(part, 9 * MIB, 99);
        }),
        ("a folder", |part| {
            fs::remove_file(part).expect("it was left");
            fs::create_dir(part).expect("the test's own folder");
        }),
        ("removed", |part| fs::remove_file(part).expect("it was left")),
    ];
    let size = 16 * MIB + 1234;
    let scene = Scene::new(size, "unixfs-v1-2025");
    for (what, spoil) in spoils {
        let getter = Repository::new();
        let before = scene.relay.bytes();
        let half_way = scene.get_by(&getter).start();
        scene.relay.wait_for(before + size / 2, LIMIT);
        half_way.kill();
        spoil(&getter.file("out.cidra-part"));

        scene.get_by(&getter).run().success();

        sample::assert_same(&scene.file, &getter.file("out"));
        assert!(!getter.file("out.cidra-part").exists(), "{what}");
    }
}

#[test]
fn interrupted_it_leaves_its_part_file_and_says_how_to_go_on() {
    let size = 32 * MIB;
    let scene = Scene::new(size, "unixfs-v1-2025");
    let getter = scene.get().start();
    scene.relay.wait_for(size / 2, LIMIT);
    getter.interrupt();

    let ended = getter.finish().exits(130);

    assert!(ended.stderr.contains("run the same command again, it goes on"), "{}", ended.stderr);
    assert!(scene.part().exists() && !scene.out.exists());
    let (before, kept) = (scene.relay.bytes(), scene.kept());
    scene.get().run().success();
    scene.assert_same();
    let rest = scene.relay.bytes() - before;
    assert!(rest <= size - kept + SURPLUS, "{rest} bytes came for {size} of which {kept} were there");
}

#[test]
fn on_a_full_disk_it_says_so_and_goes_on_when_there_is_room() {
    let Some(mount) = Mount::tmpfs() else { return };
    let scene = Scene::new(16 * MIB + 1234, "unixfs-v1-2025");
    let filler = mount.outside("filler");
    sample::file(&filler, 16 * MIB, 9);
    let get = || {
        let own = ["--bootstrap", "none", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0", "--peer"];
        let call = scene.getter.cidra(["get", &scene.cid, "-o"]).arg(mount.path().join("out"));
        call.args(own).arg(scene.relay.address()).within(&mount)
    };

    let full = get().run().exits(1).stderr;
    assert!(full.contains("out.cidra-part") && full.contains("make room"), "{full}");
    assert!(!mount.outside("out").exists());
    fs::remove_file(filler).expect("the test's own file");
    get().run().success();

    sample::assert_same(&scene.file, &mount.outside("out"));
    let came = scene.relay.bytes();
    assert!(came <= 16 * MIB + SURPLUS, "{came} bytes came: part of it was fetched twice");
}

/// A holder of one file behind a relay, and a getter.
struct Scene {
    _holder: Repository,
    _at_holder: Daemon,
    getter: Repository,
    relay: Relay,
    file: PathBuf,
    cid: String,
    out: PathBuf,
}

impl Scene {
    fn new(size: u64, profile: &str) -> Scene {
        let holder = Repository::new();
        let file = holder.file("file");
        sample::file(&file, size, 1);
        let at_holder = holder.daemon(&[]);
        let cid = holder.cidra(["add", "-Q", "--profile", profile]).arg(&file).run().success().text().to_owned();
        let relay = Relay::before(&at_holder);
        let getter = Repository::new();
        let out = getter.file("out");
        Scene { _holder: holder, _at_holder: at_holder, getter, relay, file, cid, out }
    }

    fn get(&self) -> Call {
        self.get_by(&self.getter)
    }

    fn get_by(&self, getter: &Repository) -> Call {
        let own = ["--bootstrap", "none", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];
        getter.cidra(["get", &self.cid, "-o", "out", "--peer", self.relay.address()]).args(own).limit(LIMIT * 2)
    }

    fn part(&self) -> PathBuf {
        self.getter.file("out.cidra-part")
    }

    /// Bytes of the content that an ended getter left on the disk.
    fn kept(&self) -> u64 {
        512 * fs::metadata(self.part()).expect("it is left").blocks()
    }

    /// Kills a getter when so many bytes have come; how many came.
    fn killed_after(&self, bytes: u64) -> u64 {
        let getter = self.get().start();
        self.relay.wait_for(bytes, LIMIT);
        getter.kill();
        self.relay.bytes()
    }

    fn assert_same(&self) {
        sample::assert_same(&self.file, &self.out);
    }
}
