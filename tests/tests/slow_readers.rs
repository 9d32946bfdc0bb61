//! A thousand visitors of the gateway who take their time: what the daemon holds for them does not grow with them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use cidra_tests::suite::MIB;
use cidra_tests::{Repository, Suite, sample};

#[test]
fn memory_does_not_grow_with_readers_who_do_not_read() {
    let readers = Suite::chosen().of(100, 1000, 1000);
    let repository = Repository::new();
    let file = repository.file("file");
    sample::file(&file, 32 * MIB, 1);
    let cid = repository.add(&file);
    let flags = ["--listen", "/ip4/127.0.0.1/tcp/0", "--gateway-listen", "/ip4/127.0.0.1/tcp/0"];
    let call = repository.cidra(["daemon", "--no-mdns", "--bootstrap", "none", "--api-listen", "none"]).args(flags);
    let daemon = cidra_tests::Daemon::start(call, "Daemon is ready");
    let gateway = daemon.server("Gateway");
    let before = daemon.memory().resident;

    let mut visitors: Vec<TcpStream> = (0..readers).map(|_| visit(&gateway, &cid)).collect();
    for _ in 0..4 {
        for visitor in &mut visitors {
            let mut some = vec![0; 40 * 1024];
            visitor.read_exact(&mut some).expect("it goes on for who goes on");
        }
    }

    let held = daemon.peak_memory().saturating_sub(before);
    println!("{readers} readers: {} MiB, {} KiB each", held / MIB, held / readers / 1024);
    assert!(held < BOUND, "{} MiB for {readers} readers", held / MIB);
    // One of them who reads on gets all of it.
    let mut last = visitors.pop().expect("there are some");
    visitors.clear();
    let mut rest = vec![];
    last.read_to_end(&mut rest).expect("it ends");
    let content = std::fs::read(&file).expect("the test's own file");
    assert!(rest.len() as u64 > 31 * MIB && content.ends_with(&rest));
    daemon.stop();
}

/// What read ahead without a bound would take for fifty of them.
const BOUND: u64 = 400 * MIB;

/// Asks for the file and reads the head of the answer.
fn visit(gateway: &str, cid: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway).expect("it listens");
    let request = format!("GET /ipfs/{cid} HTTP/1.1\r\nHost: {gateway}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads requests");
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer has a head");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    stream
}
