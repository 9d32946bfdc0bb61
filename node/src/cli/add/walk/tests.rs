use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{FileType, mknodat};
use tempfile::TempDir;

use super::*;

#[test]
fn a_folder_comes_before_its_entries_which_are_sorted_by_bytes() {
    let folder = folder(&[("b/x", "1"), ("b.txt", "2"), ("a", "3"), ("é", "4"), ("B", "5")]);

    let paths = paths(walk(&folder, Selection::default()));

    assert_eq!(paths, ["top", "top/B", "top/a", "top/b", "top/b/x", "top/b.txt", "top/é"]);
}

#[test]
fn hidden_entries_are_left_out_unless_asked_for_or_named() {
    let folder = folder(&[(".git/config", "x"), ("seen", "y"), ("sub/.hidden", "z")]);

    assert_eq!(paths(walk(&folder, Selection::default())), ["top", "top/seen", "top/sub"]);
    let all = Selection { hidden: true, ..Selection::default() };
    assert_eq!(paths(walk(&folder, all)).len(), 6);
    let named = Walk::new(vec![folder.path().join("top/.git")], Selection::default());
    assert_eq!(paths(named), [".git", ".git/config"]);
}

#[test]
fn ignored_entries_are_left_out() {
    let folder = folder(&[("target/x", "1"), ("a.log", "2"), ("src/target", "3")]);
    let ignored = Ignored::new(["/target/", "*.log"]);

    let paths = paths(walk(&folder, Selection { ignored, ..Selection::default() }));

    assert_eq!(paths, ["top", "top/src", "top/src/target"]);
}

#[test]
fn names_that_are_not_utf8_are_carried_as_bytes() {
    let folder = folder(&[]);
    fs::write(folder.path().join("top").join(OsStr::from_bytes(b"caf\xe9")), "x").unwrap();

    let mut walk = walk(&folder, Selection::default());
    walk.next_frame().unwrap();

    let Some(Frame::Entry(entry)) = walk.next_frame().unwrap() else { panic!("the file") };
    assert_eq!(entry.path, b"top/caf\xe9");
}

#[test]
fn symlinks_stay_symlinks_also_broken_ones() {
    let folder = folder(&[("file", "x")]);
    symlink("/nowhere/at/all", folder.path().join("top/link")).unwrap();

    assert_eq!(walk(&folder, Selection::default()).survey().unwrap(), 1);
    let mut walk = walk(&folder, Selection::default());
    let mut targets = vec![];
    while let Some(frame) = walk.next_frame().unwrap() {
        if let Frame::Entry(Entry { kind: Kind::Symlink, target: Some(target), .. }) = frame {
            targets.push(target);
        }
    }

    assert_eq!(targets, [b"/nowhere/at/all"]);
}

#[test]
fn a_named_symlink_is_followed_only_when_told() {
    let folder = folder(&[("file", "x")]);
    let link = folder.path().join("link");
    symlink("top/file", &link).unwrap();
    let kind = |follow_named| {
        let mut walk = Walk::new(vec![link.clone()], Selection { follow_named, ..Selection::default() });
        let Some(Frame::Entry(entry)) = walk.next_frame().unwrap() else { panic!("one entry") };
        entry.kind
    };

    assert_eq!((kind(false), kind(true)), (Kind::Symlink, Kind::File));
}

#[test]
fn pipes_and_sockets_are_refused_by_name_before_anything_is_read() {
    let folder = folder(&[("a", "x")]);
    let _socket = UnixListener::bind(folder.path().join("top/s.sock")).unwrap();
    let failure = walk(&folder, Selection::default()).survey().unwrap_err();
    assert!(failure.message().contains("top/s.sock is a socket"), "{}", failure.message());

    fs::remove_file(folder.path().join("top/s.sock")).unwrap();
    mknodat(CWD, folder.path().join("top/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let failure = walk(&folder, Selection::default()).survey().unwrap_err();
    assert!(failure.message().contains("top/pipe is a pipe"), "{}", failure.message());
}

#[test]
fn an_unreadable_file_is_named_before_anything_is_read() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root may read everything");
        return;
    }
    let folder = folder(&[("a", "x"), ("secret", "y")]);
    fs::set_permissions(folder.path().join("top/secret"), fs::Permissions::from_mode(0o000)).unwrap();

    let failure = walk(&folder, Selection::default()).survey().unwrap_err();

    assert!(failure.message().contains("top/secret"), "{}", failure.message());
}

#[test]
fn a_file_that_shrinks_grows_or_changes_while_it_is_read_is_an_error() {
    let long = "x".repeat(PIECE + 10);
    for (written, said) in [("", "1048576 could be read"), ("grow", "it grew"), ("same", "it was written to")] {
        let folder = folder(&[("file", &long)]);
        let file = folder.path().join("top/file");
        let mut walk = Walk::new(vec![file.clone()], Selection::default());
        walk.next_frame().unwrap();
        walk.next_frame().unwrap();
        match written {
            "" => File::options().write(true).open(&file).unwrap().set_len(PIECE as u64).unwrap(),
            "grow" => fs::write(&file, long.clone() + "more").unwrap(),
            _ => {
                let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
                File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
            }
        }

        let mut last = walk.next_frame();
        while let Ok(Some(_)) = last {
            last = walk.next_frame();
        }

        let failure = last.unwrap_err();
        assert!(failure.message().contains("top/file changed while it was read"), "{}", failure.message());
        assert!(failure.message().contains(said), "{}", failure.message());
    }
}

#[test]
fn a_file_is_sent_in_pieces_and_an_empty_one_in_none() {
    let folder = folder(&[("empty", ""), ("long", &"x".repeat(2 * PIECE + 1))]);
    let mut walk = walk(&folder, Selection::default());

    let mut lengths = vec![];
    while let Some(frame) = walk.next_frame().unwrap() {
        if let Frame::Data(bytes) = frame {
            lengths.push(bytes.len());
        }
    }

    assert_eq!(lengths, [PIECE, PIECE, 1]);
}

#[test]
fn a_path_is_called_by_its_last_name() {
    let folder = folder(&[("a", "x")]);
    let top = folder.path().join("top");

    assert_eq!(wire_name(Path::new("/no/such/file")).unwrap(), b"file");
    assert_eq!(wire_name(&top.join("")).unwrap(), b"top");
    assert_eq!(wire_name(&top.join(".")).unwrap(), b"top");
    assert_eq!(wire_name(&top.join("..")).unwrap(), folder.path().file_name().unwrap().as_bytes());
}

#[test]
fn what_is_not_there_is_named() {
    let failure = Walk::new(vec!["/no/such/file".into()], Selection::default()).survey().unwrap_err();

    assert!(failure.message().contains("/no/such/file"), "{}", failure.message());
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("top")).unwrap();
    for (name, text) in files {
        let path = folder.path().join("top").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn walk(folder: &TempDir, selection: Selection) -> Walk {
    Walk::new(vec![folder.path().join("top")], selection)
}

fn paths(mut walk: Walk) -> Vec<String> {
    let mut paths = vec![];
    while let Some(frame) = walk.next_frame().unwrap() {
        if let Frame::Entry(entry) = frame {
            paths.push(String::from_utf8(entry.path).unwrap());
        }
    }
    paths
}
