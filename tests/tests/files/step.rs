//! One step that is taken in two trees.

use rand::RngExt;
use rand::rngs::SmallRng;

use cidra_tests::rpc;

/// A change of a tree, as a call and perhaps a file with it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    call: String,
    /// Length and seed of the bytes.
    bytes: Option<(usize, u8)>,
}

/// Something that is in both before the first step.
pub(crate) struct Source {
    length: usize,
    flags: &'static str,
}

/// A leaf, a file of several blocks in both forms, and none of one wrapped block: Kubo appends to such a file in a way that it
/// itself does not read back.
pub(crate) const SOURCES: [Source; 3] = [
    Source { length: 1_000, flags: "raw-leaves=true&cid-version=1" },
    Source { length: 600_000, flags: "raw-leaves=false" },
    Source { length: 800_000, flags: "raw-leaves=true" },
];

impl Source {
    /// Adds it to all of them, and gives its CID.
    pub(crate) fn put(&self, endpoints: &[&str]) -> String {
        let mut cid = String::new();
        for endpoint in endpoints {
            let reply = rpc::call(endpoint, &format!("add?pin=true&{}", self.flags), Some(&bytes(self.length, 7)), &[]);
            let added = reply.objects().pop().expect("the last one is the file");
            cid = added["Hash"].as_str().expect("a CID").to_owned();
        }
        cid
    }
}

impl Step {
    /// One of all that there are, on few names, so that they meet.
    pub(crate) fn random(random: &mut SmallRng, sources: &[String]) -> Step {
        let (path, other) = (path(random), path(random));
        let mut bytes = None;
        let call = match random.random_range(0..16) {
            0..4 => format!("files/mkdir?arg={path}{}{}", flag(random, "parents"), version(random)),
            4..9 => {
                let most = [200, 300_000, 600_000][random.random_range(0..3)];
                bytes = Some((random.random_range(0..most), random.random()));
                let most = [1, 500, 1_500_000][random.random_range(0..3)];
                let offset = random.random_range(0..most);
                let truncate = flag(random, "truncate");
                let leaves = ["", "&raw-leaves=true", "&raw-leaves=false"][random.random_range(0..3)];
                let count = if random.random_bool(0.2) { "&count=1000" } else { "" };
                // Kubo makes the folders and then finds that it may not make the file.
                let create = ["", "&create=true", "&create=true&parents=true"][random.random_range(0..3)];
                format!("files/write?arg={path}&offset={offset}{create}{truncate}{leaves}{count}{}", version(random))
            }
            9 | 10 => {
                let source = &sources[random.random_range(0..sources.len())];
                format!("files/cp?arg=/ipfs/{source}&arg={path}{}", flag(random, "parents"))
            }
            11 => format!("files/cp?arg={path}&arg={other}{}{}", flag(random, "parents"), flag(random, "force")),
            12 if may_move(&path, &other) => format!("files/mv?arg={path}&arg={other}"),
            13 => format!("files/rm?arg={path}{}{}", flag(random, "recursive"), flag(random, "force")),
            14 => format!("files/chcid?arg={path}{}", version(random)),
            _ => format!("files/chmod?arg=0{}&arg={path}", random.random_range(0..8) * 64 + 0o44),
        };
        Step { call, bytes }
    }

    /// Takes it: an error is what is said of it, and empty where nobody heard, for Kubo closes the connection where it needs no
    /// more of a file.
    pub(crate) fn take(&self, endpoint: &str) -> Result<(), String> {
        let file = self.bytes.map(|(length, seed)| bytes(length, seed));
        let reply = rpc::call_if_there(endpoint, &self.call, file.as_deref()).ok_or_else(String::new)?;
        if reply.status == 200 { Ok(()) } else { Err(reply.text()) }
    }
}

/// Kubo loses a folder that is moved into itself, and leaves what moves between folders of one name.
fn may_move(from: &str, to: &str) -> bool {
    let parent = |path: &str| path.rsplit('/').nth(1).unwrap_or_default().to_owned();
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let is_within = format!("{to}/").starts_with(&format!("{from}/"));
    let is_left = parent(from) == parent(to) && name(from) == name(to);
    !(is_within || is_left || name(to) == parent(from))
}

fn flag(random: &mut SmallRng, name: &str) -> String {
    if random.random_bool(0.4) { format!("&{name}=true") } else { String::new() }
}

fn version(random: &mut SmallRng) -> &'static str {
    ["", "", "&cid-version=0", "&cid-version=1", "&hash=sha2-512", "&hash=blake3"][random.random_range(0..6)]
}

fn path(random: &mut SmallRng) -> String {
    let depth = random.random_range(1..4);
    (0..depth).map(|_| format!("/{}", ["a", "b", "c"][random.random_range(0..3)])).collect()
}

fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at / 251) as u8 ^ (at % 251) as u8 ^ seed).collect()
}
