//! A folder of a million files, whose shards are made when they are asked for.

use bytes::Bytes;

use super::*;
use crate::block::RAW;
use crate::unixfs::{Parameters, Type, interior};

#[test]
fn a_folder_of_a_million_files_streams() {
    let crowd = Crowd::new();
    let mut reader = DirectoryReader::new(*crowd.root.cid());
    let (mut listed, mut sum, mut held) = (0u64, 0u64, 0);
    loop {
        match reader.poll() {
            DirectoryStep::Entry(entry) => {
                listed += 1;
                sum = sum.wrapping_add(hamt::murmur3(&entry.name));
            }
            DirectoryStep::Need(cid) => {
                reader.handle_block(&crowd.block(&cid)).expect("sound");
                held = held.max(reader.pending.len() + reader.entries.len());
            }
            DirectoryStep::Done => break,
        }
    }

    assert!(listed >= 1_000_000, "{listed}");
    assert_eq!((listed, sum), (crowd.count, crowd.sum), "each is listed once");
    // Shards of two levels, and the entries of one.
    assert!(held <= 3 * 256, "{held} shards and entries were held at a time");
}

/// Two levels of full shards above shards of a few names each.
struct Crowd {
    /// Numbers whose names begin with the same 16 bits of their hashes, by these.
    numbers: Vec<Vec<u32>>,
    middle: Vec<Block>,
    /// Where a shard of names is, by its CID.
    places: std::collections::BTreeMap<Cid, usize>,
    root: Block,
    count: u64,
    sum: u64,
}

impl Crowd {
    fn new() -> Crowd {
        let mut numbers = vec![vec![]; 1 << 16];
        let mut taken = vec![false; 1 << 24];
        let (mut count, mut sum) = (0, 0u64);
        for number in 0..MORE_THAN_A_MILLION {
            let hash = hamt::murmur3(&name(number));
            // Names that meet further down would need one more level.
            if !std::mem::replace(&mut taken[(hash >> 40) as usize], true) {
                numbers[(hash >> 48) as usize].push(number);
                count += 1;
                sum = sum.wrapping_add(hash);
            }
        }
        let bottom: Vec<Cid> = numbers.iter().map(|numbers| *of_names(numbers).cid()).collect();
        let above = |cids: &[Cid]| shard((0..256).zip(cids).map(|(slot, cid)| (slot, Bytes::new(), *cid)).collect());
        let middle: Vec<Block> = bottom.chunks(256).map(above).collect();
        let root = above(&middle.iter().map(|block| *block.cid()).collect::<Vec<_>>());
        let places = bottom.into_iter().enumerate().map(|(place, cid)| (cid, place)).collect();
        Crowd { numbers, middle, places, root, count, sum }
    }

    fn block(&self, cid: &Cid) -> Block {
        if let Some(place) = self.places.get(cid) {
            return of_names(&self.numbers[*place]);
        }
        let above = self.middle.iter().chain([&self.root]).find(|block| block.cid() == cid);
        above.expect("of this folder").clone()
    }
}

/// Some of them have no place and are left out.
const MORE_THAN_A_MILLION: u32 = 1_050_000;

fn name(number: u32) -> Vec<u8> {
    format!("{number:07}.jpg").into()
}

fn of_names(numbers: &[u32]) -> Block {
    let file = *Block::new(RAW, Bytes::new()).cid();
    let mut slots: Vec<(u32, Bytes, Cid)> = numbers
        .iter()
        .map(|&number| {
            let name = name(number);
            (hamt::slot(hamt::murmur3(&name), 16, 8).expect("bits are left"), name.into(), file)
        })
        .collect();
    slots.sort_by_key(|(slot, ..)| *slot);
    shard(slots)
}

fn shard(slots: Vec<(u32, Bytes, Cid)>) -> Block {
    let message = Message {
        data: Some(hamt::bitfield(slots.iter().map(|(slot, ..)| *slot), 256).into()),
        hash_type: Some(MURMUR3_X64_64),
        fanout: Some(256),
        ..Message::new(Type::HamtShard)
    };
    let link = |(slot, name, cid): (u32, Bytes, Cid)| {
        let name = [format!("{slot:02X}").as_bytes(), &name].concat();
        Link { cid, name: name.into(), tsize: 0 }
    };
    interior(&Parameters::V1_2025, slots.into_iter().map(link).collect(), &message)
}
