//! What only processes can show of the store: being killed, and how much memory it takes. A test starts this very binary
//! again, with one of the children below as the only test in it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cidra_content::block::{Block, RAW};
use cidra_node::store::{Options, Root, RootKind, Store};
use rand::RngExt;
use tempfile::TempDir;

#[tokio::test]
async fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let dir = TempDir::new().unwrap();
    let (mut acknowledged, mut random) = (0, rand::rng());
    for round in 0..KILLS {
        let mut child = start("child_that_writes", dir.path(), acknowledged);
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        // It goes on writing while these are read, and is killed at whatever it does then.
        let wanted = random.random_range(1..40);
        let mut seen = 0;
        while seen < wanted {
            let line = lines.next().expect("it writes until it is killed").unwrap();
            seen += usize::from(acknowledgement(&line).is_some());
            acknowledged = acknowledgement(&line).unwrap_or(acknowledged);
        }
        child.kill().unwrap();
        // What it had said before it was killed counts as well.
        let last = lines.filter_map(|line| acknowledgement(&line.ok()?)).last();
        acknowledged = last.unwrap_or(acknowledged);
        child.wait().unwrap();

        let store = Store::open(dir.path(), OPTIONS).unwrap();
        for number in 0..acknowledged {
            let block = block(number);
            assert_eq!(store.block(block.cid()).await.unwrap(), Some(block), "round {round}, block {number}");
        }
        let root = store.root(RootKind::Pin, b"last").await.unwrap().expect("set with each acknowledgement");
        assert!(store.block(&root.cid).await.unwrap().is_some(), "round {round}: a root without its block");
        assert_eq!(store.stat().await.unwrap().bad_records, 0, "round {round}");
        store.close().await.unwrap();
    }
    assert!(acknowledged > 20, "{acknowledged}");
}

const KILLS: usize = 20;
/// Small segments, so that it is killed while it begins one, too.
const OPTIONS: Options = Options { segment_size: 300_000, reserve: 1024 * 1024, readers: 1, young: Duration::ZERO };

/// With `CIDRA_STORE_BLOCKS=1000000` the same for a million blocks, in some more seconds.
#[tokio::test]
async fn a_store_of_many_blocks_opens_at_once_in_little_memory() {
    let count = std::env::var("CIDRA_STORE_BLOCKS").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    for first in (0..count).step_by(10_000) {
        store.put((first..count.min(first + 10_000)).map(block).collect()).await.unwrap();
    }
    store.close().await.unwrap();

    let output = start("child_that_opens", dir.path(), count).wait_with_output().unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let said = output.lines().find_map(|line| line.strip_prefix("opened: ")).expect("it says what it took");
    println!("{count} blocks: {said}");
    let numbers: Vec<u64> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [_, touched, opened, read] = numbers[..] else { panic!("{said}") };
    assert!(touched < 2_000, "{said}");
    assert!(opened < 20_000 && read < 20_000, "{said}");
}

/// Puts blocks from the given number on, and says how many there are after each commit.
#[tokio::test]
async fn child_that_writes() {
    let Some((dir, mut next)) = task("child_that_writes") else { return };
    let store = Store::open(&dir, OPTIONS).unwrap();
    let mut random = rand::rng();
    loop {
        let count = random.random_range(1..30);
        for number in next..next + count {
            store.put(vec![block(number)]).await.unwrap();
        }
        next += count;
        let cid = *block(next - 1).cid();
        let root = Root { kind: RootKind::Pin, key: b"last".to_vec(), cid, recursive: true, name: None, expires: None };
        match random.random_range(0..3) {
            0 => store.set_roots(vec![root]).await.unwrap(),
            _ => {
                store.commit().await.unwrap();
                store.set_roots(vec![root]).await.unwrap();
            }
        }
        println!("\nacknowledged {next}");
        std::io::stdout().flush().unwrap();
    }
}

/// Opens a store and says how long that took and how much memory.
#[tokio::test]
async fn child_that_opens() {
    let Some((dir, count)) = task("child_that_opens") else { return };
    let (before, touched) = (resident(), touched());
    let start = Instant::now();
    let store = Store::open(&dir, Options::default()).unwrap();
    let (elapsed, opened, touched) = (start.elapsed(), resident(), self::touched() - touched);
    assert_eq!(store.stat().await.unwrap().blocks, u64::from(count));
    for number in (0..count).step_by(97) {
        assert!(store.load(block(number).cid()).await.unwrap().is_some());
    }
    let read = resident();
    let more = |after: u64| after.saturating_sub(before);
    let (elapsed, opened, read) = (elapsed.as_millis(), more(opened), more(read));
    println!("\nopened: {elapsed} ms, {touched} kB read, {opened} kB more memory, {read} kB after reads");
}

fn start(child: &str, dir: &Path, number: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture", "--test-threads=1"])
        .env("CIDRA_STORE_TASK", child)
        .env("CIDRA_STORE_DIR", dir)
        .env("CIDRA_STORE_NUMBER", number.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a child is to do: none, when this is no child.
fn task(name: &str) -> Option<(PathBuf, u32)> {
    if std::env::var("CIDRA_STORE_TASK").ok()? != name {
        return None;
    }
    let number = std::env::var("CIDRA_STORE_NUMBER").ok()?.parse().ok()?;
    Some((PathBuf::from(std::env::var_os("CIDRA_STORE_DIR")?), number))
}

fn acknowledgement(line: &str) -> Option<u32> {
    line.strip_prefix("acknowledged ")?.parse().ok()
}

fn block(number: u32) -> Block {
    // 100 bytes, and some of up to 20,000.
    let length = if number % 10 == 3 { 20_000 / (1 + number as usize % 7) } else { 100 };
    let length = if number < 20_000 { length } else { 100 };
    Block::new(RAW, Bytes::from(number.to_le_bytes().repeat(length / 4)))
}

/// Kilobytes that this process has read from files so far: what takes time when it opens something.
fn touched() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap_or_default();
    line.parse::<u64>().unwrap_or_default() / 1000
}

/// Kilobytes of resident memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}
