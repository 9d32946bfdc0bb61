//! What a visitor may try, and what comes back.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::house::{House, answer};

#[tokio::test]
async fn malformed_requests_are_refused_and_the_gateway_goes_on() {
    let house = House::new().await;
    let file = house.raw("hello").await;
    let long = "x".repeat(200_000);

    for (name, request, statuses) in [
        (
            "a huge header",
            format!("GET /ipfs/{file} HTTP/1.1\r\nConnection: close\r\nHost: a\r\nX: {long}\r\n\r\n"),
            &[431][..],
        ),
        (
            "a huge address",
            format!("GET /ipfs/{file}/{long} HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n"),
            &[414, 431],
        ),
        (
            "many headers",
            format!("GET / HTTP/1.1\r\nConnection: close\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200)),
            &[431],
        ),
        ("no HTTP", "hello\r\n\r\n".to_owned(), &[400]),
        ("a host with a path", format!("GET /ipfs/{file} HTTP/1.1\r\nConnection: close\r\nHost: a/b\r\n\r\n"), &[400]),
        (
            "a host with a quote",
            format!("GET /ipfs/{file} HTTP/1.1\r\nConnection: close\r\nHost: \"><script>\r\n\r\n"),
            &[400],
        ),
        (
            "a zero in the address",
            "GET /ipfs/a%00b HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n".to_owned(),
            &[400],
        ),
        ("dots", "GET /ipfs/../../etc/passwd HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n".to_owned(), &[400]),
        (
            "encoded dots",
            format!("GET /ipfs/{file}/%2e%2e%2f%2e%2e HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n"),
            &[400],
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nConnection: close\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
                .to_owned(),
            &[400],
        ),
    ] {
        let mut stream = house.connect().await;
        // It may have answered, and gone, before it has read all.
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = answer(&mut stream).await;
        assert!(statuses.contains(&answer.status), "{name}: {answer:?}");
    }
    assert_eq!(house.get(&format!("/ipfs/{file}")).await.text(), "hello");
}

#[tokio::test]
async fn a_body_that_never_ends_is_not_read() {
    let house = House::new().await;
    let mut stream = house.connect().await;
    let head = "POST /ipfs/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.split();
    let sends = async {
        loop {
            if write.write_all(b"400\r\n").await.is_err() || write.write_all(&[b'x'; 1026]).await.is_err() {
                return;
            }
        }
    };

    let mut first = [0; 12];
    let ended = async {
        tokio::select! {
            // The answer may be lost on the way where it meets what is still sent.
            () = sends => {}
            read = read.read_exact(&mut first) => {
                read.map(drop).unwrap();
                assert_eq!(&first, b"HTTP/1.1 405");
            }
        }
    };
    timeout(Duration::from_secs(20), ended).await.expect("it is still read");
}

#[tokio::test]
async fn a_visitor_who_reads_nothing_keeps_nobody_else_waiting() {
    let house = House::new().await;
    let large = house.raw(vec![b'x'; 1 << 20]).await;
    let mut idle = vec![];
    for _ in 0..50 {
        let mut stream = house.connect().await;
        let request = format!("GET /ipfs/{large} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        idle.push(stream);
    }

    let answer = house.get(&format!("/ipfs/{large}")).await;

    assert!(answer.is_whole && answer.body.len() == 1 << 20);
}
