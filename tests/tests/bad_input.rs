//! What people and strangers do wrong: a message that names the thing, the exit code that scripts rely on, and nothing lost.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cidra_content::block::{Block, DAG_PB, RAW};

use cidra_tests::suite::MIB;
use cidra_tests::{Finished, Repository, sample};

#[test]
fn a_cid_that_is_none_and_an_unknown_flag_are_wrong_usage() {
    let repository = Repository::new();

    says(&repository.cidra(["cat", "not-a-cid"]).run().exits(2), "not-a-cid");
    says(&repository.cidra(["get", "bafkreigh2akiscaildc"]).run().exits(2), "bafkreigh2akiscaildc");
    says(&repository.cidra(["add", "--no-such-flag", "."]).run().exits(2), "--no-such-flag");
    says(&repository.cidra(["swarm", "connect", "/ip4/nowhere"]).run().exits(2), "/ip4/nowhere");
}

#[test]
fn what_is_not_there_is_exit_3_with_its_name() {
    let repository = Repository::new();
    let folder = repository.file("folder");
    sample::folder(&folder, 3, 1);
    let cid = repository.add(&folder);
    let absent = "bafkreicekgblbe5zvy5nsfv3trtn4ahenqr4hnlhcqntzqg7pz5idr74oe";

    says(&repository.cidra(["--offline", "cat", &format!("{cid}/no such file")]).run().exits(3), "no such file");
    says(&repository.cidra(["--offline", "cat", absent]).run().exits(3), absent);
    let nobody = ["--timeout", "2s", "--bootstrap", "none", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];
    says(&repository.cidra(["cat", absent]).args(nobody).run().exits(3), absent);
}

#[test]
fn a_path_that_cannot_be_added_is_named_and_the_rest_is_not_lost() {
    let repository = Repository::new();
    says(&repository.cidra(["add", "missing"]).run().exits(1), "missing");

    let pipe = repository.file("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("coreutils").success());
    says(&repository.cidra(["add", "pipe"]).run().exits(1), "pipe");
    says(&repository.cidra(["add", "/dev/null"]).run().exits(1), "/dev/null");

    let good = repository.file("good");
    sample::file(&good, 1000, 1);
    let mixed = repository.cidra(["add", "-q", "good", "missing"]).run().exits(1);
    says(&mixed, "missing");
    for cid in mixed.lines() {
        repository.cidra(["--offline", "cat", cid]).run().success();
    }
}

#[test]
fn a_name_that_is_not_utf_8_comes_back_as_it_was() {
    let repository = Repository::new();
    let folder = repository.file("folder");
    fs::create_dir(&folder).expect("the test's own folder");
    let name = OsStr::from_bytes(b"caf\xe9.txt");
    fs::write(folder.join(name), "content").expect("the test's own folder");
    symlink("nowhere/at all", folder.join("link")).expect("the test's own folder");

    let cid = repository.add(&folder);
    repository.cidra(["--offline", "get", &cid, "-o", "out"]).run().success();

    let out = repository.file("out");
    assert_eq!(fs::read(out.join(name)).expect("it came back under its name"), b"content");
    assert_eq!(fs::read_link(out.join("link")).expect("a link came back").to_string_lossy(), "nowhere/at all");
}

#[test]
fn a_config_with_an_unknown_key_and_a_newer_repository_are_refused() {
    let repository = Repository::new();
    repository.cidra(["repo", "stat"]).run().success();
    let config = repository.path().join("config.toml");
    let text = fs::read_to_string(&config).unwrap_or_default();
    fs::write(&config, format!("surprise = 1\n{text}")).expect("the test's own repository");

    says(&repository.cidra(["repo", "stat"]).run().exits(1), "surprise");
    says(&repository.cidra(["daemon"]).run().exits(1), "surprise");
}

#[test]
fn a_port_that_is_taken_is_named_with_its_flag() {
    let repository = Repository::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().expect("it listens").port());

    for (flag, other) in [("--api-listen", "--gateway-listen"), ("--gateway-listen", "--api-listen")] {
        let refused = repository
            .cidra(["daemon", "--bootstrap", "none", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0", other, "none"])
            .args([flag, &address])
            .run()
            .exits(1);

        says(&refused, flag);
    }
}

#[test]
fn a_daemon_starts_at_once_though_its_bootstrap_node_does_not_answer() {
    let repository = Repository::new();
    let begin = Instant::now();

    let daemon = repository.daemon(&["/ip4/127.0.0.1/tcp/9", "/dns4/does-not-exist.invalid/tcp/4001"]);

    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    daemon.stop();
}

#[test]
fn get_refuses_what_stands_in_its_way_without_force() {
    let repository = Repository::new();
    let file = repository.file("file");
    sample::file(&file, MIB, 1);
    let cid = repository.add(&file);
    fs::write(repository.file("out"), "something else").expect("the test's own folder");

    says(&repository.cidra(["--offline", "get", &cid, "-o", "out"]).run().exits(1), "out");
    assert_eq!(fs::read(repository.file("out")).expect("it stands"), b"something else");

    repository.cidra(["--offline", "get", &cid, "-o", "out", "--force"]).run().success();
    sample::assert_same(&file, &repository.file("out"));
    repository.cidra(["--offline", "get", &cid, "-o", "out"]).run().success();
}

#[test]
fn a_hostile_folder_writes_nothing_outside_its_target() {
    let repository = Repository::new();
    let leaf = put(&repository, b"payload", "raw");
    for names in [
        &["../x"][..],
        &["/x"],
        &["a/../../x"],
        &[".."],
        &["."],
        &[""],
        &["same", "same"],
        &["a\0b"],
        &["a", "a/b"],
        &[&"x".repeat(256)],
    ] {
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let folder = put(&repository, &folder_of(&names, &leaf), "dag-pb");

        let got = repository.cidra(["--offline", "get", &folder.to_string(), "-o", "out/inner"]).run();

        assert_ne!(got.code, Some(0), "{names:?} came out as if nothing were wrong");
        assert!(got.signal.is_none() && !got.stderr.is_empty(), "{names:?}: {got:?}");
        assert_nothing_beside(&repository, "out");
        assert!(!repository.file("out/inner").exists(), "{names:?}: part of it stands as if it were whole");
        assert!(!repository.file("out/x").exists(), "{names:?} wrote beside its target");
        // Not there where the refusal came before the first entry.
        let _ = fs::remove_dir_all(repository.file("out"));
    }
}

/// Names that mean something on one platform or another, or to a terminal, are names as any other here: what was added comes
/// back, byte for byte, and nothing else. None of them reaches a terminal as it is.
#[test]
fn names_that_are_special_somewhere_come_out_as_they_are() {
    let repository = Repository::new();
    let longest = "x".repeat(255);
    let mut names: Vec<&[u8]> = [
        "CON",
        "con",
        "aux.txt",
        "COM1",
        "nul",
        "a.",
        "a ",
        " a",
        "...",
        "a:b",
        "C:",
        "a\\b",
        "..\\x",
        "\\\\host\\x",
        "a*?\"<>|",
        "~",
        "-rf",
        ".git",
        "%2e%2e%2fx",
        "out.cidra-part",
        "\n",
        "a\rb",
        "\u{1b}[2J",
        "\u{7f}",
        "\u{9b}2J",
        "\u{202e}gpj",
        &longest,
    ]
    .map(str::as_bytes)
    .into();
    names.push(b"\xff\xfe");
    names.sort_unstable();
    let leaf = put(&repository, b"payload", "raw");
    let folder = put(&repository, &folder_of(&names, &leaf), "dag-pb").to_string();

    repository.cidra(["--offline", "get", &folder, "-o", "out"]).run().success();

    assert_eq!(names_in(&repository.file("out")), names);
    for name in &names {
        let file = repository.file("out").join(OsStr::from_bytes(name));
        assert_eq!(fs::read(file).expect("it came out under its name"), b"payload");
    }
    assert_nothing_beside(&repository, "out");
    let listed = repository.cidra(["--offline", "ls", &folder]).run().success();
    assert_eq!(listed.lines().len(), names.len(), "{:?}", listed.lines());
    assert!(!listed.text().chars().any(|shown| shown.is_control() && shown != '\n' || shown == '\u{202e}'));
    // Alone, each is the name of a file in this folder.
    for name in ["CON", "a ", "..\\x", "-rf", "\n", &longest] {
        let escaped: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        fs::remove_dir_all(repository.file("out")).expect("it was fetched");
        fs::create_dir(repository.file("out")).expect("the test's own folder");
        let content = format!("ipfs://{folder}/{escaped}");

        repository.cidra(["--offline", "get", &content, "-o", "out/"]).run().success();

        assert_eq!(names_in(&repository.file("out")), [name.as_bytes()]);
        assert_nothing_beside(&repository, "out");
    }
}

/// One block of a few kilobytes within another makes ten thousand files; three levels would make a million.
#[test]
fn a_folder_that_expands_makes_no_more_files_than_are_allowed() {
    let repository = Repository::new();
    let leaf = put(&repository, b"", "raw");
    let hundred: Vec<String> = (0..100).map(|number| format!("{number:02}")).collect();
    let hundred: Vec<&[u8]> = hundred.iter().map(|name| name.as_bytes()).collect();
    let below = put(&repository, &folder_of(&hundred, &leaf), "dag-pb");
    let folder = put(&repository, &folder_of(&hundred, &below), "dag-pb").to_string();

    let refused = repository.cidra(["--offline", "get", &folder, "-o", "out", "--max-entries", "10100"]).run().exits(1);

    says(&refused, "--max-entries");
    assert_eq!(names_in(repository.folder()), [b"repo"], "what was made is gone again");
    repository.cidra(["--offline", "get", &folder, "-o", "out", "--max-entries", "10101"]).run().success();
    assert_eq!(names_in(&repository.file("out/99")), hundred);
}

/// Stores a block whose CID is the one that is computed here.
fn put(repository: &Repository, data: &[u8], codec: &str) -> cid::Cid {
    let put = repository.cidra(["block", "put", "--cid-codec", codec, "-"]).input(data).run().success();
    let cid = put.text().parse().expect("it prints a CID");
    let codec = if codec == "raw" { RAW } else { DAG_PB };
    assert_eq!(cid, *Block::new(codec, Bytes::copy_from_slice(data)).cid());
    cid
}

fn names_in(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).expect("it is there");
    let mut names: Vec<Vec<u8>> =
        entries.map(|entry| entry.expect("it is there").file_name().as_bytes().to_vec()).collect();
    names.sort_unstable();
    names
}

fn assert_nothing_beside(repository: &Repository, target: &str) {
    let beside = names_in(repository.folder());
    assert!(beside.iter().all(|name| name == b"repo" || name == target.as_bytes()), "{beside:?}");
}

/// The dag-pb bytes of a UnixFS folder whose entries have these names and all lead to one block.
fn folder_of(names: &[&[u8]], leaf: &cid::Cid) -> Bytes {
    let mut out = Vec::new();
    for name in names {
        let mut link = field(1, &leaf.to_bytes());
        link.extend(field(2, name));
        link.extend([0x18, 7]);
        out.extend(field(2, &link));
    }
    out.extend(field(1, &[8, 1]));
    out.into()
}

/// A protobuf field of bytes, shorter than 2^14.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = match bytes.len() {
        short @ 0..0x80 => vec![short as u8],
        long => vec![long as u8 | 0x80, u8::try_from(long >> 7).expect("the test's own, short")],
    };
    [&[number << 3 | 2], &length[..], bytes].concat()
}

fn says(finished: &Finished, wanted: &str) {
    assert!(finished.stderr.contains(wanted), "the message does not name {wanted:?}: {}", finished.stderr);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}
