//! Blocks on a shelf, and what puts them there and takes them off.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use cidra_content::unixfs::{
    DirectoryImporter, DirectoryReader, DirectoryStep, Entity, Entry, FileImporter, Leaf, Message, Parameters, Reader,
    Root, Step, Type,
    shard::{Found, ShardLookup},
};
use cidra_content::{Block, Cid, block, dag_pb, hash};

#[derive(Default)]
pub(crate) struct Shelf(pub(crate) BTreeMap<Cid, Block>);

impl Shelf {
    pub(crate) fn put(&mut self, block: Block) -> Cid {
        let cid = *block.cid();
        self.0.insert(cid, block);
        cid
    }

    pub(crate) fn add_file(&mut self, content: &[u8], parameters: Parameters) -> Root {
        let mut importer = FileImporter::new(parameters);
        for batch in content.chunks(parameters.chunk_size() * 16) {
            self.push_chunks(&mut importer, batch.chunks(parameters.chunk_size()));
        }
        let (blocks, root) = importer.finish();
        blocks.into_iter().for_each(|block| _ = self.put(block));
        root
    }

    fn push_chunks<'a>(&mut self, importer: &mut FileImporter, chunks: impl Iterator<Item = &'a [u8]> + Clone) {
        let leaves = chunks.clone().map(|chunk| importer.wrap_leaf(Bytes::copy_from_slice(chunk))).collect();
        for (leaf, chunk) in hash::new_many(importer.leaf_kind(), leaves).into_iter().zip(chunks) {
            importer.push(Leaf { cid: *leaf.cid(), tsize: leaf.data().len() as u64, size: chunk.len() as u64 });
            self.put(leaf);
        }
        while let Some(block) = importer.poll() {
            self.put(block);
        }
    }

    pub(crate) fn add_folder(&mut self, entries: impl Iterator<Item = (String, Root)>, parameters: Parameters) -> Root {
        let mut importer = DirectoryImporter::new(parameters);
        for (name, root) in entries {
            importer.add(name.as_bytes(), root.cid, root.tsize).expect("plain and different");
        }
        let (blocks, root) = importer.finish().expect("no collision");
        blocks.into_iter().for_each(|block| _ = self.put(block));
        root
    }

    /// The range, and how many blocks it took.
    pub(crate) fn read(&self, root: Cid, range: Range<u64>) -> Result<(Vec<u8>, usize), String> {
        let mut reader = Reader::new(root, range);
        let (mut content, mut blocks) = (Vec::new(), 0);
        loop {
            match reader.poll() {
                Step::Bytes(bytes) => content.extend_from_slice(&bytes),
                Step::Need(cid) => {
                    assert_eq!(reader.upcoming(1).next(), Some(cid));
                    blocks += 1;
                    reader.handle_block(&self.0[&cid]).map_err(|error| error.to_string())?;
                }
                Step::Done => return Ok((content, blocks)),
            }
        }
    }

    /// The entries, and how many blocks it took.
    pub(crate) fn list(&self, root: Cid) -> Result<(Vec<Entry>, usize), String> {
        let mut reader = DirectoryReader::new(root);
        let (mut entries, mut blocks) = (Vec::new(), 0);
        loop {
            match reader.poll() {
                DirectoryStep::Entry(entry) => entries.push(entry),
                DirectoryStep::Need(cid) => {
                    assert_eq!(reader.upcoming(1).next(), Some(cid));
                    blocks += 1;
                    reader.handle_block(&self.0[&cid]).map_err(|error| error.to_string())?;
                }
                DirectoryStep::Done => return Ok((entries, blocks)),
            }
        }
    }

    pub(crate) fn find(&self, root: Cid, name: &str) -> Option<Cid> {
        let mut lookup = ShardLookup::new(name.as_bytes());
        let mut next = root;
        loop {
            match Entity::parse(&self.0[&next]).expect("a folder") {
                Entity::Directory(directory) => return directory.find(name.as_bytes()).map(|entry| entry.cid),
                Entity::Shard(shard) => match lookup.step(&shard) {
                    Found::Absent => return None,
                    Found::Entry(entry) => return Some(entry.cid),
                    Found::Shard(cid) => next = cid,
                },
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The block of a file whose parts are said to have these sizes.
pub(crate) fn file_node(children: &[(Cid, u64)]) -> Block {
    let size = children.iter().map(|(_, size)| size).sum();
    let message = Message {
        file_size: Some(size),
        block_sizes: children.iter().map(|(_, size)| *size).collect(),
        ..Message::new(Type::File)
    };
    node(children.iter().map(|(cid, _)| (*cid, Bytes::new())), &message)
}

pub(crate) fn node(links: impl Iterator<Item = (Cid, Bytes)>, message: &Message) -> Block {
    let links = links.map(|(cid, name)| dag_pb::Link { cid, name, tsize: 0 }).collect();
    Block::new(block::DAG_PB, dag_pb::Node { links, data: Some(message.encode()) }.encode())
}
