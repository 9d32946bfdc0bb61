//! Trees, folders and files after changes, beside the same made at once, and what Kubo gives for the same steps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::unixfs::{DirectoryImporter, FileImporter, Layout, Leaf, Metadata, Parameters, Reader, Step, Time};

/// Runs an edit as `node` does: brings what is missing out of a store, and keeps what was made there.
#[derive(Default)]
struct Disk {
    blocks: BTreeMap<Cid, Block>,
    /// Blocks that were asked for.
    asked: usize,
}

impl Disk {
    fn run<T>(&mut self, edit: impl Fn(&mut Blocks) -> Result<T, Stop>) -> Result<T, EditError> {
        let mut blocks = Blocks::default();
        loop {
            match edit(&mut blocks) {
                Ok(done) => {
                    self.keep(blocks.take_made());
                    return Ok(done);
                }
                Err(Stop::Refused(error)) => return Err(*error),
                Err(Stop::Missing(cids)) => {
                    assert!(!cids.is_empty());
                    blocks = Blocks { here: std::mem::take(&mut blocks.here), made: BTreeMap::new() };
                    for cid in cids {
                        self.asked += 1;
                        blocks.insert(self.blocks[&cid].clone());
                    }
                }
            }
        }
    }

    fn keep(&mut self, made: Vec<Block>) {
        self.blocks.extend(made.into_iter().map(|block| (*block.cid(), block)));
    }

    fn empty(&mut self) -> Cid {
        self.run(|blocks| Ok(folder::empty(blocks, Fashion::V0).cid)).expect("a folder")
    }

    fn read(&self, file: Cid) -> Vec<u8> {
        let (mut bytes, mut reader) = (vec![], Reader::new(file, 0..u64::MAX));
        loop {
            match reader.poll() {
                Step::Bytes(data) => bytes.extend_from_slice(&data),
                Step::Need(cid) => reader.handle_block(&self.blocks[&cid]).expect("a file"),
                Step::Done => return bytes,
            }
        }
    }

    /// As `files write` does it in steps of at most `step` bytes.
    fn write(&mut self, edit: &FileEdit, file: Cid, offset: u64, bytes: &[u8]) -> Cid {
        let mut file = file;
        let size = self.run(|blocks| file_size(blocks, &file)).expect("a file");
        if offset > size {
            file = self.run(|blocks| edit.append_zeros(blocks, &file, offset - size)).expect("zeros");
        }
        let (mut at, mut rest) = (offset, bytes);
        loop {
            let over = self.run(|blocks| edit.overwrite(blocks, &file, at, rest)).expect("written");
            file = over.file;
            (at, rest) = (at + over.taken as u64, &rest[over.taken..]);
            if over.taken == 0 {
                break;
            }
        }
        let raw = edit.leaves_are_raw(&file);
        let chunks = rest.chunks(CHUNK).map(|chunk| {
            let data = edit.wrap_leaf(raw, Bytes::copy_from_slice(chunk));
            let block = Block::of(edit.fashion.kind(if raw { RAW } else { DAG_PB }), data);
            let leaf = Leaf { cid: *block.cid(), tsize: block.data().len() as u64, size: chunk.len() as u64 };
            self.blocks.insert(leaf.cid, block);
            leaf
        });
        let leaves: Vec<Leaf> = chunks.collect();
        if leaves.is_empty() {
            return file;
        }
        self.run(|blocks| edit.append(blocks, &file, &leaves)).expect("appended")
    }
}

const CHUNK: usize = 16;

fn path(text: &str) -> FilesPath {
    FilesPath::parse(text).expect("a path")
}

fn leaf(text: &str) -> Child {
    let block = Block::new(RAW, Bytes::copy_from_slice(text.as_bytes()));
    Child { cid: *block.cid(), tsize: text.len() as u64 }
}

#[test]
fn folders_and_names_come_and_go() {
    let mut disk = Disk::default();
    let empty = disk.empty();
    let root = disk.run(|blocks| make_folder(blocks, &empty, &path("/a/b"), true, Fashion::V0)).expect("made");
    assert_eq!(
        disk.run(|blocks| make_folder(blocks, &empty, &path("/a/b"), false, Fashion::V0)),
        Err(EditError::NotFound)
    );
    assert_eq!(
        disk.run(|blocks| make_folder(blocks, &root, &path("/a"), false, Fashion::V0)),
        Err(EditError::FileExists)
    );
    let root = disk.run(|blocks| insert(blocks, &root, &path("/a/b/x"), leaf("x"))).expect("put");
    assert_eq!(disk.run(|blocks| insert(blocks, &root, &path("/a/b/x"), leaf("y"))), Err(EditError::Exists));
    assert_eq!(disk.run(|blocks| lookup(blocks, &root, &path("/a/b/x"))), Ok(leaf("x")));
    disk.keep(vec![Block::new(RAW, Bytes::from_static(b"x"))]);
    let below = disk.run(|blocks| lookup(blocks, &root, &path("/a/b/x/y")));
    assert_eq!(below, Err(EditError::NotDirectory { path: "a/b/x/y".into() }));

    let moved = disk.run(|blocks| rename(blocks, &root, &path("/a/b"), &path("/c"))).expect("moved");
    assert_eq!(disk.run(|blocks| lookup(blocks, &moved, &path("/c/x"))), Ok(leaf("x")));
    assert_eq!(disk.run(|blocks| lookup(blocks, &moved, &path("/a/b"))), Err(EditError::NotFound));
    let into = disk.run(|blocks| rename(blocks, &moved, &path("/c"), &path("/a"))).expect("into a folder");
    assert_eq!(disk.run(|blocks| lookup(blocks, &into, &path("/a/c/x"))), Ok(leaf("x")));
    assert_eq!(
        disk.run(|blocks| rename(blocks, &into, &path("/a"), &path("/a/c/d"))),
        Err(EditError::IntoItself { from: "/a".into() })
    );
    assert_eq!(disk.run(|blocks| rename(blocks, &into, &path("/a"), &path("/a"))), Ok(into));

    let gone = disk.run(|blocks| remove(blocks, &into, &path("/a"))).expect("removed");
    assert_eq!(gone, empty);
    assert_eq!(disk.run(|blocks| remove(blocks, &gone, &path("/a"))), Err(EditError::NotFound));
    assert_eq!(disk.run(|blocks| remove(blocks, &gone, &path("/"))), Err(EditError::IsRoot { verb: "delete" }));
}

#[test]
fn what_was_changed_meanwhile_is_not_replaced() {
    let mut disk = Disk::default();
    let root = disk.empty();
    let root = disk.run(|blocks| insert(blocks, &root, &path("/x"), leaf("old"))).expect("put");

    let other = disk.run(|blocks| swap(blocks, &root, &path("/x"), &leaf("new").cid, leaf("newer")));
    assert_eq!(other, Err(EditError::Changed { path: "/x".into() }));
    let swapped = disk.run(|blocks| swap(blocks, &root, &path("/x"), &leaf("old").cid, leaf("new"))).expect("swapped");
    assert_eq!(disk.run(|blocks| lookup(blocks, &swapped, &path("/x"))), Ok(leaf("new")));
}

#[test]
fn a_folder_of_many_names_is_changed_through_few_blocks() {
    let mut disk = Disk::default();
    let names: Vec<String> = (0..60_000).map(|number| format!("file {number}")).collect();
    let root = made_at_once(&mut disk, names.iter().map(|name| (name.clone(), leaf(name))));

    disk.asked = 0;
    let more = disk.run(|blocks| insert(blocks, &root, &path("/one more"), leaf("one more"))).expect("put");
    let found = disk.run(|blocks| lookup(blocks, &more, &path("/file 4711"))).expect("there");
    let less = disk.run(|blocks| remove(blocks, &more, &path("/one more"))).expect("removed");

    assert_eq!(found, leaf("file 4711"));
    assert_eq!(less, root);
    // To take one away it is seen that what is left does not fit into one block.
    assert!(disk.asked < 120, "{}", disk.asked);
}

#[test]
fn links_that_do_not_fit_stop_a_write_and_break_nothing() {
    let mut disk = Disk::default();
    let short = Block::new(RAW, Bytes::from_static(b"abc"));
    let message = Message { file_size: Some(100), block_sizes: vec![100], ..Message::new(Type::File) };
    let links = vec![dag_pb::Link { cid: *short.cid(), name: Bytes::new(), tsize: 3 }];
    let liar =
        disk.run(|blocks| Ok(blocks.write(Fashion::V0, &Node { links: links.clone(), message: message.clone() })));
    let liar = liar.expect("made").cid;
    disk.keep(vec![short]);
    let edit = FileEdit::of(&liar, None).expect("an edit");

    let written = disk.run(|blocks| edit.overwrite(blocks, &liar, 50, b"x"));
    let cut = disk.run(|blocks| edit.truncate(blocks, &liar, 50));

    assert!(matches!(written, Err(EditError::Node(NodeError::SizeSum { claimed: 100, sum: 3, .. }))), "{written:?}");
    assert!(matches!(cut, Err(EditError::Node(NodeError::SizeSum { claimed: 100, sum: 3, .. }))), "{cut:?}");
}

#[test]
fn a_hole_of_any_size_takes_few_blocks() {
    let mut disk = Disk::default();
    let file = disk.run(|blocks| Ok(FileEdit::empty(blocks, Fashion::V0).cid)).expect("made");
    let edit = FileEdit::of(&file, None).expect("an edit");

    let holey = disk.run(|blocks| edit.append_zeros(blocks, &file, 1 << 60)).expect("appended");
    assert_eq!(disk.run(|blocks| file_size(blocks, &holey)), Ok(1 << 60));
    assert!(disk.blocks.len() < 200, "{}", disk.blocks.len());
    let over = disk.run(|blocks| edit.append_zeros(blocks, &holey, u64::MAX));
    assert_eq!(over, Err(EditError::TooLong));

    let end = disk.write(&edit, holey, (1 << 60) - 2, b"end");
    let cut = disk.run(|blocks| edit.truncate(blocks, &end, 5000)).expect("cut");
    assert_eq!(disk.read(cut), vec![0; 5000]);
}

#[test]
fn a_long_file_grows_as_it_is_laid_out_at_once() {
    // One leaf less than where boxo's way to go on differs from its way to begin.
    for (raw_leaves, parameters) in [(false, Parameters::V0_2015), (true, Parameters::V0_2015.with_raw_leaves(true))] {
        let parameters = parameters.with_layout(Layout::Trickle);
        let mut disk = Disk::default();
        let mut file = disk.run(|blocks| Ok(FileEdit::empty(blocks, Fashion::V0).cid)).expect("made");
        let edit = FileEdit { fashion: Fashion::V0, raw_leaves };
        let mut importer = FileImporter::new(parameters);
        for number in 0..MAX_LINKS {
            let chunk = [number as u8; CHUNK];
            file = disk.write(&edit, file, (number * CHUNK) as u64, &chunk);
            let block = Block::of(parameters.leaf_kind(), importer.wrap_leaf(Bytes::copy_from_slice(&chunk)));
            importer.push(Leaf { cid: *block.cid(), tsize: block.data().len() as u64, size: CHUNK as u64 });
        }
        assert_eq!(file, importer.finish().1.cid);
    }
}

#[test]
fn the_time_of_the_last_change_is_kept_where_there_was_one() {
    let mut disk = Disk::default();
    let root = disk.empty();
    let file = disk.run(|blocks| Ok(FileEdit::empty(blocks, Fashion::V0))).expect("made");
    let root = disk.run(|blocks| insert(blocks, &root, &path("/f"), file)).expect("put");
    let then = Time { seconds: 7, nanoseconds: 0 };
    let metadata = Metadata { mode: Some(0o644), mtime: Some(then) };
    let root = disk.run(|blocks| restat(blocks, &root, &path("/f"), metadata)).expect("touched");
    let file = disk.run(|blocks| lookup(blocks, &root, &path("/f"))).expect("there").cid;
    let edit = FileEdit::of(&file, None).expect("an edit");

    let written = disk.write(&edit, file, 0, b"hello");
    let now = Time { seconds: 8, nanoseconds: 9 };
    let finished = disk.run(|blocks| edit.finish(blocks, &written, Some(now))).expect("finished").cid;

    let kept = Node::read(&disk.blocks[&finished]).expect("a file").message.metadata;
    assert_eq!(kept, Metadata { mode: Some(0o644), mtime: Some(now) });
    assert_eq!(disk.read(finished), b"hello");
}

fn made_at_once(disk: &mut Disk, entries: impl Iterator<Item = (String, Child)>) -> Cid {
    let mut importer = DirectoryImporter::new(Parameters::V0_2015);
    entries.for_each(|(name, child)| importer.add(name.as_bytes(), child.cid, child.tsize).expect("plain"));
    let mut writer = importer.into_writer();
    loop {
        match writer.poll().expect("written") {
            crate::unixfs::Written::Block(block) => disk.keep(vec![block]),
            crate::unixfs::Written::Done(root) => return root.cid,
            crate::unixfs::Written::Need { .. } => unreachable!("no run was taken"),
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let write =
        (0..4_000u64, proptest::collection::vec(any::<u8>(), 0..900)).prop_map(|(at, bytes)| Act::Write(at, bytes));
    proptest::collection::vec(prop_oneof![4 => write, 1 => (0..4_000u64).prop_map(Act::Truncate)], 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_file_reads_as_it_was_written(acts in acts(), raw_leaves: bool, imported in proptest::option::of(1usize..6_000)) {
        let mut disk = Disk::default();
        let mut expected: Vec<u8> = (0..imported.unwrap_or_default()).map(|at| at as u8).collect();
        let mut file = match imported {
            None => disk.run(|blocks| Ok(FileEdit::empty(blocks, Fashion::V0).cid)).expect("made"),
            Some(_) => {
                let mut importer = FileImporter::new(Parameters::V0_2015.with_raw_leaves(raw_leaves).with_max_links(200).unwrap());
                for chunk in expected.chunks(CHUNK) {
                    let block = Block::of(importer.leaf_kind(), importer.wrap_leaf(Bytes::copy_from_slice(chunk)));
                    importer.push(Leaf { cid: *block.cid(), tsize: block.data().len() as u64, size: chunk.len() as u64 });
                    disk.keep(vec![block]);
                }
                let (blocks, root) = importer.finish();
                disk.keep(blocks);
                root.cid
            }
        };
        for act in acts {
            let edit = FileEdit::of(&file, Some(raw_leaves)).expect("an edit");
            match act {
                Act::Write(at, bytes) => {
                    expected.resize(expected.len().max(at as usize + bytes.len()).max(at as usize), 0);
                    expected[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
                    file = disk.write(&edit, file, at, &bytes);
                }
                Act::Truncate(size) => {
                    expected.truncate(size as usize);
                    file = disk.run(|blocks| edit.truncate(blocks, &file, size)).expect("cut");
                }
            }
            file = disk.run(|blocks| edit.finish(blocks, &file, None)).expect("finished").cid;
            prop_assert_eq!(disk.run(|blocks| file_size(blocks, &file)), Ok(expected.len() as u64));
        }
        prop_assert_eq!(disk.read(file), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_folder_is_the_same_whatever_was_done_in_between(
        names in proptest::collection::btree_set("[a-c]{180,200}", 1_180..1_260),
        gone in proptest::collection::vec(any::<proptest::sample::Index>(), 1..120),
    ) {
        let mut disk = Disk::default();
        let names: Vec<String> = names.into_iter().collect();
        let mut root = disk.empty();
        let mut left: BTreeMap<String, Child> = BTreeMap::new();
        for name in &names {
            root = disk.run(|blocks| insert(blocks, &root, &path(&format!("/{name}")), leaf(name))).expect("put");
            left.insert(name.clone(), leaf(name));
        }
        prop_assert_eq!(root, made_at_once(&mut disk, left.clone().into_iter()));
        for index in gone {
            let name = index.get(&names);
            if left.remove(name).is_some() {
                root = disk.run(|blocks| remove(blocks, &root, &path(&format!("/{name}")))).expect("removed");
            }
        }
        prop_assert_eq!(root, made_at_once(&mut disk, left.into_iter()));
    }
}
