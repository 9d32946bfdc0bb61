//! Ranges: RFC 9110, section 14, as the path gateway specification takes it up.

use super::house::House;

#[tokio::test]
async fn a_range_of_a_file_needs_no_block_beside_it() {
    let house = House::new().await;
    let file = house.file(&["aaaa", "bbbb", "cccc"], &[0, 2]).await;

    let answer = house.ask("GET", &format!("/ipfs/{file}"), &[("Range", "bytes=5-7")]).await;

    assert_eq!((answer.status, answer.text(), answer.is_whole), (206, "bbb", true));
    assert_eq!(answer.header("content-range"), "bytes 5-7/12");
    assert_eq!((answer.header("content-length"), answer.header("accept-ranges")), ("3", "bytes"));
}

#[tokio::test]
async fn several_ranges_come_as_multipart_byteranges() {
    let house = House::new().await;
    let file = house.file(&["hello ", "world"], &[]).await;

    let answer = house.ask("GET", &format!("/ipfs/{file}?filename=x.txt"), &[("Range", "bytes=6-8,0-1,-1")]).await;

    assert!(answer.status == 206 && answer.is_whole, "{answer:?}");
    let boundary = answer.header("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |range: &str, text: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {range}/11\r\n\r\n{text}"
        )
    };
    let expected =
        [part("6-8", "wor"), part("0-1", "he"), part("10-10", "d"), format!("\r\n--{boundary}--\r\n")].concat();
    assert_eq!(answer.text(), expected);
}

#[tokio::test]
async fn a_range_beyond_the_end_is_not_satisfiable() {
    let house = House::new().await;
    let file = house.raw("hello").await;

    let answer = house.ask("GET", &format!("/ipfs/{file}"), &[("Range", "bytes=5-")]).await;

    assert_eq!((answer.status, answer.header("content-range")), (416, "bytes */5"));
}

#[tokio::test]
async fn if_range_of_another_etag_gives_the_whole() {
    let house = House::new().await;
    let file = house.raw("hello").await;
    let tag = format!("\"{file}\"");
    let ask = async |tag: &str| {
        house.ask("GET", &format!("/ipfs/{file}"), &[("Range", "bytes=0-0"), ("If-Range", tag)]).await.status
    };

    assert_eq!((ask(&tag).await, ask("\"x\"").await, ask(&format!("W/{tag}")).await), (206, 200, 200));
}

#[tokio::test]
async fn very_many_ranges_are_answered_with_the_whole() {
    let house = House::new().await;
    let file = house.raw(vec![b'x'; 10_000]).await;
    let ranges = format!("bytes={}", (0..1000).map(|n| format!("{n}-{n}")).collect::<Vec<_>>().join(","));

    let answer = house.ask("GET", &format!("/ipfs/{file}"), &[("Range", &ranges)]).await;

    assert_eq!((answer.status, answer.body.len()), (200, 10_000));
}
