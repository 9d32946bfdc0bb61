//! Nodes, paths through them and CAR files, as clients of Kubo ask for them.

use bytes::Bytes;
use cidra_content::block::{DAG_PB, MAX_BLOCK_SIZE, RAW};
use cidra_content::dag_pb::{Link, Node as PbNode};
use cidra_content::{Block, Cid, car, ipld};
use serde_json::{Value, json};

use super::{House, Told, objects};
use crate::api::doors::Doors;

const MULTIPART: &str = "multipart/form-data; boundary=x";

impl House {
    async fn post_files(&self, call: &str, files: &[(&str, &[u8])]) -> Told {
        let mut body = vec![];
        for (name, bytes) in files {
            let head = "Content-Disposition: form-data; name=\"file\"; filename=";
            body.extend_from_slice(format!("--x\r\n{head}\"{name}\"\r\n\r\n").as_bytes());
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--x--\r\n");
        self.tell(call, MULTIPART, body).await
    }

    async fn put(&self, text: &str) -> String {
        let told = self.post_files("dag/put", &[("node", text.as_bytes())]).await;
        objects(&told.body)[0]["Cid"]["/"].as_str().unwrap_or_else(|| panic!("{}", told.text())).to_owned()
    }

    async fn import(&self, call: &str, file: &[u8]) -> Vec<Value> {
        let told = self.post_files(call, &[("a.car", file)]).await;
        assert!(told.status.is_success() && told.trailers.is_empty(), "{}", told.text());
        objects(&told.body)
    }

    async fn count(&self) -> Value {
        self.object("repo/stat").await["NumObjects"].clone()
    }
}

fn house() -> House {
    House::new(|_| Doors::local())
}

fn write(roots: &[Cid], blocks: &[Block]) -> Vec<u8> {
    let mut file = car::header(roots).to_vec();
    for block in blocks {
        file.extend_from_slice(&car::section_head(block.cid(), block.data().len()));
        file.extend_from_slice(block.data());
    }
    file
}

fn node_of(children: &[&Block]) -> Block {
    let link =
        |(place, child): (usize, &&Block)| Link { cid: *child.cid(), name: format!("{place:04}").into(), tsize: 1 };
    let node = PbNode { links: children.iter().enumerate().map(link).collect(), data: None };
    Block::new(DAG_PB, node.encode())
}

fn leaf(text: &'static str) -> Block {
    Block::new(RAW, Bytes::from_static(text.as_bytes()))
}

/// CIDs and answers of Kubo 0.43.
#[tokio::test]
async fn nodes_are_put_got_and_followed_as_kubo_does() {
    let house = house();
    let inner = house.put("{\"x\":\"é\"}").await;
    let outer = house.put(&format!("{{\"n\":null,\"a\":{{\"b\":[1,{{\"/\":\"{inner}\"}}]}}}}")).await;
    assert_eq!(house.put("{\"hello\":\"world\"}").await, "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae");

    assert_eq!(house.bytes(&format!("dag/get?arg={outer}/a/b/1/x")).await, "\"é\"");
    assert_eq!(house.bytes(&format!("dag/get?arg={outer}/a/b/0&output-codec=dag-cbor")).await, "\x01");
    let whole = house.bytes(&format!("dag/get?arg={outer}")).await;
    assert_eq!(whole, format!("{{\"a\":{{\"b\":[1,{{\"/\":\"{inner}\"}}]}},\"n\":null}}"));
    let resolved = house.object(&format!("dag/resolve?arg={outer}/a/b/1/x")).await;
    assert_eq!(resolved, json!({"Cid": {"/": inner}, "RemPath": "/x"}));
    let resolved = house.object(&format!("resolve?arg=/ipfs/{outer}/a/b")).await;
    assert_eq!(resolved, json!({"Path": format!("/ipfs/{outer}/a/b")}));
    for path in ["a/b/2", "z", "n/x", "a/b/x"] {
        let (status, exit, message) = house.error(&format!("dag/get?arg={outer}/{path}")).await;
        assert_eq!((status, exit.as_str()), (500, "3"), "{message}");
    }
    let (_, _, message) = house.error(&format!("cat?arg={outer}/a/b")).await;
    assert!(message.contains("within block") && message.contains("dag get"), "{message}");
}

#[tokio::test]
async fn what_cannot_be_read_or_written_is_not_put() {
    let house = house();
    let large = format!("[{}0]", "\"0123456789abcdef\",".repeat(MAX_BLOCK_SIZE / 16));
    for (call, text, why) in [
        ("dag/put", "{\"a\":1,\"a\":2}", "twice"),
        ("dag/put", "[1", "EOF"),
        ("dag/put?store-codec=dag-pb", "{\"x\":1}", "dag-pb"),
        ("dag/put?input-codec=dag-cbor", "\u{7f}", "indefinite"),
        ("dag/put?store-codec=git-raw", "1", "git-raw"),
        ("dag/put?store-codec=xml", "1", "xml"),
        ("dag/put?hash=md5", "1", "md5"),
        ("dag/put?allow-big-block=true", "1", "allow-big-block"),
        ("dag/put", &large, "over 2MiB"),
    ] {
        let (_, _, message) = house.post_files(call, &[("node", text.as_bytes())]).await.error();
        assert!(message.contains(why), "{call}: {message}");
    }
    assert_eq!(house.count().await, 0);
}

#[tokio::test]
async fn a_block_has_the_codec_and_the_hash_that_were_asked_for() {
    let house = house();
    for (parameters, cid) in [
        ("mhtype=blake3", "bafkr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab4"),
        ("mhtype=sha2-256&mhlen=20&cid-codec=dag-json", "baguqefbm6jg3ux5qgcri5oxgifw6avk6"),
        ("mhtype=identity", "bafkqablimvwgy3y"),
        ("format=v0", "QmRN6wdp1S2A5EtjW9A3M1vKSBuQQGcgvuhoMUoEz4iiT5"),
    ] {
        let told = house.post_files(&format!("block/put?{parameters}"), &[("b", b"hello")]).await;
        let key = objects(&told.body)[0]["Key"].clone();
        let found: Cid = key.as_str().unwrap_or_else(|| panic!("{}", told.text())).parse().unwrap();
        assert_eq!(house.bytes(&format!("block/get?arg={found}")).await, "hello");
        if parameters.starts_with("mhtype=identity") || parameters.starts_with("format") {
            assert_eq!(key, cid, "{parameters}");
        }
        if parameters.contains("mhlen") {
            assert_eq!((found.hash().size(), found.codec()), (20, ipld::DAG_JSON));
        }
    }
    for parameters in ["mhlen=19", "mhlen=33", "mhtype=md5", "format=v0&mhtype=sha2-512", "format=v0&mhlen=20"] {
        let told = house.post_files(&format!("block/put?{parameters}"), &[("b", b"hello")]).await;
        assert_eq!(told.error().0, 400, "{parameters}");
    }
}

#[tokio::test]
async fn a_dag_is_exported_and_imported_byte_for_byte() {
    let (here, there) = (house(), house());
    let (a, b) = (leaf("a"), leaf("b"));
    let top = node_of(&[&b, &a, &b]);
    let root = *top.cid();
    let size = top.data().len() + 2;
    let file = write(&[root], &[top, b.clone(), a.clone()]);

    let imported = here.import("dag/import?stats=true", &file).await;

    assert_eq!(imported[0], json!({"Root": {"Cid": {"/": root.to_string()}, "PinErrorMsg": ""}}));
    assert_eq!(imported[1], json!({"Stats": {"BlockCount": 3, "BlockBytesCount": size}}));
    assert_eq!(here.object("pin/ls?type=recursive").await["Keys"][root.to_string()]["Type"], "recursive");
    let exported = here.bytes(&format!("dag/export?arg={root}")).await;
    assert_eq!(exported, file, "depth first, each once");
    assert_eq!(there.import("dag/import?pin-roots=false", &exported).await, [json!(null); 0]);
    assert_eq!((there.count().await, there.object("pin/ls").await), (json!(3), json!({})));
    let stat = here.object(&format!("dag/stat?arg={root}&arg={}&progress=false", a.cid())).await;
    assert_eq!((&stat["UniqueBlocks"], &stat["DagStats"][0]["NumBlocks"]), (&json!(3), &json!(3)));
    assert_eq!(stat["SharedSize"], 1);
}

#[tokio::test]
async fn a_broken_file_keeps_what_came_before_and_pins_nothing() {
    let blocks = [leaf("one"), leaf("two"), leaf("three")];
    let file = write(&[*blocks[0].cid()], &blocks);
    let cut = &file[..file.len() - 2];
    let mut wrong = file.clone();
    *wrong.last_mut().unwrap() ^= 1;
    for (file, why) in [(cut, "cut short"), (&wrong[..], "do not match")] {
        let house = house();
        let (_, _, message) = house.post_files("dag/import", &[("photos.car", file)]).await.error();

        assert!(message.contains("photos.car") && message.contains(why), "{message}");
        assert!(message.contains(&blocks[1 + usize::from(why == "do not match")].cid().to_string()), "{message}");
        assert_eq!((house.count().await, house.object("pin/ls").await), (json!(2), json!({})));

        // The rest comes with the next import.
        assert_eq!(house.import("dag/import", &write(&[*blocks[0].cid()], &blocks)).await.len(), 1);
        assert_eq!(house.count().await, 3);
    }
}

#[tokio::test]
async fn a_root_is_pinned_only_if_all_below_it_came() {
    let house = house();
    let (a, b) = (leaf("a"), leaf("b"));
    let top = node_of(&[&a, &b]);
    let root = *top.cid();

    let imported = house.import("dag/import", &write(&[root, *a.cid()], &[top, a.clone()])).await;

    let message = imported[0]["Root"]["PinErrorMsg"].as_str().unwrap();
    assert!(message.contains(&b.cid().to_string()), "{message}");
    assert_eq!(imported[1]["Root"]["PinErrorMsg"], "");
    assert!(house.object("pin/ls").await["Keys"].get(root.to_string()).is_none());
    let told = house.tell(&format!("dag/export?arg={root}&offline=true"), "text/plain", "").await;
    assert!(told.trailers[super::STREAM_ERROR].to_str().unwrap().contains("is not here"));
    assert_eq!(told.trailers[super::EXIT], "3");

    // A second file may bring the rest, and roots are pinned after all files.
    let files = [("1.car", &write(&[root], &[])[..]), ("2.car", &write(&[], &[b])[..])];
    let told = house.post_files("dag/import", &files).await;
    assert_eq!(objects(&told.body)[0]["Root"]["PinErrorMsg"], "", "{}", told.text());
}

#[tokio::test]
async fn what_is_here_of_a_dag_is_exported() {
    let house = house();
    let (a, b, c) = (leaf("a"), leaf("b"), leaf("c"));
    let gone = node_of(&[&a, &b]);
    let top = node_of(&[&gone, &b, &a, &c]);
    let (root, absent) = (*top.cid(), *gone.cid());
    let part = write(&[root], &[top, b, c]);
    house.import("dag/import?pin-roots=false", &part).await;

    assert_eq!(
        house.bytes(&format!("dag/export?arg={root}&local-only=true")).await,
        part,
        "as far as it is here, in order"
    );

    let (_, exit, _) = house.error(&format!("dag/export?arg={absent}&local-only=true")).await;
    assert_eq!(exit, "3", "the root must be here");
    assert_eq!(house.error(&format!("dag/export?arg={root}&local-only=true&offline=false")).await.1, "2");
}

#[tokio::test]
async fn what_cannot_be_followed_is_left_out_of_what_is_here() {
    let house = house();
    let bad = Block::new(DAG_PB, Bytes::from_static(b"no node"));
    let b = leaf("b");
    let top = node_of(&[&bad, &b]);
    let root = *top.cid();
    house.import("dag/import?local-only=true", &write(&[root], &[top.clone(), bad, b.clone()])).await;

    let exported = house.bytes(&format!("dag/export?arg={root}&local-only=true")).await;

    assert_eq!(exported, write(&[root], &[top, b]));
    let told = house.tell(&format!("dag/export?arg={root}&offline=true"), "text/plain", "").await;
    assert!(told.trailers[super::STREAM_ERROR].to_str().unwrap().contains("cannot be followed"));
}

/// Forty levels, each naming the next a thousand times: 10^120 paths.
#[tokio::test]
async fn a_dag_that_expands_is_walked_once() {
    let house = house();
    let mut blocks = vec![leaf("bottom")];
    for _ in 0..40 {
        let below = blocks.last().unwrap();
        blocks.push(node_of(&[below; 1000]));
    }
    let root = *blocks.last().unwrap().cid();
    blocks.reverse();
    let file = write(&[root], &blocks);

    let imported = house.import("dag/import", &file).await;

    assert_eq!(imported[0]["Root"]["PinErrorMsg"], "");
    assert_eq!(house.bytes(&format!("dag/export?arg={root}")).await, file);
    assert_eq!(house.object(&format!("dag/stat?arg={root}&progress=false")).await["UniqueBlocks"], 41);
    assert_eq!(house.objects(&format!("refs?arg={root}&recursive=true&unique=true")).await.len(), 40);
    assert_eq!(house.objects(&format!("refs?arg={root}")).await.len(), 1000);
    house.object(&format!("pin/add?arg={root}")).await;
}

#[tokio::test]
async fn refs_tell_links_in_every_form() {
    let house = house();
    let (a, b) = (leaf("a"), leaf("b"));
    let inner = node_of(&[&a, &b]);
    let top = node_of(&[&inner, &a]);
    let (root, below) = (*top.cid(), *inner.cid());
    house.import("dag/import", &write(&[root], &[top, inner, a.clone(), b.clone()])).await;
    let refs = async |parameters: &str| {
        let lines = house.objects(&format!("refs?arg={root}{parameters}")).await;
        lines.iter().map(|line| line["Ref"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (a, b, below) = (a.cid().to_string(), b.cid().to_string(), below.to_string());

    assert_eq!(refs("").await, [&below[..], &a]);
    assert_eq!(refs("&recursive=true").await, [&below[..], &a, &b, &a]);
    assert_eq!(refs("&recursive=true&unique=true").await, [&below[..], &a, &b]);
    assert_eq!(refs("&recursive=true&max-depth=1").await, [&below[..], &a]);
    assert_eq!(refs("&recursive=true&max-depth=0").await, [""; 0]);
    assert_eq!(refs("&edges=true").await, [format!("{root} -> {below}"), format!("{root} -> {a}")]);
    assert_eq!(refs("&format=%3Clinkname%3E%20%3Cdst%3E").await, [format!("0000 {below}"), format!("0001 {a}")]);
    assert!(house.error(&format!("refs?arg={root}&edges=true&format=%3Csrc%3E")).await.2.contains("not allowed"));
}
