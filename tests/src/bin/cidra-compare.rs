//! Client-server or peer-to-peer, by measurement: the rows of docs/COMPARISON.md. nginx and curl, which have to be installed, beside Cidra on
//! the same machine, the same files and links of the same rate. It takes root, for the network.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, process};

use cidra_tests::suite::MIB;
use cidra_tests::swarm::{LIMIT, Swarm};
use cidra_tests::{Call, Finished, Lan, Repository, Running, sample};

fn main() {
    let wanted: Vec<String> = env::args().skip(1).collect();
    if let Some(name) = wanted.iter().find(|name| !ROWS.iter().any(|(row, _)| row == name)) {
        eprintln!("no row {name}; there are: {}", ROWS.map(|(name, _)| name).join(" "));
        process::exit(2);
    }
    println!("| Row | nginx and curl | Cidra |\n|---|---|---|");
    for (name, measure) in ROWS {
        if !wanted.is_empty() && !wanted.iter().any(|row| row == name) {
            continue;
        }
        let Some([nginx, cidra]) = measure() else { process::exit(1) };
        println!("| `{name}` | {nginx} | {cidra} |");
    }
}

/// A row's name, and what measures both; `None` where no network can be made here.
type Row = (&'static str, fn() -> Option<[String; 2]>);

const ROWS: [Row; 6] =
    [("one", one), ("eight", eight), ("killed", killed), ("gone", gone), ("altered", altered), ("gigabyte", gigabyte)];

/// 64 MiB from one source to one getter.
fn one() -> Option<[String; 2]> {
    let swarm = Swarm::of(1, 1, SIZE)?;
    let server = Server::start(&swarm.lan, 0, &swarm.file);
    let by_curl = server.fetch(&swarm.lan, 1).success();
    let nginx = figures(&by_curl, server.running.processor_time(), server.running.peak_memory());
    drop(server);
    let before = swarm.holder(0).processor_time();
    let folder = Repository::new();
    let got = swarm.get(1, &folder).run().success();
    let holder = swarm.holder(0);
    Some([nginx, figures(&got, holder.processor_time() - before, holder.peak_memory())])
}

/// 64 MiB from one source to eight, who begin at once.
fn eight() -> Option<[String; 2]> {
    let swarm = Swarm::of(1, 8, SIZE)?;
    let server = Server::start(&swarm.lan, 0, &swarm.file);
    let began = Instant::now();
    let getters: Vec<(Repository, Running)> = (1..=8).map(|host| server.begin(&swarm.lan, host)).collect();
    getters.into_iter().for_each(|(_folder, getter)| drop(getter.finish().success()));
    let nginx = began.elapsed();
    drop(server);
    let (sent, cidra) = (swarm.lan.sent(0), swarm.crowd());
    let sent = (swarm.lan.sent(0) - sent) as f64 / SIZE as f64;
    Some([
        format!("{:.1} s to the last; the server sends 8 copies", nginx.as_secs_f64()),
        format!("{:.1} s to the last; the source sends {sent:.1} copies", cidra.as_secs_f64()),
    ])
}

/// 128 MiB, two sources, of which one is killed when half is through.
fn killed() -> Option<[String; 2]> {
    let mut swarm = Swarm::of(2, 1, 2 * SIZE)?;
    let server = Server::start(&swarm.lan, 0, &swarm.file);
    let other = Server::start(&swarm.lan, 1, &swarm.file);
    let before = swarm.lan.received(2);
    let (folder, getter) = server.begin(&swarm.lan, 2);
    swarm.lan.wait_for(2, before + SIZE, LIMIT);
    drop(server.running.kill());
    let failed = getter.finish();
    let here = fs::metadata(folder.file("film")).map_or(0, |file| file.len());
    let nginx = format!(
        "exit {} after {:.1} s, {} of 128 MiB here; whoever sits there asks the other server for the rest",
        failed.code.unwrap_or(-1),
        failed.elapsed.as_secs_f64(),
        here / MIB
    );
    drop(other);
    let (victim, folder) = (swarm.take(0), Repository::new());
    let before = swarm.lan.received(2);
    let getter = swarm.get(2, &folder).start();
    swarm.lan.wait_for(2, before + SIZE, LIMIT);
    victim.kill();
    let got = getter.finish().success();
    Some([nginx, format!("complete after {:.1} s, nobody did anything", got.elapsed.as_secs_f64())])
}

/// The only source goes when two have it, and a third comes.
fn gone() -> Option<[String; 2]> {
    let mut swarm = Swarm::of(1, 2, SIZE)?;
    let server = Server::start(&swarm.lan, 0, &swarm.file);
    server.fetch(&swarm.lan, 1).success();
    drop(server.running.kill());
    let folder = Repository::new();
    let late = curl(&swarm.lan, 0, 2, &folder).run();
    let holder = Repository::new();
    let daemon = swarm.daemon(1, &holder, &[&swarm.address(0)]);
    holder.cidra(["get", &swarm.cid, "-o", "film"]).run().success();
    swarm.take(0).kill();
    let late_getter = Repository::new();
    let peer = format!("/ip4/{}/tcp/4001/p2p/{}", swarm.lan.host(1).address, daemon.peer());
    let line = ["get", &swarm.cid, "-o", "film", "--bootstrap", "none", "--no-mdns", "--peer", &peer];
    let got = late_getter.cidra(line).limit(LIMIT).on(swarm.lan.host(2)).run().success();
    sample::assert_same(&swarm.file, &late_getter.file("film"));
    Some([
        format!("exit {}: nobody else serves that address", late.code.unwrap_or(-1)),
        format!("complete after {:.1} s, from one who had fetched it", got.elapsed.as_secs_f64()),
    ])
}

/// One byte of the file changes where it is served.
fn altered() -> Option<[String; 2]> {
    let lan = Lan::of(2)?;
    let alice = Repository::new();
    let (file, original) = (alice.file("film"), alice.file("original"));
    sample::file(&file, 8 * MIB, 1);
    fs::copy(&file, &original).expect("a folder of its own");
    let cid = alice.cidra(["add", "-Q", "--nocopy"]).arg(&file).run().success().text().to_owned();
    let opened = OpenOptions::new().write(true).open(&file).expect("our own file");
    opened.write_all_at(b"!", 5 * MIB).expect("our own file");
    let server = Server::start(&lan, 0, &file);
    let (folder, getter) = server.begin(&lan, 1);
    let by_curl = getter.finish();
    let differs = fs::read(folder.file("film")).ok() != fs::read(&original).ok();
    let call = alice.daemon_call(&[], &["--listen", "/ip4/0.0.0.0/tcp/4001"]);
    let daemon = cidra_tests::Daemon::start(call.on(lan.host(0)), "Daemon is ready");
    let bob = Repository::new();
    let peer = format!("/ip4/{}/tcp/4001/p2p/{}", lan.host(0).address, daemon.peer());
    let line = ["get", &cid, "-o", "film", "--bootstrap", "none", "--no-mdns", "--timeout", "10s", "--peer", &peer];
    let got = bob.cidra(line).limit(LIMIT).on(lan.host(1)).run();
    assert!(!bob.file("film").exists(), "what is not whole has no name");
    Some([
        format!("exit {}, the file {}", by_curl.code.unwrap_or(-1), if differs { "differs" } else { "is the same" }),
        format!("exit {}, no file: the block is not had from anybody", got.code.unwrap_or(-1)),
    ])
}

/// 1 GiB over the loopback of this host.
fn gigabyte() -> Option<[String; 2]> {
    let lan = Lan::of(1)?;
    let (alice, size) = (Repository::new(), 1024 * MIB);
    let file = alice.file("film");
    sample::file(&file, size, 1);
    let server = Server::start(&lan, 0, &file);
    let by_curl = server.fetch(&lan, 0).success();
    let nginx = figures(&by_curl, server.running.processor_time(), server.running.peak_memory());
    drop(server);
    let cid = alice.add(&file);
    let call = alice.daemon_call(&[], &["--listen", "/ip4/0.0.0.0/tcp/4001"]);
    let daemon = cidra_tests::Daemon::start(call.on(lan.host(0)), "Daemon is ready");
    let (bob, peer) = (Repository::new(), daemon.address());
    let before = daemon.processor_time();
    let line = ["get", &cid, "-o", "film", "--bootstrap", "none", "--no-mdns", "--peer", peer];
    let got = bob.cidra(line).limit(LIMIT).on(lan.host(0)).run().success();
    Some([nginx, figures(&got, daemon.processor_time() - before, daemon.peak_memory())])
}

const SIZE: u64 = 64 * MIB;

fn figures(getter: &Finished, server: Duration, peak: u64) -> String {
    format!(
        "{:.2} s; processors {:.2} s to get, {:.2} s to serve; memory {} and {} MB",
        getter.elapsed.as_secs_f64(),
        getter.processor_time.as_secs_f64(),
        server.as_secs_f64(),
        getter.peak_memory / 1_000_000,
        peak / 1_000_000
    )
}

/// nginx on a host, which serves the folder of a file.
struct Server {
    running: Running,
    host: usize,
    _folder: Repository,
}

impl Server {
    fn start(lan: &Lan, host: usize, file: &Path) -> Server {
        let folder = Repository::new();
        let root = file.parent().expect("a file stands in a folder").display();
        let config = format!(
            "daemon off; master_process off; user root; pid nginx.pid; error_log stderr; events {{}}\n\
             http {{ access_log off; sendfile on; server {{ listen 80; root {root}; }} }}"
        );
        fs::write(folder.file("nginx.conf"), config).expect("a folder of its own");
        let line = format!("exec nginx -p {0} -c {0}/nginx.conf", folder.folder().display());
        let running = Call::shell(&line).limit(LIMIT * 100).on(lan.host(host)).start();
        let server = Server { running, host, _folder: folder };
        let ask = format!("until curl -sI http://{}/ >/dev/null; do :; done", lan.host(host).address);
        Call::shell(&ask).on(lan.host(host)).run().success();
        server
    }

    fn begin(&self, lan: &Lan, host: usize) -> (Repository, Running) {
        let folder = Repository::new();
        let running = curl(lan, self.host, host, &folder).start();
        (folder, running)
    }

    fn fetch(&self, lan: &Lan, host: usize) -> Finished {
        let folder = Repository::new();
        curl(lan, self.host, host, &folder).run()
    }
}

fn curl(lan: &Lan, server: usize, host: usize, folder: &Repository) -> Call {
    let line = format!("exec curl -sS -f -o film http://{}/film", lan.host(server).address);
    Call::shell(&line).current_dir(folder.folder()).limit(LIMIT).on(lan.host(host))
}
