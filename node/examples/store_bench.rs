//! What the store does per second, against plain files in the same run: `cargo run --release --example store_bench [FOLDER]`.
//! With `CIDRA_BENCH_BLOCKS=1000000` it also opens a store of so many blocks and says what that takes.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cid::Cid;
use cidra_content::block::{Block, RAW};
use cidra_node::store::{Options, Store};

#[tokio::main]
async fn main() {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("store-bench-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder to work in");
    if let Some(count) = std::env::var("CIDRA_BENCH_BLOCKS").ok().and_then(|count| count.parse().ok()) {
        open_many(&folder, count).await;
    } else {
        for round in 1..=4 {
            println!("round {round}");
            large(&folder, round % 2 == 0).await;
            small(&folder).await;
        }
    }
    std::fs::remove_dir_all(&folder).expect("it is ours");
}

/// 1 GiB in blocks of 1 MiB, 16 a put. What comes first finds memory that was not just given back.
async fn large(folder: &Path, plain_first: bool) {
    let blocks: Vec<Block> = (0..1024u32).map(|number| block(number, 1024 * 1024)).collect();
    let mebibytes = blocks.len() as f64;

    if plain_first {
        plain(folder, &blocks);
    }
    let (path, store) = open(folder, "large");
    let start = Instant::now();
    for batch in blocks.chunks(16) {
        store.put(batch.to_vec()).await.expect("room");
    }
    let written = start.elapsed();
    store.commit().await.expect("room");
    report("store, 1 GiB in 1 MiB blocks", mebibytes, written, start.elapsed());

    let start = Instant::now();
    for block in &blocks {
        store.load(block.cid()).await.expect("a read").expect("it was put");
    }
    println!("  {:<34} {:>6.0} MiB/s one at a time, warm", "load", mebibytes / start.elapsed().as_secs_f64());
    close(store, &path).await;
    if !plain_first {
        plain(folder, &blocks);
    }
}

/// The same bytes in a file.
fn plain(folder: &Path, blocks: &[Block]) {
    let path = folder.join("plain");
    let start = Instant::now();
    let mut file = File::create(&path).expect("a file");
    for block in blocks {
        block.data().chunks(64 * 1024).for_each(|part| file.write_all(part).expect("room"));
    }
    let written = start.elapsed();
    file.sync_data().expect("a sync");
    report("plain file, 1 GiB", blocks.len() as f64, written, start.elapsed());
    std::fs::remove_file(&path).expect("it is ours");
}

/// 10,000 blocks of 4 KiB, as one put and one at a time.
async fn small(folder: &Path) {
    let blocks: Vec<Block> = (0..10_000u32).map(|number| block(number, 4096)).collect();

    let (path, store) = open(folder, "batch");
    let start = Instant::now();
    store.put(blocks.clone()).await.expect("room");
    let written = start.elapsed();
    store.commit().await.expect("room");
    per_block("one put of 10,000 blocks of 4 KiB", blocks.len(), written, start.elapsed());
    let cids: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
    let start = Instant::now();
    for some in cids.chunks(100) {
        store.locate(some.to_vec()).await.expect("a read");
    }
    println!("  {:<34} {:>6.1} µs a block", "locate, 100 at once", micros(start.elapsed(), cids.len()));
    let start = Instant::now();
    for cid in &cids {
        store.load(cid).await.expect("a read").expect("it was put");
    }
    println!("  {:<34} {:>6.1} µs a block", "load, one at a time", micros(start.elapsed(), cids.len()));
    close(store, &path).await;

    let (path, store) = open(folder, "single");
    let start = Instant::now();
    for block in &blocks {
        store.put(vec![block.clone()]).await.expect("room");
    }
    let written = start.elapsed();
    store.commit().await.expect("room");
    per_block("10,000 puts of one", blocks.len(), written, start.elapsed());
    let start = Instant::now();
    for number in 0..100 {
        store.put(vec![block(20_000 + number, 4096)]).await.expect("room");
        store.commit().await.expect("room");
    }
    println!("  {:<34} {:>6.2} ms each", "100 puts with a commit", start.elapsed().as_secs_f64() * 10.0);
    close(store, &path).await;
}

/// Open a store of `count` blocks of 100 bytes.
async fn open_many(folder: &Path, count: u32) {
    let (path, store) = open(folder, "many");
    let start = Instant::now();
    for first in (0..count).step_by(10_000) {
        store.put((first..count.min(first + 10_000)).map(|number| block(number, 100)).collect()).await.expect("room");
    }
    store.close().await.expect("room");
    println!("{count} blocks written in {:.1} s", start.elapsed().as_secs_f64());

    let before = resident();
    let start = Instant::now();
    let store = Store::open(&path, Options::default()).expect("a store");
    let opened = start.elapsed();
    println!("opened in {:.2} ms, {} kB more resident", opened.as_secs_f64() * 1000.0, resident() - before);
    assert_eq!(store.stat().await.unwrap().blocks, u64::from(count));
    let start = Instant::now();
    for number in (0..count).step_by(101) {
        let found = store.load(block(number, 100).cid()).await.expect("a read");
        assert!(found.is_some(), "block {number}");
    }
    let loads = count.div_ceil(101) as usize;
    println!(
        "{loads} loads all over it: {:.1} µs each, {} kB more resident",
        micros(start.elapsed(), loads),
        resident() - before
    );
    store.close().await.expect("room");
}

fn open(folder: &Path, name: &str) -> (PathBuf, Store) {
    let path = folder.join(name);
    let store = Store::open(&path, Options::default()).expect("a store");
    (path, store)
}

async fn close(store: Store, path: &Path) {
    store.close().await.expect("room");
    std::fs::remove_dir_all(path).expect("it is ours");
}

fn block(number: u32, length: usize) -> Block {
    Block::new(RAW, Bytes::from(number.to_le_bytes().repeat(length / 4)))
}

fn report(what: &str, mebibytes: f64, written: Duration, durable: Duration) {
    let (written, durable) = (mebibytes / written.as_secs_f64(), mebibytes / durable.as_secs_f64());
    println!("  {what:<34} {written:>6.0} MiB/s written, {durable:>6.0} MiB/s durable");
}

fn per_block(what: &str, blocks: usize, written: Duration, durable: Duration) {
    println!("  {what:<34} {:>6.1} µs a block, {:>6.1} durable", micros(written, blocks), micros(durable, blocks));
}

fn micros(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

/// Kilobytes of resident memory, where the system says it in `/proc`.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
