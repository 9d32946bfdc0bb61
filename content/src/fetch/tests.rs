//! Downloads from a map of blocks, delivered in any order.

use std::collections::BTreeMap;

use super::*;
use crate::unixfs::{self, DirectoryImporter, FileImporter, Leaf, Parameters, Root};

#[test]
fn a_file_comes_out_as_it_went_in_whatever_the_order_of_its_blocks() {
    let mut store = Store::default();
    let data = sample(100_000);
    let root = store.file(&data, &small());
    for turn in 0..5 {
        let fetch = Fetch::new(root.cid, Selector::Entity { range: None }, Limits::default());

        let (output, _) = store.run(fetch, turn).unwrap();

        assert_eq!(output[0], Output::File { path: vec![], size: 100_000, metadata: Metadata::default() });
        assert_eq!(store.bytes(&output[1..]), data);
    }
}

#[test]
fn a_range_takes_only_the_blocks_that_it_needs() {
    let mut store = Store::default();
    let data = sample(100_000);
    let root = store.file(&data, &small());
    for range in [0..1, 999..1001, 50_000..50_000, 99_999..200_000, 200_000..300_000, 12_345..23_456] {
        let fetch = Fetch::new(root.cid, Selector::Entity { range: Some(range.clone()) }, Limits::default());

        let (output, asked) = store.run(fetch, 1).unwrap();

        let expected = range.start.min(100_000) as usize..range.end.min(100_000) as usize;
        assert_eq!(store.bytes(&output[1..]), data[expected.clone()]);
        assert!(asked <= 12 + expected.len() / 1000, "{asked} blocks for {range:?}");
    }
}

#[test]
fn wrapped_leaves_give_the_same_bytes_as_raw_ones() {
    let mut store = Store::default();
    let data = sample(10_000);
    let root = store.file(&data, &small().with_raw_leaves(false));

    let (output, _) =
        store.run(Fetch::new(root.cid, Selector::Entity { range: Some(2_500..7_777) }, Limits::default()), 3).unwrap();

    assert_eq!(store.bytes(&output[1..]), data[2_500..7_777]);
}

#[test]
fn a_folder_comes_out_in_order_with_everything_in_it() {
    let mut store = Store::default();
    let file = store.file(&sample(5_000), &small());
    let empty = store.file(&[], &small());
    let link = unixfs::symlink(b"a", Metadata::default(), &small());
    let link = store.put(link);
    let inner = store.folder(&[("x", file)]);
    let root = store.folder(&[("a", file), ("b", inner), ("c", empty), ("d", link)]);

    let (output, _) = store.run(Fetch::new(root.cid, Selector::Entity { range: None }, Limits::default()), 7).unwrap();

    let names: Vec<String> = output.iter().filter_map(describe).collect();
    assert_eq!(names, ["/", "a 5000", "b/", "b/x 5000", "c 0", "d -> a"]);
}

#[test]
fn a_large_folder_in_shards_gives_every_entry_once() {
    let mut store = Store::default();
    let file = store.file(b"x", &small());
    let names: Vec<String> = (0..6000).map(|number| format!("a file with a long name, number {number:05}")).collect();
    let entries: Vec<(&str, Root)> = names.iter().map(|name| (name.as_str(), file)).collect();
    let root = store.folder(&entries);

    let (output, _) = store.run(Fetch::new(root.cid, Selector::Entity { range: None }, Limits::default()), 2).unwrap();

    let mut found: Vec<String> = output.iter().filter_map(describe).skip(1).collect();
    found.sort();
    assert_eq!(found, names.iter().map(|name| format!("{name} 1")).collect::<Vec<_>>());
}

#[test]
fn a_whole_dag_is_walked_once_though_it_repeats_itself() {
    let mut store = Store::default();
    let mut node = store.file(&sample(3_000), &small());
    for _ in 0..40 {
        let names: Vec<String> = (0..50).map(|number| format!("{number}")).collect();
        let entries: Vec<(&str, Root)> = names.iter().map(|name| (name.as_str(), Root { tsize: 1, ..node })).collect();
        node = store.folder(&entries);
    }

    let fetch = Fetch::new(node.cid, Selector::Dag, Limits::default());
    let (output, asked) = store.run(fetch, 1).unwrap();

    assert!(output.is_empty());
    assert!(asked < 60, "{asked} blocks were asked for");
}

#[test]
fn content_that_expands_without_end_ends_at_the_limit() {
    let mut store = Store::default();
    let mut node = store.folder(&[]);
    for _ in 0..40 {
        node = store.folder(&[("a", node), ("b", node), ("c", node)]);
    }
    let limits = Limits { entries: 10_000, ..Limits::default() };

    let error = store.run(Fetch::new(node.cid, Selector::Entity { range: None }, limits), 1).unwrap_err();

    assert_eq!(error, DagError::Wide { limit: 10_000, what: "entries" });
}

#[test]
fn wide_folders_one_below_the_other_end_at_the_limit_of_memory() {
    let mut store = Store::default();
    let mut node = store.folder(&[]);
    let names: Vec<String> = (0..1000).map(|number| format!("{number:04}")).collect();
    for _ in 0..40 {
        let entries: Vec<(&str, Root)> = names.iter().map(|name| (name.as_str(), Root { tsize: 1, ..node })).collect();
        node = store.folder(&entries);
    }
    for selector in [Selector::Entity { range: None }, Selector::Dag] {
        let limits = Limits { memory: 1 << 20, ..Limits::default() };

        let done = store.run(Fetch::new(node.cid, selector.clone(), limits), 1);

        match selector {
            Selector::Dag => assert!(done.is_ok(), "each block is walked once"),
            _ => assert!(matches!(done, Err(DagError::Wide { limit: 1_048_576, .. })), "{done:?}"),
        }
    }
}

#[test]
fn what_is_wide_in_many_places_is_looked_into_in_turn() {
    let mut store = Store::default();
    let data: Vec<u8> = (0..16_000u64).flat_map(u64::to_le_bytes).collect();
    let parameters = Parameters::V1_2025.with_chunk_size(8).unwrap().with_max_links(400).unwrap();
    let root = store.file(&data, &parameters);
    for selector in [Selector::Entity { range: None }, Selector::Dag] {
        let limits = Limits { memory: 1 << 20, ..Limits::default() };
        for turn in 0..3 {
            let fetch = Fetch::new(root.cid, selector.clone(), limits.clone());

            let (output, asked) = store.run(fetch, turn).unwrap();

            if selector != Selector::Dag {
                assert!(store.bytes(&output[1..]) == data);
            }
            assert!(asked > 16_041, "nothing was put back");
            assert!(asked <= 16_041 + 40, "{asked} were asked for, some more than twice");
        }
    }
}

#[test]
fn what_was_put_back_counts_once() {
    let mut store = Store::default();
    let data: Vec<u8> = (0..4_000u64).flat_map(u64::to_le_bytes).collect();
    let parameters = Parameters::V1_2025.with_chunk_size(8).unwrap().with_max_links(400).unwrap();
    let root = store.file(&data, &parameters);
    let limits = Limits { memory: 1 << 18, ..Limits::default() };
    let mut fetch = Fetch::new(root.cid, Selector::Entity { range: None }, limits);

    while !fetch.is_done() {
        let wants: Vec<Want> = std::iter::from_fn(|| fetch.poll_want()).collect();
        for want in wants.iter().rev() {
            store.deliver(&mut fetch, &want.cid).unwrap();
        }
        while fetch.poll_output().is_some() {}
    }

    let progress = fetch.progress();
    assert_eq!((progress.blocks, progress.bytes), (4_011, 32_000));
}

#[test]
fn content_deeper_than_the_limit_is_refused() {
    let mut store = Store::default();
    let mut node = store.folder(&[]);
    for _ in 0..10 {
        node = store.folder(&[("a", node)]);
    }
    for (depth, is_fine) in [(11, true), (10, false)] {
        let limits = Limits { depth, ..Limits::default() };
        let done = store.run(Fetch::new(node.cid, Selector::Dag, limits), 1);
        assert_eq!(done.is_ok(), is_fine, "{depth}");
    }
}

#[test]
fn a_leaf_of_another_length_than_its_parent_says_is_an_error() {
    let mut store = Store::default();
    let mut importer = FileImporter::new(small());
    for (chunk, said) in [(sample(1000), 1000), (sample(500), 400)] {
        let block = crate::hash::new_many(importer.leaf_kind(), vec![chunk.into()]).remove(0);
        importer.push(Leaf { cid: *block.cid(), tsize: 1000, size: said });
        store.put(block);
    }
    let (blocks, root) = importer.finish();
    store.put_all(blocks);

    let error = store.run(Fetch::new(root.cid, Selector::Entity { range: None }, Limits::default()), 1).unwrap_err();

    assert!(matches!(error, DagError::Length { expected: 400, found: 500, .. }), "{error}");
}

#[test]
fn no_more_is_asked_for_than_may_be_ahead() {
    let mut store = Store::default();
    let root = store.file(&sample(1_000_000), &small());
    let limits = Limits { bytes_ahead: 20_000, ..Limits::default() };
    let mut fetch = Fetch::new(root.cid, Selector::Entity { range: None }, limits);
    let mut asked = 0;

    while let Some(want) = fetch.poll_want() {
        asked += 1;
        store.deliver(&mut fetch, &want.cid).unwrap();
    }

    assert!(asked < 30, "{asked} blocks were asked for though nobody read");
    assert!(!fetch.is_done());
}

#[test]
fn in_place_every_leaf_of_a_large_file_comes_with_its_place_and_after_the_file() {
    let parameters = Parameters::V1_2025.with_chunk_size(100_000).unwrap().with_max_links(7).unwrap();
    for raw_leaves in [true, false] {
        let mut store = Store::default();
        let content = sample(LARGE as usize + 12_345);
        let root = store.file(&content, &parameters.with_raw_leaves(raw_leaves));
        let mut fetch = Fetch::new(root.cid, Selector::Entity { range: None }, Limits::default()).in_place();
        let (mut written, mut has_begun, mut under_way) = (vec![0; content.len()], false, vec![]);

        while !fetch.is_done() {
            under_way.extend(std::iter::from_fn(|| fetch.poll_want()));
            // The last that was asked for comes first.
            if let Some(want) = under_way.pop() {
                if let Some(bytes) = store.leaf(&want.cid) {
                    let Place { at, len } = want.place.filter(|_| has_begun).expect("its place is known");
                    assert_eq!(len, bytes.len() as u64);
                    written[at as usize..][..bytes.len()].copy_from_slice(&bytes);
                }
                store.deliver(&mut fetch, &want.cid).unwrap();
            }
            while let Some(output) = fetch.poll_output() {
                if matches!(output, Output::File { .. }) {
                    assert_eq!(fetch.poll_want(), None, "nobody knows yet where it goes");
                    fetch.begin();
                    has_begun = true;
                }
            }
        }

        assert!(written == content, "raw leaves: {raw_leaves}");
        assert_eq!(
            fetch.progress(),
            Progress { blocks: 43 + 7 + 1, bytes: content.len() as u64, total: Some(root.size) }
        );
    }
}

#[test]
fn nothing_has_a_place_where_it_is_not_the_whole_of_a_large_file() {
    let mut store = Store::default();
    let content = sample(LARGE as usize + 1);
    let large = store.file(&content, &Parameters::V1_2025);
    let folder = store.folder(&[("a", large)]);
    let below = store.file(&content[2..], &Parameters::V1_2025);
    let most = 1..LARGE + 1;
    for (root, range, expected) in
        [(folder, None, &content[..]), (below, None, &content[2..]), (large, Some(most), &content[1..])]
    {
        let mut fetch = Fetch::new(root.cid, Selector::Entity { range }, Limits::default()).in_place();
        let mut output = vec![];
        while !fetch.is_done() {
            while let Some(want) = fetch.poll_want() {
                assert_eq!(want.place, None);
                store.deliver(&mut fetch, &want.cid).unwrap();
            }
            output.extend(std::iter::from_fn(|| fetch.poll_output()));
        }
        output.retain(|output| matches!(output, Output::Bytes { .. }));
        assert!(store.bytes(&output) == expected);
    }
}

/// Blocks, and how they are delivered.
#[derive(Default)]
struct Store(BTreeMap<Cid, Block>);

impl Store {
    fn put(&mut self, block: Block) -> Root {
        let length = block.data().len() as u64;
        let root = Root { cid: *block.cid(), size: length, tsize: length };
        self.0.insert(*block.cid(), block);
        root
    }

    fn put_all(&mut self, blocks: Vec<Block>) {
        for block in blocks {
            self.put(block);
        }
    }

    fn file(&mut self, data: &[u8], parameters: &Parameters) -> Root {
        let mut importer = FileImporter::new(*parameters);
        for chunk in data.chunks(parameters.chunk_size()) {
            let wrapped = importer.wrap_leaf(chunk.to_vec().into());
            let block = crate::hash::new_many(importer.leaf_kind(), vec![wrapped]).remove(0);
            importer.push(Leaf { cid: *block.cid(), tsize: block.data().len() as u64, size: chunk.len() as u64 });
            self.put(block);
            while let Some(node) = importer.poll() {
                self.put(node);
            }
        }
        let (blocks, root) = importer.finish();
        self.put_all(blocks);
        root
    }

    fn folder(&mut self, entries: &[(&str, Root)]) -> Root {
        let mut importer = DirectoryImporter::new(small());
        for (name, root) in entries {
            importer.add(name.as_bytes(), root.cid, root.tsize).unwrap();
        }
        let (blocks, root) = importer.finish().unwrap();
        self.put_all(blocks);
        root
    }

    /// The bytes of a file in a block that is no interior node.
    fn leaf(&self, cid: &Cid) -> Option<Vec<u8>> {
        unixfs::Wrapping::of(&self.0[cid]).map(|(_, bytes)| bytes.to_vec())
    }

    fn deliver(&self, fetch: &mut Fetch, cid: &Cid) -> Result<(), DagError> {
        let block = &self.0[cid];
        match cid.codec() {
            RAW => fetch.handle_leaf(cid, block.data().len() as u64),
            _ => fetch.handle_block(block),
        }
    }

    /// Delivers what is asked for, `turn` deciding which first, and gives the output and how often a block was asked for.
    fn run(&self, mut fetch: Fetch, turn: usize) -> Result<(Vec<Output>, usize), DagError> {
        let (mut output, mut under_way, mut asked) = (vec![], vec![], 0);
        loop {
            while let Some(want) = fetch.poll_want() {
                asked += 1;
                under_way.push(want.cid);
            }
            output.extend(std::iter::from_fn(|| fetch.poll_output()));
            if fetch.is_done() {
                return Ok((output, asked));
            }
            if !under_way.is_empty() {
                let cid = under_way.swap_remove((turn * 7919 + asked) % under_way.len());
                self.deliver(&mut fetch, &cid)?;
            }
        }
    }

    fn bytes(&self, output: &[Output]) -> Vec<u8> {
        let mut bytes = vec![];
        for piece in output {
            let Output::Bytes { cid, skip, len, .. } = piece else { panic!("{piece:?}") };
            let leaf = match unixfs::Entity::parse(&self.0[cid]).unwrap() {
                unixfs::Entity::File(file) => file.data().clone(),
                _ => self.0[cid].data().clone(),
            };
            bytes.extend_from_slice(&leaf[*skip as usize..(*skip + *len) as usize]);
        }
        bytes
    }
}

fn describe(output: &Output) -> Option<String> {
    let join = |path: &Path| path.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join("/");
    match output {
        Output::Directory { path, .. } => Some(format!("{}/", join(path))),
        Output::File { path, size, .. } => Some(format!("{} {size}", join(path))),
        Output::Symlink { path, target, .. } => Some(format!("{} -> {}", join(path), String::from_utf8_lossy(target))),
        Output::Bytes { .. } => None,
    }
}

fn small() -> Parameters {
    Parameters::V1_2025.with_chunk_size(1000).unwrap().with_max_links(10).unwrap()
}

fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 + place / 251 + place / 65_521) as u8).collect()
}
