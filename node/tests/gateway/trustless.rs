//! Trustless gateway: <https://specs.ipfs.tech/http-gateways/trustless-gateway/>.

use bytes::Bytes;
use cidra_content::car::{Reader, Section};
use cidra_content::{Block, Cid, block};

use super::house::{Answer, House};

/// The blocks of a CAR in their order; it must be whole.
fn blocks(answer: &Answer) -> Vec<Cid> {
    assert_eq!((answer.status, answer.is_whole), (200, true), "{answer:?}");
    let mut reader = Reader::default();
    reader.push(Bytes::copy_from_slice(&answer.body));
    let mut cids = vec![];
    while let Some(Section { cid, data, .. }) = reader.poll().expect("it is sound") {
        cids.push(cid);
        Block::verify(cid, data).expect("its bytes are those of its CID");
    }
    reader.finish().expect("it is whole");
    cids
}

#[tokio::test]
async fn a_raw_block_is_an_attachment_that_nobody_sniffs() {
    let house = House::new().await;
    let cid = house.raw("<html>").await;

    let answer = house.ask("GET", &format!("/ipfs/{cid}"), &[("Accept", "application/vnd.ipld.raw")]).await;

    assert_eq!((answer.text(), answer.header("content-type")), ("<html>", "application/vnd.ipld.raw"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("content-disposition").starts_with(&format!("attachment; filename=\"{cid}.bin\"")));
    assert_eq!(answer.header("content-location"), format!("/ipfs/{cid}?format=raw"));
    assert_eq!(answer.header("etag"), format!("\"{cid}.raw\""));
}

#[tokio::test]
async fn a_car_has_the_way_first_and_then_what_its_scope_names() {
    let house = House::new().await;
    let file = house.file(&["aaaa", "bbbb", "cccc"], &[]).await;
    let [a, b, c] = [b"aaaa", b"bbbb", b"cccc"].map(|text| *Block::new(block::RAW, Bytes::from_static(text)).cid());
    let inner = house.folder(&[("file", file), ("same", file)]).await;
    let root = house.folder(&[("in", inner)]).await;
    let of =
        async |path: &str, query: &str| blocks(&house.get(&format!("/ipfs/{root}{path}?format=car&{query}")).await);

    assert_eq!(of("/in/file", "").await, [root, inner, file, a, b, c]);
    assert_eq!(of("/in/file", "dag-scope=block").await, [root, inner, file]);
    assert_eq!(of("/in/file", "dag-scope=entity").await, [root, inner, file, a, b, c]);
    assert_eq!(of("/in/file", "entity-bytes=5:-5").await, [root, inner, file, b]);
    assert_eq!(of("/in/file", "entity-bytes=-1:*").await, [root, inner, file, c]);
    assert_eq!(of("/in", "dag-scope=entity").await, [root, inner]);
    assert_eq!(of("/in", "dag-scope=entity&entity-bytes=0:1").await, [root, inner]);
    assert_eq!(of("/in", "car-dups=n").await, [root, inner, file, a, b, c]);
    assert_eq!(of("/in", "car-dups=y").await, [root, inner, file, a, b, c, file, a, b, c]);
}

#[tokio::test]
async fn a_car_tells_its_version_order_and_duplicates() {
    let house = House::new().await;
    let cid = house.raw("x").await;

    let accept = "application/vnd.ipld.car; version=1; order=unk; dups=y";
    let answer = house.ask("GET", &format!("/ipfs/{cid}"), &[("Accept", accept)]).await;

    assert_eq!(answer.header("content-type"), "application/vnd.ipld.car; version=1; order=dfs; dups=y");
    assert_eq!((answer.header("accept-ranges"), answer.header("x-content-type-options")), ("none", "nosniff"));
    assert!(answer.header("content-disposition").starts_with(&format!("attachment; filename=\"{cid}.car\"")));
    for query in ["car-version=2", "car-dups=x", "dag-scope=x", "entity-bytes=x", "entity-bytes=1:*"] {
        assert_eq!(house.get(&format!("/ipfs/{cid}?format=car&{query}")).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn the_etag_of_a_car_differs_with_scope_bytes_duplicates_and_path() {
    let house = House::new().await;
    let file = house.file(&["aaaa", "bbbb"], &[]).await;
    let folder = house.folder(&[("a", file), ("b", file)]).await;
    let mut tags = vec![];
    for address in
        ["/a?", "/b?", "/a?dag-scope=block&", "/a?dag-scope=entity&", "/a?entity-bytes=0:1&", "/a?car-dups=y&"]
    {
        let answer = house.get(&format!("/ipfs/{folder}{address}format=car")).await;
        tags.push(answer.header("etag").to_owned());
    }

    let mut different = tags.clone();
    different.sort();
    different.dedup();

    assert_eq!(different.len(), tags.len(), "{tags:?}");
}

#[tokio::test]
async fn identity_cids_are_no_blocks_of_a_car() {
    let house = House::new().await;
    let inline: Cid = "bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa".parse().unwrap();
    let folder = house.folder(&[("inline", inline)]).await;

    assert_eq!(blocks(&house.get(&format!("/ipfs/{inline}?format=car&car-dups=y")).await), []);
    assert_eq!(blocks(&house.get(&format!("/ipfs/{folder}?format=car")).await), [folder]);
}

#[tokio::test]
async fn a_missing_root_is_not_found_and_a_missing_child_cuts_the_stream() {
    let house = House::new().await;
    let file = house.file(&["aaaa", "bbbb"], &[1]).await;
    let missing = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

    for format in ["raw", "car"] {
        assert_eq!(house.get(&format!("/ipfs/{missing}?format={format}")).await.status, 404, "{format}");
    }
    let cut = house.get(&format!("/ipfs/{file}?format=car")).await;
    // Nothing at all came, or no last chunk.
    assert!(matches!(cut.status, 0 | 200) && !cut.is_whole, "{cut:?}");
}

#[tokio::test]
async fn a_trustless_gateway_gives_only_what_can_be_proved() {
    let house = House::with(|settings| settings.config.gateway.trustless = true).await;
    let cid = house.raw("x").await;

    assert_eq!(house.get(&format!("/ipfs/{cid}")).await.status, 406);
    assert_eq!(house.get(&format!("/ipfs/{cid}?format=tar")).await.status, 406);
    assert_eq!(house.get(&format!("/ipfs/{cid}?format=raw")).await.status, 200);
    assert_eq!(house.get(&format!("/ipfs/{cid}?format=car")).await.status, 200);
}
