//! How a tree is added, said to both programs.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

/// What decides the CID beside the content.
#[derive(Clone, Debug)]
pub(crate) struct Flags {
    pub(crate) profile: Profile,
    pub(crate) chunk: Option<usize>,
    links: Option<usize>,
    rest: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    V0,
    V1,
}

impl Flags {
    /// Each choice for itself; what excludes one another is left in, rarely, as both must refuse it.
    pub(crate) fn random(random: &mut SmallRng) -> Flags {
        let profile = *[Profile::V0, Profile::V1].choose(random).expect("not empty");
        let mut flags = Flags { profile, chunk: None, links: None, rest: vec![] };
        if random.random_bool(0.6) {
            let sizes = [1, 7, 31, 32, 33, 64, 100, 256, 1000, 1024, 4096, 65_536, 262_143, 1 << 20, (2 << 20) - 256];
            flags.chunk = sizes.choose(random).copied();
        }
        let version = random.random_bool(0.3).then(|| random.random_range(0..2));
        if let Some(version) = version {
            flags.push(format!("--cid-version={version}"));
        }
        if random.random_bool(0.2) {
            flags.links = [2, 3, 5, 16, 8192].choose(random).copied();
        }
        // Kubo's configured profile says explicitly what of ours is implied by the version or by metadata: said to both, it
        // is the same.
        if random.random_bool(0.3) {
            let choices = [
                "--preserve-mode",
                "--preserve-mtime",
                "--preserve-mode --preserve-mtime",
                "--mode=0640",
                "--mtime=-5 --mtime-nsecs=999999999",
                "--mode=0711 --mtime=1700000000",
                "--mode=0600 --preserve-mtime",
            ];
            flags.push(format!("{} --raw-leaves=false", choices.choose(random).expect("not empty")));
        } else if random.random_bool(0.3) || profile == Profile::V1 && version == Some(0) {
            flags.push(format!("--raw-leaves={}", random.random_bool(0.5)));
        }
        if random.random_bool(0.2) {
            flags.push(format!("--inline --inline-limit={}", random.random_range(1..=64)));
        }
        if random.random_bool(0.1) {
            let slots = [8, 16, 32, 64, 128, 256, 512, 1024];
            flags.push(format!("--max-hamt-fanout={}", slots.choose(random).expect("not empty")));
        }
        flags.maybe(random, 0.2, "--trickle");
        flags.maybe(random, 0.2, "--empty-dirs=false");
        flags.maybe(random, 0.05, "--hash=sha2-512");
        flags.maybe(random, 0.25, "--wrap-with-directory");
        flags.maybe(random, 0.4, "--hidden");
        flags
    }

    /// For `ipfs add`. Under `--only-hash` it forgets how its configuration measures folders, and fails with metadata: it
    /// keeps what it adds.
    pub(crate) fn theirs(&self) -> Vec<String> {
        let mut flags = self.both();
        flags.push("--pin=false".into());
        flags
    }

    /// For `cidra add`.
    pub(crate) fn ours(&self) -> Vec<String> {
        let profile = match self.profile {
            Profile::V0 => "--profile=unixfs-v0-2015",
            Profile::V1 => "--profile=unixfs-v1-2025",
        };
        [vec![profile.to_owned()], self.both()].concat()
    }

    /// Bytes of a file in one leaf.
    pub(crate) fn chunk_size(&self) -> usize {
        self.chunk.unwrap_or(match self.profile {
            Profile::V0 => 256 << 10,
            Profile::V1 => 1 << 20,
        })
    }

    /// Most links of a node within a file.
    pub(crate) fn links(&self) -> usize {
        self.links.unwrap_or(match self.profile {
            Profile::V0 => 174,
            Profile::V1 => 1024,
        })
    }

    /// The same without one of them, each in turn.
    pub(crate) fn smaller(&self) -> impl Iterator<Item = Flags> {
        let fewer = (0..self.rest.len()).map(|index| {
            let mut flags = self.clone();
            flags.rest.remove(index);
            flags
        });
        let default_chunk = self.chunk.map(|_| Flags { chunk: None, ..self.clone() });
        let default_links = self.links.map(|_| Flags { links: None, ..self.clone() });
        default_chunk.into_iter().chain(default_links).chain(fewer)
    }

    fn both(&self) -> Vec<String> {
        let chunker = self.chunk.map(|size| format!("--chunker=size-{size}"));
        let links = self.links.map(|links| format!("--max-file-links={links}"));
        let rest = self.rest.iter().flat_map(|flag| flag.split(' ')).map(str::to_owned);
        rest.chain(chunker).chain(links).collect()
    }

    fn push(&mut self, flag: impl Into<String>) {
        self.rest.push(flag.into());
    }

    fn maybe(&mut self, random: &mut impl Rng, probability: f64, flag: &str) {
        if random.random_bool(probability) {
            self.push(flag);
        }
    }
}
