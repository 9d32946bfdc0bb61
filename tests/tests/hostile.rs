//! Hostile HTTP on both doors of a daemon: what comes back to each request, as the table of docs/HOSTILE.md.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use cidra_tests::{Daemon, Repository, Suite, rpc};

/// A row: what is sent, on which door, and the statuses that may come back; 0: the connection ends without an answer.
struct Row {
    what: &'static str,
    door: Door,
    request: String,
    status: &'static [u16],
}

#[derive(Clone, Copy, Debug)]
enum Door {
    Gateway,
    Rpc,
}

use Door::{Gateway, Rpc};

#[test]
fn hostile_requests_get_what_the_table_says() {
    let (repository, daemon, cid) = house();
    let doors = (daemon.server("Gateway"), daemon.server("RPC API"));
    let mut wrong = vec![];
    for Row { what, door, request, status } in rows(&cid) {
        let endpoint = match door {
            Gateway => &doors.0,
            Rpc => &doors.1,
        };
        let found = ask(endpoint, request.replace("{host}", endpoint).as_bytes());
        println!("| {door:?} | {what} | {} |", if found == 0 { "closed".to_owned() } else { found.to_string() });
        if !status.contains(&found) {
            wrong.push(format!("{door:?}, {what}: {found} instead of {status:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // None of it did anything, and both doors are open.
    assert_eq!(rpc::get(&doors.0, &format!("/ipfs/{cid}"), &[]).body, b"hello");
    assert_eq!(repository.cidra(["files", "ls"]).run().success().text(), "");
    daemon.stop();
}

#[test]
fn idle_connections_keep_nobody_out_for_long() {
    let (_repository, daemon, cid) = house();
    let gateway = daemon.server("Gateway");
    let count = Suite::chosen().of(500, 5_000, 5_000);
    let idle: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(&gateway).expect("it listens")).collect();
    // Past the limit a visitor waits until those who ask for nothing are shown out.
    assert_eq!(rpc::get(&gateway, &format!("/ipfs/{cid}"), &[]).body, b"hello");
    println!("{count} idle connections: {} MiB", daemon.peak_memory() >> 20);
    assert!(daemon.peak_memory() < 512 << 20);
    drop(idle);
    daemon.stop();
}

#[test]
fn a_body_that_never_ends_is_not_taken_for_whole() {
    let (repository, daemon, _) = house();
    let api = daemon.server("RPC API");
    let begin = |call: &str| {
        let mut stream = TcpStream::connect(&api).expect("it listens");
        let head = format!(
            "POST /api/v0/{call} HTTP/1.1\r\nHost: {api}\r\nContent-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        let part = "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nhalf of it";
        stream.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes()).expect("it reads");
        stream
    };
    let stalled: Vec<TcpStream> =
        ["files/write?arg=/f&create=true", "block/put", "add"].into_iter().map(begin).collect();
    // Others are not held up by it, and nothing of it is there; nor is it when the connection ends.
    assert_eq!(rpc::call(&api, "files/stat?arg=/f", None, &[]).status, 500);
    drop(stalled);
    assert_eq!(rpc::call(&api, "files/stat?arg=/f", None, &[]).status, 500);
    assert_eq!(rpc::call(&api, "files/write?arg=/f&create=true", Some(b"whole"), &[]).status, 200);
    assert_eq!(rpc::call(&api, "files/read?arg=/f", None, &[]).body, b"whole");
    assert_eq!(repository.cidra(["pin", "ls", "-q"]).run().success().lines().len(), 1);
    daemon.stop();
}

fn house() -> (Repository, Daemon, String) {
    let repository = Repository::new();
    std::fs::write(repository.file("hello"), "hello").expect("the test's own folder");
    let cid = repository.add(&repository.file("hello"));
    let flags = ["--listen", "/ip4/127.0.0.1/tcp/0", "--gateway-listen", "/ip4/127.0.0.1/tcp/0"];
    let call = repository.cidra(["daemon", "--no-mdns", "--bootstrap", "none", "--api-listen", "/ip4/127.0.0.1/tcp/0"]);
    let daemon = Daemon::start(call.args(flags), "Daemon is ready");
    (repository, daemon, cid)
}

fn rows(cid: &str) -> Vec<Row> {
    let get = |what, path: &str, headers: &str, status| Row {
        what,
        door: Gateway,
        request: format!("GET {path} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n{headers}\r\n"),
        status,
    };
    let post = |what, path: &str, headers: &str, status| Row {
        what,
        door: Rpc,
        request: format!("POST {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n"),
        status,
    };
    let file = format!("/ipfs/{cid}");
    let many = format!("Range: bytes={}\r\n", (0..5_000).map(|_| "0-0").collect::<Vec<_>>().join(","));
    let long = format!("X-Long: {}\r\n", "x".repeat(300 * 1024));
    let method = |name: &str| format!("{name} {file} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n");
    let gateway = |what, request: String, status| Row { what, door: Gateway, request, status };
    let id = "/api/v0/id";
    vec![
        get("a head of 300 KiB", &file, &long, &[431]),
        get("10,000 headers", &file, &"X: y\r\n".repeat(10_000), &[431]),
        get("a range that is none", &file, "Range: bytes=x-y\r\n", &[200]),
        get("a range behind the end", &file, "Range: bytes=99-\r\n", &[416]),
        get("a range of numbers past 64 bits", &file, "Range: bytes=99999999999999999999999-\r\n", &[200, 416]),
        get("5,000 ranges", &file, &many, &[200, 206, 416]),
        get("traversal", &format!("{file}/../../../etc/passwd"), "", &[400, 404]),
        get("traversal, encoded", &format!("{file}/%2e%2e%2f%2e%2e%2fetc/passwd"), "", &[400, 404]),
        get("a zero byte in a path", &format!("{file}/%00"), "", &[400, 404]),
        get("a CID that is none", "/ipfs/nonsense", "", &[400]),
        get("two Hosts", &file, "Host: a\r\n", &[200, 400]),
        gateway("POST", method("POST"), &[405]),
        gateway("DELETE", method("DELETE"), &[405]),
        gateway("a method that is none", method("NONSENSE"), &[405]),
        gateway("no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\r\n\r\n".to_owned(), &[400]),
        gateway(
            "two lengths of a body",
            format!("GET {file} HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            &[400],
        ),
        post("no Host", id, "", &[400, 403]),
        post("a foreign Host", id, "Host: evil.example\r\n", &[403]),
        post("a foreign Origin", id, "Host: {host}\r\nOrigin: https://evil.example\r\n", &[403]),
        post("a Referer of a page", id, "Host: {host}\r\nReferer: https://evil.example/\r\n", &[403]),
        post("a browser without Origin", id, "Host: {host}\r\nUser-Agent: Mozilla/5.0\r\n", &[403]),
        post("a head of 300 KiB", id, &format!("Host: {{host}}\r\n{long}"), &[431]),
        post("a call that there is not", "/api/v0/nonsense", "Host: {host}\r\n", &[404]),
        post("a query that is no UTF-8", "/api/v0/cat?arg=%ff", "Host: {host}\r\n", &[400]),
        post("an upload that is none", "/api/v0/add", "Host: {host}\r\nContent-Length: 0\r\n", &[400]),
        Row {
            what: "GET of a call",
            door: Rpc,
            request: format!("GET {id} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n"),
            status: &[405],
        },
    ]
}

/// The status that comes back; 0 where the connection ends without one.
fn ask(endpoint: &str, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(endpoint).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    // Who refuses a head before its end closes the connection.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let line = String::from_utf8_lossy(&answer);
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Longer than any of the doors waits.
const PATIENCE: Duration = Duration::from_secs(90);
