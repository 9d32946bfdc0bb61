//! Files and folders to add, the same for the same seed, and the comparison of what came back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

/// A file of so many bytes that do not repeat.
pub fn file(path: &Path, size: u64, seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut out = BufWriter::new(File::create(path).expect("the test's own folder"));
    let mut buffer = vec![0; size.min(1 << 20) as usize];
    let mut left = size;
    while left > 0 {
        let count = left.min(buffer.len() as u64) as usize;
        random.fill_bytes(&mut buffer[..count]);
        out.write_all(&buffer[..count]).expect("the disk has room");
        left -= count as u64;
    }
    out.flush().expect("the disk has room");
}

/// A new folder of so many files of 4 KiB, named by their numbers of six digits.
pub fn small_files(path: &Path, count: u64) {
    fs::create_dir(path).expect("the test's own folder");
    for number in 0..count {
        file(&path.join(format!("{number:06}")), SMALL_FILE, number);
    }
}

/// Bytes of each of the small files.
pub const SMALL_FILE: u64 = 4096;

/// A folder of so many files of 0 to 64 KiB, nested, with names that people give, and an empty folder within.
pub fn folder(path: &Path, files: usize, seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    fs::create_dir_all(path.join("nothing in here")).expect("the test's own folder");
    for number in 0..files {
        let inner = match number % 4 {
            0 => path.to_owned(),
            1 => path.join("Grüße & Küsse"),
            2 => path.join("a").join(format!("b{}", number % 16)),
            _ => path.join("写真"),
        };
        fs::create_dir_all(&inner).expect("the test's own folder");
        let size = if number % 10 == 0 { 0 } else { random.random_range(1..64 << 10) };
        file(&inner.join(format!("file {number}.bin")), size, random.random());
    }
}

/// Panics unless both hold the same: a file byte for byte, a folder entry for entry.
pub fn assert_same(left: &Path, right: &Path) {
    let (mine, theirs) = (entries(left), entries(right));
    let missing: Vec<_> = mine.keys().filter(|name| !theirs.contains_key(*name)).take(3).collect();
    let surplus: Vec<_> = theirs.keys().filter(|name| !mine.contains_key(*name)).take(3).collect();
    assert!(missing.is_empty(), "{} lacks {missing:?} and perhaps more", right.display());
    assert!(surplus.is_empty(), "{} has {surplus:?} in surplus and perhaps more", right.display());
    for (name, is_folder) in &mine {
        assert_eq!(is_folder, &theirs[name], "{} is a folder in one only", name.display());
        if !is_folder {
            assert_same_file(&joined(left, name), &joined(right, name));
        }
    }
}

/// The path of each entry below, and whether it is a folder; of a file, the empty path alone.
fn entries(root: &Path) -> BTreeMap<PathBuf, bool> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(name) = open.pop() {
        let path = joined(root, &name);
        let is_folder =
            fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).is_dir();
        if is_folder {
            let inner = fs::read_dir(&path).expect("the test's own folder");
            open.extend(inner.map(|entry| name.join(entry.expect("the test's own folder").file_name())));
        }
        found.insert(name, is_folder);
    }
    found
}

fn joined(root: &Path, name: &Path) -> PathBuf {
    if name.as_os_str().is_empty() { root.to_owned() } else { root.join(name) }
}

fn assert_same_file(left: &Path, right: &Path) {
    let open = |path: &Path| BufReader::with_capacity(1 << 20, File::open(path).expect("it was just listed"));
    let (mut mine, mut theirs) = (open(left), open(right));
    let mut offset = 0;
    loop {
        let (a, b) = (chunk(&mut mine), chunk(&mut theirs));
        assert!(a == b, "{} and {} differ after byte {offset}", left.display(), right.display());
        if a.is_empty() {
            return;
        }
        offset += a.len();
    }
}

fn chunk(file: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.take(1 << 20).read_to_end(&mut bytes).expect("the test's own file");
    bytes
}
