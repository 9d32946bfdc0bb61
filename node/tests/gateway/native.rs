//! Blocks of json, cbor, dag-json and dag-cbor: path gateway specification, Response Payload; IPIP-524.

use bytes::Bytes;
use cidra_content::Block;
use cidra_content::ipld::{CBOR, DAG_CBOR, DAG_JSON, JSON};

use super::house::House;

const DAG: &[u8] = br#"{"hello":"world"}"#;

#[tokio::test]
async fn a_block_is_given_as_its_codec_has_it() {
    let house = House::new().await;

    for (codec, data, media_type, kind) in [
        (JSON, &b"{\"a\": 1}\n"[..], "application/json", "inline"),
        (DAG_JSON, DAG, "application/vnd.ipld.dag-json", "inline"),
        (CBOR, b"\xa1\x61a\x01", "application/cbor", "attachment"),
        (DAG_CBOR, b"\xa1\x61a\x01", "application/vnd.ipld.dag-cbor", "attachment"),
    ] {
        let cid = house.keep(Block::new(codec, Bytes::from_static(data))).await;
        let answer = house.get(&format!("/ipfs/{cid}")).await;
        assert_eq!((answer.status, &answer.body[..], answer.header("content-type")), (200, data, media_type));
        assert!(answer.header("content-disposition").starts_with(&format!("{kind}; filename=\"{cid}.")));
    }
}

#[tokio::test]
async fn codecs_are_not_converted() {
    let house = House::new().await;
    let json = house.keep(Block::new(DAG_JSON, Bytes::from_static(DAG))).await;
    let cbor = house.keep(Block::new(DAG_CBOR, Bytes::from_static(b"\xa1\x61a\x01"))).await;
    let file = house.raw("hello").await;

    for (cid, format, status) in [
        (json, "dag-json", 200),
        (json, "json", 200),
        (json, "dag-cbor", 406),
        (json, "tar", 406),
        (cbor, "cbor", 200),
        (cbor, "dag-json", 406),
        (file, "dag-json", 406),
        (file, "dag-cbor", 406),
        (file, "ipns-record", 400),
    ] {
        let answer = house.get(&format!("/ipfs/{cid}?format={format}")).await;
        assert_eq!(answer.status, status, "{format} of {cid}: {}", String::from_utf8_lossy(&answer.body));
    }
}

#[tokio::test]
async fn a_path_remainder_within_a_block_is_not_implemented() {
    let house = House::new().await;
    let leaf = house.keep(Block::new(DAG_JSON, Bytes::from_static(DAG))).await;
    let root = format!("{{\"foo\":{{\"bar\":1,\"link\":{{\"/\":\"{leaf}\"}}}}}}");
    let root = house.keep(Block::new(DAG_JSON, root.into())).await;

    assert_eq!(house.get(&format!("/ipfs/{root}/foo")).await.status, 501);
    assert_eq!(house.get(&format!("/ipfs/{root}/foo/none")).await.status, 404);
    let linked = house.get(&format!("/ipfs/{root}/foo/link")).await;
    assert_eq!((linked.status, &linked.body[..]), (200, DAG));
    assert_eq!(linked.header("x-ipfs-roots"), format!("{root},{leaf}"));
}

#[tokio::test]
async fn a_browser_gets_a_page_of_a_dag_json_or_dag_cbor_block() {
    let house = House::new().await;
    let cid = house.keep(Block::new(DAG_JSON, Bytes::from_static(br#"{"a":"<b>"}"#))).await;
    let browser = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")];

    let redirect = house.ask("GET", &format!("/ipfs/{cid}"), &browser).await;
    let page = house.ask("GET", &format!("/ipfs/{cid}/"), &browser).await;

    assert_eq!((redirect.status, redirect.header("location")), (301, &format!("/ipfs/{cid}/")[..]));
    assert!(page.header("etag").starts_with("\"DagIndex-") && page.text().contains("&lt;b&gt;"), "{page:?}");
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
}
