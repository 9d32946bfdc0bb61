//! The content that nodes hold and get: real trees over leaves that are names with a length.

use std::collections::BTreeMap;

use cidra_content::block::{Links, RAW};
use cidra_content::unixfs::{FileImporter, Leaf, Parameters};
use cidra_content::{Block, Cid, Multihash};

#[derive(Default)]
pub(crate) struct Library {
    nodes: BTreeMap<Cid, (Block, Links)>,
    leaves: BTreeMap<Cid, u32>,
}

impl Library {
    /// A file of so many bytes, in leaves of `chunk`. Gives its root.
    pub(crate) fn add_file(&mut self, bytes: u64, chunk: u64) -> Cid {
        let mut importer = FileImporter::new(Parameters::default());
        let mut blocks = Vec::new();
        for place in 0..bytes.div_ceil(chunk) {
            let size = chunk.min(bytes - place * chunk);
            let cid = self.add_leaf(size as u32);
            importer.push(Leaf { cid, tsize: size, size });
            blocks.extend(std::iter::from_fn(|| importer.poll()));
        }
        let (rest, root) = importer.finish();
        for block in blocks.into_iter().chain(rest) {
            self.add_node(block);
        }
        root.cid
    }

    fn add_leaf(&mut self, size: u32) -> Cid {
        let mut digest = [0; 32];
        let number = (self.leaves.len() as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        digest[..8].copy_from_slice(&number.to_be_bytes());
        let cid = Cid::new_v1(RAW, Multihash::wrap(0x12, &digest).expect("32 bytes fit"));
        self.leaves.insert(cid, size);
        cid
    }

    fn add_node(&mut self, block: Block) {
        let links = block.links().expect("an importer made it");
        self.nodes.insert(*block.cid(), (block, links));
    }

    pub(crate) fn node(&self, cid: &Cid) -> Option<&Block> {
        self.nodes.get(cid).map(|(block, _)| block)
    }

    pub(crate) fn links(&self, cid: &Cid) -> Links {
        self.nodes.get(cid).map(|(_, links)| links.clone()).unwrap_or_default()
    }

    pub(crate) fn len(&self, cid: &Cid) -> u32 {
        self.nodes.get(cid).map_or_else(|| self.leaves[cid], |(block, _)| block.data().len() as u32)
    }

    /// The root and all below it.
    pub(crate) fn all_below(&self, root: &Cid) -> Vec<Cid> {
        let mut all = vec![*root];
        let mut next = 0;
        while let Some(cid) = all.get(next) {
            all.extend(self.links(cid).iter());
            next += 1;
        }
        all
    }
}
