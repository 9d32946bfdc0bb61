//! Measures the rows of docs/BENCHMARKS.md with the programs that stand beside it: all rows, or those named.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, io};

use cidra_tests::suite::MIB;
use cidra_tests::{Call, Finished, Kubo, Program, Repository, sample};

fn main() {
    let wanted: Vec<String> = env::args().skip(1).collect();
    let unknown = wanted.iter().find(|name| !ROWS.iter().any(|(row, _)| row == name));
    if let Some(name) = unknown {
        eprintln!("no row {name}; there are: {}", ROWS.map(|(name, _)| name).join(" "));
        std::process::exit(2);
    }
    println!("| Name | Figures |\n|---|---|");
    for (name, measure) in ROWS {
        if wanted.is_empty() || wanted.iter().any(|row| row == name) {
            println!("| `{name}` | {} |", measure());
        }
    }
}

/// A row's name, and what measures it.
type Row = (&'static str, fn() -> String);

const ROWS: [Row; 7] = [
    ("version", version),
    ("add", add),
    ("add-folder", add_folder),
    ("folder-kubo", folder_kubo),
    ("fetch", fetch),
    ("fetch-folder", fetch_folder),
    ("idle", idle),
];

fn version() -> String {
    let best = (0..20).map(|_| Call::new(Program::Cidra).arg("version").run().success().elapsed).min();
    format!("{:.1} ms", best.expect("20 runs").as_secs_f64() * 1e3)
}

fn add() -> String {
    let source = Repository::new();
    let file = source.file("file");
    sample::file(&file, LARGE, 1);
    let mut rounds: Vec<(Duration, Duration, u64)> = (0..ROUNDS)
        .map(|_| {
            let copy = copy_and_sync(&file, &source.file("copy")).expect("the disk has room");
            let added = Repository::new().cidra(["add", "-Q"]).arg(&file).limit(PATIENCE).run().success();
            (copy, added.elapsed, added.peak_memory)
        })
        .collect();
    rounds.sort_by_key(|(_, add, _)| *add);
    let (copy, add, peak) = rounds[ROUNDS / 2];
    format!(
        "{}, {:.2} times copy and sync of the file ({}), at most {} of memory",
        speed(LARGE, add),
        add.as_secs_f64() / copy.as_secs_f64(),
        speed(LARGE, copy),
        megabytes(peak)
    )
}

fn copy_and_sync(from: &Path, to: &Path) -> io::Result<Duration> {
    let begin = Instant::now();
    fs::copy(from, to)?;
    File::open(to)?.sync_all()?;
    let elapsed = begin.elapsed();
    fs::remove_file(to)?;
    Ok(elapsed)
}

fn add_folder() -> String {
    let source = Repository::new();
    sample::small_files(&source.file("folder"), FILES);
    let elapsed = median(|| {
        Repository::new().cidra(["add", "-Q"]).arg(source.file("folder")).limit(PATIENCE).run().success().elapsed
    });
    format!("{:.2} s, {:.0} files a second", elapsed.as_secs_f64(), FILES as f64 / elapsed.as_secs_f64())
}

/// `CIDRA_FILES` says how many, `CIDRA_KUBO` where the other program is. Kubo has its daemon ready and syncs nothing; ours begins
/// with nothing, in a process for each command, and syncs all.
fn folder_kubo() -> String {
    let Some(kubo) = Kubo::start(Some("unixfs-v1-2025")) else { return "skipped: no Kubo".to_owned() };
    let count = env::var("CIDRA_FILES").map_or(FILES, |count| count.parse().expect("a number of files"));
    let (source, ours) = (Repository::new(), Repository::new());
    let folder = source.file("folder");
    sample::small_files(&folder, count);
    let patient = |call: Call| call.limit(PATIENCE).run().success();
    let added = patient(ours.cidra(["add", "-Q"]).arg(&folder));
    let theirs = patient(kubo.ipfs(["add", "-Q", "-r"]).arg(&folder));
    let root = added.text().to_owned();
    assert_eq!(root, theirs.text(), "both make the same folder");
    let rows = [
        ("add", added, theirs),
        ("ls", patient(ours.cidra(["ls", &root])), patient(kubo.ipfs(["ls", &root]))),
        (
            "get",
            patient(ours.cidra(["get", &root, "-o"]).arg(source.file("ours"))),
            patient(kubo.ipfs(["get", &root, "-o"]).arg(source.file("theirs"))),
        ),
    ];
    let figures = rows.map(|(what, ours, theirs): (&str, Finished, Finished)| {
        let times = theirs.elapsed.as_secs_f64() / ours.elapsed.as_secs_f64();
        let (time, peak) = (seconds(ours.elapsed), megabytes(ours.peak_memory));
        format!("{what} {time}, {times:.1} times as fast as Kubo ({}), at most {peak}", seconds(theirs.elapsed))
    });
    format!("{count} files: {}", figures.join("; "))
}

fn fetch() -> String {
    let holder = Repository::new();
    sample::file(&holder.file("content"), LARGE, 1);
    let elapsed = fetched_from(&holder);
    format!("{}, {}", seconds(elapsed), speed(LARGE, elapsed))
}

fn fetch_folder() -> String {
    let holder = Repository::new();
    sample::small_files(&holder.file("content"), FILES);
    let elapsed = fetched_from(&holder);
    format!("{}, {:.0} files a second", seconds(elapsed), FILES as f64 / elapsed.as_secs_f64())
}

/// From the start of a `get` with an empty repository to its end.
fn fetched_from(holder: &Repository) -> Duration {
    let cid = holder.add(&holder.file("content"));
    let daemon = holder.daemon(&[]);
    median(|| {
        let getter = Repository::new();
        let flags =
            ["--bootstrap", "none", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0", "--peer", daemon.address()];
        getter.cidra(["get", &cid, "-o", "out"]).args(flags).limit(PATIENCE).run().success().elapsed
    })
}

fn idle() -> String {
    let repository = Repository::new();
    let daemon = repository.daemon(&[]);
    repository.cidra(["health"]).run().success();
    let memory = daemon.memory();
    format!("{} resident, {} of its own", megabytes(memory.resident), megabytes(memory.own))
}

fn median(mut measure: impl FnMut() -> Duration) -> Duration {
    let mut rounds: Vec<Duration> = (0..ROUNDS).map(|_| measure()).collect();
    rounds.sort();
    rounds[ROUNDS / 2]
}

const ROUNDS: usize = 3;
const LARGE: u64 = 1024 * MIB;
const FILES: u64 = 10_000;
/// Nobody waits longer for one round.
const PATIENCE: Duration = Duration::from_secs(600);

fn speed(bytes: u64, elapsed: Duration) -> String {
    format!("{:.0} MB/s", bytes as f64 / 1e6 / elapsed.as_secs_f64())
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.2} s", elapsed.as_secs_f64())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
