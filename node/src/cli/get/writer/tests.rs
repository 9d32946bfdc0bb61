use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// An entry of a tree, written shortly: a path that ends in `/` is a folder, `->` makes a symlink, `=` a file with a text.
fn save(folder: &TempDir, force: bool, lines: &[&str]) -> Outcome<Saved> {
    let target = Target { folder: folder.path().to_owned(), name: "out".into() };
    let mut writer = Writer::new(target, force, 100)?;
    send(&mut writer, lines)?;
    writer.finish()
}

fn send(writer: &mut Writer, lines: &[&str]) -> Outcome {
    for line in lines {
        if let Some((path, target)) = line.split_once("->") {
            let mut entry = Entry::new(path, Kind::Symlink);
            entry.target = Some(target.as_bytes().to_vec());
            writer.entry(entry)?;
        } else if let Some((path, text)) = line.split_once('=') {
            let mut entry = Entry::new(path, Kind::File);
            entry.size = Some(text.len() as u64);
            writer.entry(entry)?;
            for byte in text.as_bytes() {
                writer.data(&[*byte])?;
            }
        } else {
            writer.entry(Entry::new(line.strip_suffix('/').expect("a folder"), Kind::Directory))?;
        }
    }
    Ok(())
}

fn read(folder: &TempDir, path: &str) -> String {
    fs::read_to_string(folder.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_stands_under_its_name_only_when_it_is_whole() {
    let place = tempfile::tempdir().unwrap();
    let target = Target { folder: place.path().to_owned(), name: "out".into() };
    let mut writer = Writer::new(target, false, 100).unwrap();
    let mut entry = Entry::new("", Kind::File);
    entry.size = Some(4);
    writer.entry(entry).unwrap();
    writer.data(b"ab").unwrap();
    assert_eq!(names(place.path()), ["out.cidra-part"]);
    writer.data(b"cd").unwrap();

    assert_eq!(writer.finish().unwrap(), Saved::Now);

    assert_eq!(names(place.path()), ["out"]);
    assert_eq!(read(&place, "out"), "abcd");
}

#[test]
fn a_file_cut_short_is_not_put_in_its_place() {
    let place = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(Target { folder: place.path().to_owned(), name: "out".into() }, false, 100).unwrap();
    let mut entry = Entry::new("", Kind::File);
    entry.size = Some(4);
    writer.entry(entry).unwrap();
    writer.data(b"ab").unwrap();

    assert!(writer.finish().is_err());

    assert_eq!(names(place.path()), ["out.cidra-part"]);
}

#[test]
fn what_an_interrupted_call_left_is_gone_over() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("out.cidra-part"), "a longer text of other content").unwrap();
    assert_eq!(save(&place, false, &["=abc"]).unwrap(), Saved::Now);
    assert_eq!(read(&place, "out"), "abc");

    fs::remove_file(place.path().join("out")).unwrap();
    fs::create_dir_all(place.path().join("out.cidra-part/old/deep")).unwrap();
    assert_eq!(save(&place, false, &["/", "a=1"]).unwrap(), Saved::Now);
    assert_eq!(names(&place.path().join("out")), ["a"]);
    assert_eq!(names(place.path()), ["out"]);
}

#[test]
fn what_is_there_and_identical_is_done() {
    let place = tempfile::tempdir().unwrap();
    for tree in [&["=abc"][..], &["/", "a/", "a/b=1", "l->a/b", "z="], &["->target"]] {
        assert_eq!(save(&place, false, tree).unwrap(), Saved::Now, "{tree:?}");
        assert_eq!(save(&place, false, tree).unwrap(), Saved::Already, "{tree:?}");
        Folder::named(place.path()).unwrap().clear().unwrap();
    }
}

#[test]
fn something_else_is_refused_and_replaced_only_by_force() {
    for (there, tree) in [
        ("=abd", &["=abc"][..]),
        ("=ab", &["=abc"]),
        ("=abcd", &["=abc"]),
        ("->x", &["=abc"]),
        ("=abc", &["/", "a=1"]),
        ("->x", &["/", "a=1"]),
        ("->x", &["->y"]),
        ("=abc", &["->y"]),
    ] {
        let place = tempfile::tempdir().unwrap();
        save(&place, false, &[there]).unwrap();
        let failure = save(&place, false, tree).unwrap_err();
        assert!(failure.message().contains("--force"), "{there} {tree:?}: {}", failure.message());
        assert_eq!(save(&place, false, &[there]).unwrap(), Saved::Already, "{there} {tree:?}");

        assert_eq!(save(&place, true, tree).unwrap(), Saved::Now, "{there} {tree:?}");
        assert_eq!(save(&place, false, tree).unwrap(), Saved::Already, "{there} {tree:?}");
        assert_eq!(names(place.path()), ["out"]);
    }
}

#[test]
fn a_folder_in_the_way_of_a_file_stays() {
    let place = tempfile::tempdir().unwrap();
    save(&place, false, &["/", "mine=1"]).unwrap();

    for tree in ["=abc", "->x"] {
        assert!(save(&place, true, &[tree]).unwrap_err().message().contains("is a folder"));
    }

    assert_eq!(read(&place, "out/mine"), "1");
}

#[test]
fn pipes_sockets_and_devices_stay_whatever_is_said() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("folder")).unwrap();
    let made = |name: &str, kind: FileType, device: u64| {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, place.path().join(name), kind, mode, device)
    };
    let null = fs::metadata("/dev/null").unwrap().rdev();
    let mut there = vec!["pipe", "socket", "folder/pipe"];
    made("pipe", FileType::Fifo, 0).unwrap();
    made("socket", FileType::Socket, 0).unwrap();
    made("folder/pipe", FileType::Fifo, 0).unwrap();
    // Only the superuser makes devices.
    if made("device", FileType::CharacterDevice, null).is_ok() {
        there.push("device");
    }
    let kinds =
        || -> Vec<_> { there.iter().map(|name| fs::metadata(place.path().join(name)).unwrap().mode()).collect() };
    let before = kinds();

    for force in [false, true] {
        for name in &there {
            for last in ["=abc", "->x", "/"] {
                let (top, lines) = match name.split_once('/') {
                    Some((top, below)) => (top, vec!["/".to_owned(), format!("{below}{last}")]),
                    None => (*name, vec![last.to_owned()]),
                };
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                let target = Target { folder: place.path().to_owned(), name: top.into() };
                let mut writer = Writer::new(target, force, 100).unwrap();

                let failure = send(&mut writer, &lines).unwrap_err();

                assert!(failure.message().contains("is not replaced"), "{name} {last}: {}", failure.message());
            }
        }
    }

    assert_eq!(kinds(), before);
}

#[test]
fn a_folder_of_that_name_is_checked_and_completed() {
    let place = tempfile::tempdir().unwrap();
    save(&place, false, &["/", "a=1", "own=mine"]).unwrap();

    let saved = save(&place, false, &["/", "a=1", "b=2", "c/", "c/d=3", "l->a"]).unwrap();

    assert_eq!(saved, Saved::Now);
    assert_eq!(names(&place.path().join("out")), ["a", "b", "c", "l", "own"]);
    assert_eq!((read(&place, "out/c/d").as_str(), read(&place, "out/own").as_str()), ("3", "mine"));
    assert_eq!(names(place.path()), ["out"]);
}

#[test]
fn a_file_in_it_that_differs_is_refused_and_replaced_only_by_force() {
    let place = tempfile::tempdir().unwrap();
    save(&place, false, &["/", "a=mine", "own=x"]).unwrap();

    let failure = save(&place, false, &["/", "a=1"]).unwrap_err();
    assert!(failure.message().contains("out/a is there already and is different"), "{}", failure.message());
    assert_eq!(read(&place, "out/a"), "mine");

    save(&place, true, &["/", "a=1"]).unwrap();
    assert_eq!((read(&place, "out/a").as_str(), read(&place, "out/own").as_str()), ("1", "x"));
}

#[test]
fn so_many_entries_are_made_and_no_more() {
    let lines = ["/", "a/", "a/b=1", "c->a"];
    for (there, most, left) in [(false, 3, &[][..]), (true, 3, &["out"][..])] {
        let place = tempfile::tempdir().unwrap();
        if there {
            fs::create_dir(place.path().join("out")).unwrap();
        }
        let target = Target { folder: place.path().to_owned(), name: "out".into() };
        let mut writer = Writer::new(target.clone(), false, most).unwrap();

        let failure = send(&mut writer, &lines).unwrap_err();

        assert!(failure.message().contains("--max-entries"), "{}", failure.message());
        assert_eq!(names(place.path()), left);
        let mut writer = Writer::new(target, false, most + 1).unwrap();
        send(&mut writer, &lines).unwrap();
        writer.finish().unwrap();
        assert_eq!(names(&place.path().join("out")), ["a", "c"]);
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["../x", "..", ".", "/x", "a/../../x", "a//b", "", "x\0y", "./x", "a/"] {
        let place = tempfile::tempdir().unwrap();
        let inside = place.path().join("inside");
        fs::create_dir(&inside).unwrap();
        let target = Target { folder: inside.clone(), name: "out".into() };
        let mut writer = Writer::new(target, true, 100).unwrap();
        send(&mut writer, &["/", "a/"]).unwrap();

        let failure = writer.entry(Entry::new(name, Kind::File)).unwrap_err();

        assert!(failure.message().contains("entry named"), "{name:?}: {}", failure.message());
        assert_eq!(names(place.path()), ["inside"]);
        assert_eq!(names(&inside), ["out.cidra-part"]);
    }
}

#[test]
fn names_of_dots_that_lead_nowhere_are_saved() {
    let place = tempfile::tempdir().unwrap();

    save(&place, false, &["/", "...=1", "..a=2", ".hidden=3"]).unwrap();

    assert_eq!(names(&place.path().join("out")), ["...", "..a", ".hidden"]);
}

#[test]
fn entries_that_collide_are_refused() {
    for tree in [
        &["/", "a=1", "a=2"][..],
        &["/", "a=1", "a/"],
        &["/", "a/", "a/b=1", "a=2"],
        &["/", "a->x", "a=2"],
        &["/", "a->x", "a->x"],
        &["/", "a=1", "a->x"],
        &["/", "a/", "b=1", "a/"],
    ] {
        for force in [false, true] {
            let place = tempfile::tempdir().unwrap();
            let failure = save(&place, force, tree).unwrap_err();
            assert!(failure.message().contains("two entries"), "{tree:?}: {}", failure.message());

            save(&place, false, &["/"]).unwrap();
            let failure = save(&place, force, tree).unwrap_err();
            assert!(failure.message().contains("two entries"), "completing {tree:?}: {}", failure.message());
        }
    }
}

#[test]
fn an_entry_below_a_symlink_is_not_written_through_it() {
    let outside = tempfile::tempdir().unwrap();
    let line = format!("a->{}", outside.path().display());
    for there in [&[][..], &["/"]] {
        let place = tempfile::tempdir().unwrap();
        if !there.is_empty() {
            save(&place, false, there).unwrap();
        }

        assert!(save(&place, true, &["/", &line, "a/x=1"]).is_err());
        assert!(save(&place, true, &["/", &line, "a/"]).is_err());

        assert_eq!(names(outside.path()), [""; 0]);
    }
}

#[test]
fn a_symlink_that_was_there_is_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("out")).unwrap();
    symlink(outside.path(), place.path().join("out/a")).unwrap();

    assert!(save(&place, false, &["/", "a/", "a/x=1"]).unwrap_err().message().contains("is no folder"));
    save(&place, true, &["/", "a/", "a/x=1"]).unwrap();

    assert_eq!(names(outside.path()), [""; 0]);
    assert_eq!(read(&place, "out/a/x"), "1");
}

#[test]
fn two_calls_do_not_write_to_one_place_at_once() {
    for line in ["=abc", "/"] {
        let place = tempfile::tempdir().unwrap();
        let target = Target { folder: place.path().to_owned(), name: "out".into() };
        let mut first = Writer::new(target, false, 100).unwrap();
        send(&mut first, &[line]).unwrap();

        assert!(save(&place, false, &[line]).unwrap_err().message().contains("another command"));

        first.finish().unwrap();
        assert_eq!(save(&place, false, &[line]).unwrap(), Saved::Already);
    }
}

#[test]
fn modes_and_times_are_set_but_no_rights_of_others() {
    let place = tempfile::tempdir().unwrap();
    let target = Target { folder: place.path().to_owned(), name: "out".into() };
    let mut writer = Writer::new(target, false, 100).unwrap();
    let mtime = Some(crate::api::tree::Mtime { secs: -5, nanos: 7 });
    writer.entry(Entry { mode: Some(0o500), mtime, ..Entry::new("", Kind::Directory) }).unwrap();
    writer.entry(Entry { mode: Some(0o4755), mtime, ..Entry::new("a", Kind::File) }).unwrap();
    writer.finish().unwrap();

    let folder = fs::metadata(place.path().join("out")).unwrap();
    let file = fs::metadata(place.path().join("out/a")).unwrap();
    assert_eq!((folder.mode() & 0o7777, folder.mtime()), (0o500, -5));
    assert_eq!((file.mode() & 0o7777, file.mtime(), file.mtime_nsec()), (0o755, -5, 7));
}
