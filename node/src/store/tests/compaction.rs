//! The index gives its free pages back, and loses nothing if the power fails meanwhile.

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{UnreliableDisk, block};
use crate::store::entry::{Entry, Key, Location, Place};
use crate::store::index::{Index, Insertion, NAME, Only};

const MANY: u32 = 80_000;
const KEPT: u32 = 50;

#[test]
fn an_index_that_is_mostly_free_is_made_smaller_and_loses_nothing_at_any_cut() {
    let full = UnreliableDisk::new();
    let index = open(&full);
    let keys: Vec<Key> = (0..MANY).map(|number| Key::from(block(number, 4).cid())).collect();
    let place = |offset| Place::Record(Location { segment: 1, offset, length: 4 });
    let entry = |offset| Entry { place: place(offset), generation: 0 };
    let entries = keys.iter().cloned().zip((0..MANY).map(entry)).collect();
    index.insert(&Insertion { entries, lengths: [(1, 1 << 30)].into(), generation: 1, now: 0 }).unwrap();
    for some in keys[KEPT as usize..].chunks(2048) {
        index.remove(some, Only::Any, Some(1)).unwrap();
    }
    let before = length(&full);
    index.shrink(u64::from(MANY)).unwrap();
    assert_eq!(length(&full), before, "what is in use is not moved");
    index.close();

    let (mut changes, mut shortest) = (0, before);
    loop {
        let disk = full.after_kill();
        let index = open(&disk);
        disk.crash_after(1 + changes);
        let ended = index.shrink(u64::from(KEPT)).is_ok() && !disk.is_crashed();
        drop(index);
        let mut random = SmallRng::seed_from_u64(changes);
        for after in [disk.after_kill(), disk.after_power_loss(|below| random.random_range(0..below))] {
            let index = open(&after);
            let found: Vec<Entry> = index.find(&keys[..KEPT as usize]).unwrap().into_iter().flatten().collect();
            assert_eq!(found, (0..KEPT).map(entry).collect::<Vec<_>>(), "change {changes}");
            assert_eq!(index.list(None, usize::MAX).unwrap().len(), KEPT as usize, "change {changes}");
            assert_eq!(index.summary().unwrap().map(|summary| summary.generation), Some(1), "change {changes}");
            index.insert(&Insertion { generation: 2, ..Insertion::default() }).unwrap();
            index.close();
            shortest = shortest.min(length(&after));
        }
        if ended {
            break;
        }
        changes += 1;
    }
    println!("{changes} changes, {before} bytes before, {shortest} after");
    assert!(changes > 3 && shortest < before / 3, "{changes} changes, {before} bytes before, {shortest} after");
}

fn open(disk: &UnreliableDisk) -> Index {
    match disk.names().is_empty() {
        true => Index::make(Arc::new(disk.clone())).unwrap(),
        false => Index::open(Arc::new(disk.clone())).unwrap(),
    }
}

fn length(disk: &UnreliableDisk) -> u64 {
    let mut length = 0;
    disk.damage(NAME, |bytes| length = bytes.len() as u64);
    length
}
