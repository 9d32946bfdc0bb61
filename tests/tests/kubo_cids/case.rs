//! A random tree and how it is added.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use cidra_tests::sample;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::flags::{Flags, Profile};

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) flags: Flags,
    root: Entry,
}

#[derive(Clone, Debug)]
struct Entry {
    name: Vec<u8>,
    kind: Kind,
    mode: u32,
    /// Seconds and nanoseconds.
    mtime: (i64, u32),
}

#[derive(Clone, Debug)]
enum Kind {
    File { size: usize },
    Folder(Vec<Entry>),
    Symlink(Vec<u8>),
}

impl Case {
    pub(crate) fn new(seed: u64) -> Case {
        let mut random = SmallRng::seed_from_u64(seed);
        let flags = Flags::random(&mut random);
        let mut made = Maker { left: BYTES, flags: &flags, random: &mut random };
        let kind = match made.random.random_range(0..20) {
            0..5 => made.file(),
            5 => Kind::Folder(made.crowd()),
            _ => made.folder(0),
        };
        let root = made.entry(b"root".to_vec(), kind);
        Case { flags, root }
    }

    pub(crate) fn name(&self) -> &OsStr {
        OsStr::from_bytes(&self.root.name)
    }

    pub(crate) fn write(&self, path: &Path) {
        self.root.write(path);
    }

    /// Cases that are a little less than this one.
    pub(crate) fn smaller(&self) -> Vec<Case> {
        let fewer_flags = self.flags.smaller().map(|flags| Case { flags, root: self.root.clone() });
        let less_content = self.root.smaller().into_iter().map(|root| Case { flags: self.flags.clone(), root });
        less_content.chain(fewer_flags).collect()
    }
}

impl Entry {
    fn write(&self, path: &Path) {
        match &self.kind {
            Kind::File { size } => sample::file(path, *size as u64, *size as u64),
            Kind::Symlink(target) => symlink(OsStr::from_bytes(target), path).expect("the test's own folder"),
            Kind::Folder(entries) => {
                fs::create_dir(path).expect("the test's own folder");
                entries.iter().for_each(|entry| entry.write(&path.join(OsStr::from_bytes(&entry.name))));
            }
        }
        if !matches!(self.kind, Kind::Symlink(_)) {
            fs::set_permissions(path, Permissions::from_mode(self.mode)).expect("the test's own file");
        }
        let time = Timespec { tv_sec: self.mtime.0, tv_nsec: self.mtime.1.into() };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("the test's own file");
    }

    fn smaller(&self) -> Vec<Entry> {
        match &self.kind {
            Kind::Symlink(_) | Kind::File { size: 0 } => vec![],
            Kind::File { size } => {
                let sizes = [0, size / 2, size - 1].into_iter().filter(|smaller| smaller < size);
                sizes.map(|size| Entry { kind: Kind::File { size }, ..self.clone() }).collect()
            }
            Kind::Folder(entries) => {
                let with = |entries: Vec<Entry>| Entry { kind: Kind::Folder(entries), ..self.clone() };
                let half = entries.len() / 2;
                let halves = (half > 1).then(|| [entries[half..].to_vec(), entries[..half].to_vec()]);
                let fewer = (0..entries.len().min(40)).map(|index| {
                    let mut entries = entries.clone();
                    entries.remove(index);
                    entries
                });
                let less = entries.iter().take(40).enumerate().flat_map(|(index, entry)| {
                    entry.smaller().into_iter().map(move |smaller| {
                        let mut entries = entries.clone();
                        entries[index] = smaller;
                        entries
                    })
                });
                halves.into_iter().flatten().chain(fewer).chain(less).map(with).collect()
            }
        }
    }
}

struct Maker<'a> {
    /// Bytes that files may still take.
    left: usize,
    flags: &'a Flags,
    random: &'a mut SmallRng,
}

/// In all files of a case.
const BYTES: usize = 3 << 20;

impl Maker<'_> {
    fn entry(&mut self, name: Vec<u8>, kind: Kind) -> Entry {
        let modes = match kind {
            Kind::File { .. } => &[0o644, 0o600, 0o755, 0o400, 0o4755, 0o2711, 0o777][..],
            Kind::Folder(_) => &[0o755, 0o700, 0o1777, 0o2775],
            Kind::Symlink(_) => &[0o777],
        };
        let mode = *modes.choose(self.random).expect("not empty");
        let seconds = [0, 1, -1, -86_400, 1_700_000_000, 1_767_225_599, 4_102_444_800];
        let nanoseconds = [0, 0, 1, 999_999_999, 123_456_789];
        let mtime = (*seconds.choose(self.random).expect("not empty"), *nanoseconds.choose(self.random).expect("so"));
        Entry { name, kind, mode, mtime }
    }

    /// About the borders of leaves and nodes, or anywhere.
    fn file(&mut self) -> Kind {
        let (chunk, links) = (self.flags.chunk_size(), self.flags.links());
        let leaves = [0, 1, 2, 3, links - 1, links, links + 1, links * 2, links * links];
        let leaves = *leaves.choose(self.random).expect("not empty");
        let size = match self.random.random_range(0..4) {
            0 => self.random.random_range(0..200),
            1 => self.random.random_range(0..self.left.max(1)),
            2 => chunk.saturating_mul(leaves),
            _ => (chunk.saturating_mul(leaves) + self.random.random_range(0..3)).saturating_sub(1),
        };
        // A leaf costs a hash, and the file must fit.
        let size = size.min(self.left).min(chunk.saturating_mul(LEAVES));
        self.left -= size;
        Kind::File { size }
    }

    fn folder(&mut self, depth: usize) -> Kind {
        let count = self.random.random_range(0..=8);
        let mut entries: Vec<Entry> = vec![];
        for _ in 0..count {
            let name = self.name();
            if entries.iter().any(|entry| entry.name == name) {
                continue;
            }
            let kind = match self.random.random_range(0..10) {
                0 => Kind::Symlink([&b"../"[..], &self.name()].concat()),
                1..4 if depth < 4 => self.folder(depth + 1),
                _ => self.file(),
            };
            let entry = self.entry(name, kind);
            entries.push(entry);
        }
        Kind::Folder(entries)
    }

    /// A folder whose size lies about the border past which it is cut into shards.
    fn crowd(&mut self) -> Vec<Entry> {
        // Name, CID and, where the block is measured, twelve bytes about them.
        let of_an_entry = match self.flags.profile {
            Profile::V0 => LONG + 34,
            Profile::V1 => LONG + 36 + 12,
        };
        let count = (256 << 10) / of_an_entry + self.random.random_range(0..4);
        let mut entries = vec![];
        for number in 0..count {
            let length = if number == 0 { self.random.random_range(10..250) } else { LONG };
            let name = format!("{number:0length$}").into_bytes();
            entries.push(self.entry(name, Kind::File { size: 1 }));
        }
        entries
    }

    fn name(&mut self) -> Vec<u8> {
        let number = self.random.random_range(0..100);
        let names: [Vec<u8>; 16] = [
            format!("{number}").into(),
            format!("file {number}.txt").into(),
            format!(".hidden{number}").into(),
            format!("...{number}").into(),
            format!("Grüße-{number}-写真-🎉").into(),
            format!("e\u{301}{number}").into(),
            format!("%2F%zz+&={number};\"'`$(x)\\").into(),
            format!("line\nbreak\r\t{number}").into(),
            format!(" {number} ").into(),
            format!("-n{number}").into(),
            [b"\xff\xfe\x80", format!("{number}").as_bytes()].concat(),
            [b"a.b", b"a-b", b"a b", b"a_b"][number % 4].to_vec(),
            [b"CON".to_vec(), b"nul.txt".to_vec(), b"dot.".to_vec(), b"x:y".to_vec()][number % 4].clone(),
            format!("{number:0>255}").into(),
            [b"A", b"a", b"B", b"b", b"\x01", b"\x7f"][number % 6].to_vec(),
            format!("{:x}", number * 7919).into(),
        ];
        names.choose(self.random).expect("not empty").clone()
    }
}

/// In one file.
const LEAVES: usize = 4000;
/// So long are most names of a folder that is to be cut.
const LONG: usize = 199;
