//! What clients of Kubo send, and what they get.

use super::{House, Told, objects};
use crate::api::doors::Doors;
use serde_json::{Value, json};

const HELLO: &str = "QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN";
/// Of an empty folder.
const EMPTY: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";

#[tokio::test]
async fn a_file_is_added_as_kubo_adds_it_and_read_back() {
    let house = house();

    let added = house.add("add", &[("hello.txt", FILE, "hello\n")]).await;

    assert_eq!(added, [json!({"Name": "hello.txt", "Hash": HELLO, "Size": "14"})]);
    assert_eq!(house.bytes(&format!("cat?arg={HELLO}")).await, "hello\n");
    assert_eq!(house.bytes(&format!("cat?arg=/ipfs/{HELLO}&offset=1&length=3")).await, "ell");
    assert_eq!(house.bytes(&format!("cat?arg={HELLO}&arg={HELLO}&offset=4&length=4")).await, "o\nhe");
    assert_eq!(house.bytes(&format!("cat?arg={HELLO}&offset=99")).await, "");
    let told = house.tell(&format!("cat?arg={HELLO}"), "text/plain", "").await;
    assert_eq!(told.headers["x-content-length"], "6");
    assert_eq!(told.headers["x-stream-output"], "1");
    assert_eq!(told.headers["content-type"], "text/plain");
}

#[tokio::test]
async fn a_file_without_a_name_is_called_by_its_cid() {
    let added = house().add("add", &[("", FILE, "hello\n")]).await;

    assert_eq!(added, [json!({"Name": HELLO, "Hash": HELLO, "Size": "14"})]);
}

#[tokio::test]
async fn a_folder_is_added_listed_and_got() {
    let house = house();
    let parts = [
        ("top", FOLDER, ""),
        ("top%2Fempty", FOLDER, ""),
        ("top%2Fa+b", FILE, "hello\n"),
        ("top%2Flink", SYMLINK, "../else"),
        ("top%2Fdeep%2Fer%2Ffile", FILE, "x"),
    ];

    let added = house.add("add?pin-name=mine", &parts).await;

    let names: Vec<_> = added.iter().map(|line| line["Name"].as_str().unwrap()).collect();
    assert_eq!(names.last(), Some(&"top"));
    for name in ["top/empty", "top/a b", "top/link", "top/deep/er/file", "top/deep/er", "top/deep"] {
        assert_eq!(names.iter().filter(|named| **named == name).count(), 1, "{name} in {names:?}");
    }
    let root = added.last().unwrap()["Hash"].as_str().unwrap();
    let listed = house.object(&format!("ls?arg={root}")).await;
    let links = listed["Objects"][0]["Links"].as_array().unwrap();
    let of = |name: &str| links.iter().find(|link| link["Name"] == name).unwrap();
    assert_eq!((&of("empty")["Hash"], &of("empty")["Type"]), (&json!(EMPTY), &json!(1)));
    assert_eq!((&of("a b")["Hash"], &of("a b")["Size"], &of("a b")["Type"]), (&json!(HELLO), &json!(6), &json!(2)));
    assert_eq!((&of("link")["Target"], &of("link")["Type"]), (&json!("../else"), &json!(4)));
    assert_eq!(listed["Objects"][0]["Hash"], root);
    let streamed = house.objects(&format!("ls?arg={root}&stream=true")).await;
    assert_eq!(streamed.len(), 4);
    assert_eq!(streamed[0]["Objects"][0]["Links"].as_array().unwrap().len(), 1);
    assert_eq!(house.bytes(&format!("cat?arg={root}/deep/er/file")).await, "x");
    let mut files = vec![];
    let archive = house.bytes(&format!("get?arg={root}")).await;
    for entry in tar::Archive::new(&archive[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = vec![];
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        let path = entry.path().unwrap().to_str().unwrap().trim_end_matches('/').replacen(root, "top", 1);
        files.push((path, String::from_utf8(bytes).unwrap()));
    }
    let files: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_str())).collect();
    assert_eq!(
        files,
        [
            ("top", ""),
            ("top/a b", "hello\n"),
            ("top/deep", ""),
            ("top/deep/er", ""),
            ("top/deep/er/file", "x"),
            ("top/empty", ""),
            ("top/link", "")
        ]
    );
    let pins = house.object(&format!("pin/ls?arg={root}&names=true")).await;
    assert_eq!(pins["Keys"][root], json!({"Type": "recursive", "Name": "mine"}));
}

#[tokio::test]
async fn import_parameters_decide_cids_as_they_do_in_kubo() {
    let house = house();
    let cases = [
        ("cid-version=1", "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"),
        ("raw-leaves=true", "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"),
        ("profile=unixfs-v1-2025", "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"),
        ("cid-version=1&raw-leaves=false&cid-base=base58btc", "zdj7WbTaiJT1fgatdet9Ei9iDB5hdCxkbVyhyh8YTUnXMiwYi"),
        (
            "hash=sha2-256&cid-version=0&chunker=size-262144&inline=false&inline-limit=32&nocopy=false&silent=false",
            HELLO,
        ),
    ];
    for (parameters, cid) in cases {
        let call = format!("add?only-hash=true&{parameters}");
        let added = house.add(&call, &[("x", FILE, "hello\n")]).await;
        let hash = added[0]["Hash"].as_str().unwrap();
        if parameters.contains("base58btc") {
            assert!(hash.starts_with("zdj7W"), "{hash}");
        } else {
            assert_eq!(hash, cid, "{parameters}");
        }
    }
    assert_eq!(house.object("repo/stat").await["NumObjects"], 0, "only-hash keeps nothing");
    for parameters in [
        "chunker=rabin",
        "hash=md5",
        "cid-version=2",
        "to-files=/x",
        "pin=false&pin-name=x",
        "cid-version=0&hash=sha2-512",
    ] {
        let told = house.upload(&format!("add?{parameters}"), &[("x", FILE, "hello\n")]).await;
        assert_eq!(
            (told.status.as_u16(), &told.headers["x-cidra-exit"].to_str().unwrap()),
            (400, &"2"),
            "{parameters}"
        );
    }
}

#[tokio::test]
async fn a_wrapped_file_keeps_its_name_and_several_are_several_roots() {
    let house = house();

    let wrapped = house.add("add?wrap-with-directory=true", &[("a.txt", FILE, "hello\n")]).await;
    let several = house.add("add?pin=false", &[("a", FILE, "hello\n"), ("b", FOLDER, "")]).await;

    assert_eq!(wrapped[0], json!({"Name": "a.txt", "Hash": HELLO, "Size": "14"}));
    assert_eq!(wrapped[1]["Name"], "");
    let root = wrapped[1]["Hash"].as_str().unwrap();
    assert_eq!(house.bytes(&format!("cat?arg={root}/a.txt")).await, "hello\n");
    assert_eq!(several[1], json!({"Name": "b", "Hash": EMPTY, "Size": "4"}));
    let pins = house.object("pin/ls?type=recursive").await;
    assert_eq!(pins["Keys"].as_object().unwrap().keys().collect::<Vec<_>>(), [root]);
}

#[tokio::test]
async fn progress_is_told_for_each_file() {
    let big = "x".repeat(600 * 1024);

    let added = house().add("add?progress=true&pin=false", &[("big", FILE, &big), ("none", FILE, "")]).await;

    let told: Vec<_> = added.iter().filter(|line| line.get("Hash").is_none()).cloned().collect();
    assert_eq!(told.last(), Some(&json!({"Name": "none", "Bytes": 0})));
    assert!(told.contains(&json!({"Name": "big", "Bytes": big.len()})), "{told:?}");
}

#[tokio::test]
async fn what_is_not_an_upload_is_refused() {
    let house = house();

    let (status, exit, message) = house.error("add").await;
    assert_eq!((status, &*exit), (400, "2"), "{message}");
    let told = house.tell("add", &content_type(), format!("--{BOUNDARY}--\r\n")).await;
    assert_eq!(told.error().2, "expected a file argument");
    let told = house.tell("add", &content_type(), format!("--{BOUNDARY}\r\n\r\nhalf a fi")).await;
    assert_eq!(told.error().2, "the upload was cut short");
    assert_eq!(house.object("pin/ls").await, json!({}));
}

#[tokio::test]
async fn pins_come_and_go() {
    let house = house();
    let added = house.add("add?pin=false", &[("d%2Ff", FILE, "hello\n")]).await;
    let root = added.last().unwrap()["Hash"].as_str().unwrap();

    assert_eq!(house.object(&format!("pin/add?arg={root}&name=n1")).await, json!({"Pins": [root]}));

    let all = house.object("pin/ls").await;
    assert_eq!(all["Keys"][root], json!({"Type": "recursive", "Name": ""}));
    assert_eq!(all["Keys"][HELLO], json!({"Type": "indirect", "Name": ""}));
    assert_eq!(house.object("pin/ls?type=direct").await, json!({}));
    let streamed = house.objects("pin/ls?stream=true&name=n").await;
    assert_eq!(streamed, [json!({"Cid": root, "Type": "recursive", "Name": "n1"})]);
    let indirect = house.object(&format!("pin/ls?arg={HELLO}")).await;
    assert_eq!(indirect["Keys"][HELLO]["Type"], format!("indirect through {root}"));
    let removed = house.objects(&format!("block/rm?arg={HELLO}&arg={root}")).await;
    assert_eq!(removed[0]["Error"], format!("pinned: indirect through {root}"));
    assert_eq!(removed[1]["Error"], "pinned: recursive");
    assert_eq!(
        house.error(&format!("pin/rm?arg={HELLO}")).await.2,
        format!("{HELLO}: not pinned or pinned indirectly")
    );
    assert!(
        house.error(&format!("pin/add?arg={root}&recursive=false")).await.2.ends_with("already pinned recursively")
    );

    assert_eq!(house.object(&format!("pin/rm?arg={root}")).await, json!({"Pins": [root]}));

    assert_eq!(house.object("pin/ls").await, json!({}));
    let progress = house.objects(&format!("pin/add?arg={HELLO}&progress=true")).await;
    assert_eq!(progress.last(), Some(&json!({"Pins": [HELLO]})));
}

#[tokio::test]
async fn blocks_are_put_read_counted_and_removed() {
    let house = house();

    let told = house.upload("block/put?cid-codec=raw", &[("data", FILE, "hello\n")]).await;

    let key = "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am";
    assert_eq!(objects(&told.body), [json!({"Key": key, "Size": 6})]);
    assert_eq!(house.bytes(&format!("block/get?arg={key}")).await, "hello\n");
    assert_eq!(house.object(&format!("block/stat?arg={key}")).await, json!({"Key": key, "Size": 6}));
    assert_eq!(house.objects("refs/local").await, [json!({"Ref": key, "Err": ""})]);
    assert_eq!(house.object("repo/stat").await["NumObjects"], 1);
    let verified = house.objects("repo/verify").await;
    assert_eq!(verified.last().unwrap()["Msg"], "verify complete, all blocks validated.");
    assert_eq!(house.objects(&format!("block/rm?arg={key}")).await, [json!({"Hash": key})]);
    let gone = house.objects(&format!("block/rm?arg={key}")).await;
    assert_eq!(gone[0]["Error"], format!("ipld: could not find {key}"));
    assert_eq!(house.objects(&format!("block/rm?arg={key}&force=true")).await, [json!({"Hash": key})]);
    let (status, exit, message) = house.error(&format!("block/get?arg={key}&offline=true")).await;
    assert_eq!((status, &*exit), (500, "3"), "{message}");
    let too_big = "x".repeat(2 * 1024 * 1024 + 1);
    let told = house.upload("block/put", &[("a", FILE, &too_big[1..]), ("b", FILE, &too_big)]).await;
    assert_eq!(objects(&told.body).len(), 1, "the largest block is taken");
    assert!(told.trailers["x-stream-error"].to_str().unwrap().contains("2MiB"));
}

#[tokio::test]
async fn wrong_arguments_are_usage_errors_and_missing_content_is_missing() {
    let house = house();
    house.add("add", &[("d%2Ff", FILE, "hello\n")]).await;
    for call in [
        "cat",
        "cat?arg=rubbish",
        "name/resolve?arg=rubbish",
        "pin/ls?type=odd",
        "cat?arg=x&offset=-1",
        "id?arg=nobody",
        "swarm/connect?arg=/ip4/x",
        "ping?arg=QmX&count=0",
        "block/rm?arg=zz",
        "config",
    ] {
        let (status, exit, message) = house.error(call).await;
        assert_eq!((status, &*exit), (400, "2"), "{call}: {message}");
    }
    let absent = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
    for call in [
        format!("cat?arg={absent}"),
        format!("ls?arg={absent}/x"),
        format!("pin/add?arg={absent}"),
        format!("cat?arg={HELLO}/no/such"),
        "ls?arg=/ipns/example.org".to_owned(),
    ] {
        let (status, exit, message) = house.error(&format!("{call}&offline=true")).await;
        assert_eq!((status, &*exit), (500, "3"), "{call}: {message}");
    }
    for call in ["swarm/peers", "swarm/addrs", "shutdown", "cidra/health"] {
        let (status, exit, message) = house.error(call).await;
        assert_eq!((status, &*exit), (500, "1"), "{call}: {message}");
    }
}

/// Numbers of Kubo 0.43.
#[tokio::test]
async fn permissions_and_times_are_listed_as_kubo_lists_them() {
    let house = house();
    let call = "add?mode=0754&mtime=1701388800&mtime-nsecs=500000000";
    let added = house.add(call, &[("top", FOLDER, ""), ("top%2Fs.sh", FILE, "x")]).await;
    let root = added.last().unwrap()["Hash"].as_str().unwrap();

    let listed = house.object(&format!("ls?arg={root}")).await;
    let link = &listed["Objects"][0]["Links"][0];
    assert_eq!((&link["Mode"], &link["ModTime"]), (&json!(0o754), &json!("2023-12-01T00:00:00.5Z")));
}

#[tokio::test]
async fn a_folder_that_comes_again_is_the_same_folder() {
    let files = ["top%2Fa%2F1", "top%2Fb", "top%2Fa%2F2", "top%2Fa%2Fdeep%2F3", "top%2Fc", "top%2Fa%2Fdeep%2F4"];
    let mut in_order = files;
    in_order.sort_by_key(|name| name.replace("top%2Fa%2Fdeep", "top%2Fa%2F~"));
    let mut roots = vec![];
    for order in [in_order, files] {
        let mut parts = vec![("top", FOLDER, "")];
        for name in &order {
            // As clients do that name the folders above a file each time.
            parts.extend(name.starts_with("top%2Fa").then_some(("top%2Fa", FOLDER, "")));
            parts.push((name, FILE, name));
        }
        let added = house().add("add?pin=false", &parts).await;
        let names: Vec<_> = added.iter().map(|line| line["Name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(names.iter().filter(|name| *name == "top/a").count(), 1, "{names:?}");
        roots.push(added.last().unwrap().clone());
    }
    assert_eq!(roots[0], roots[1]);
}

#[tokio::test]
async fn a_file_is_listed_as_its_parts() {
    let house = house();
    let big = house.add("add?chunker=size-5", &[("x", FILE, "hello\n")]).await;

    let listed = house.object(&format!("ls?arg={}", big[0]["Hash"].as_str().unwrap())).await;
    let parts = listed["Objects"][0]["Links"].as_array().unwrap();

    let shown: Vec<_> = parts.iter().map(|part| (&part["Name"], &part["Size"], &part["Type"])).collect();
    assert_eq!(shown, [(&json!(""), &json!(5), &json!(2)), (&json!(""), &json!(1), &json!(2))]);
    house.add("add", &[("x", FILE, "hello\n")]).await;
    assert_eq!(house.object(&format!("ls?arg={HELLO}")).await["Objects"], json!([{"Hash": HELLO, "Links": []}]));
}

#[tokio::test]
async fn arguments_may_be_piped_in() {
    let house = house();
    house.add("add?pin=false", &[("x", FILE, "hello\n")]).await;

    let told = house.upload("pin/add", &[("", FILE, &format!("{HELLO}\n\n /ipfs/{HELLO} \n"))]).await;
    let most = "x\n".repeat(1024 * 512);
    let longest = house.upload("pin/add", &[("", FILE, &most)]).await;
    let longer = house.upload("pin/add", &[("", FILE, &format!("{most}\n"))]).await;

    assert_eq!(objects(&told.body), [json!({"Pins": [HELLO, HELLO]})]);
    assert!(longest.error().2.contains("is not a CID"), "{}", longest.text());
    assert!(longer.error().2.contains("more than"), "{}", longer.text());
}

#[tokio::test]
async fn the_node_says_what_it_is() {
    let house = house();

    let version = house.object("version").await;
    let id = house.object("id").await;

    assert_eq!(version["Version"], "0.43.0");
    assert!(version["AgentVersion"].as_str().unwrap().starts_with("cidra/"));
    assert_eq!(id["ID"], house.node.peer_id().to_string());
    assert!(id["PublicKey"].as_str().unwrap().starts_with("CAES"), "an Ed25519 key in protobuf");
    assert_eq!(house.object("config?arg=identity.peerid").await["Value"], id["ID"]);
    assert!(house.error("config?arg=Identity.PrivKey").await.2.contains("PrivKey"));
    let introducers = house.object("config/show").await["Bootstrap"].as_array().map(Vec::len);
    assert_eq!(introducers, Some(7), "those of the public network");
    let commands = house.object("commands").await;
    assert!(commands["Subcommands"].as_array().unwrap().iter().any(|command| command["Name"] == "pin"));
}

const FILE: &str = "application/octet-stream";
const FOLDER: &str = "application/x-directory";
const SYMLINK: &str = "application/symlink";
const BOUNDARY: &str = "----a boundary";

fn house() -> House {
    House::new(|_| Doors::local())
}

fn content_type() -> String {
    format!("multipart/form-data; boundary=\"{BOUNDARY}\"")
}

impl House {
    async fn add(&self, call: &str, parts: &[(&str, &str, &str)]) -> Vec<Value> {
        let told = self.upload(call, parts).await;
        assert!(told.status.is_success() && told.trailers.is_empty(), "{} {:?}", told.text(), told.trailers);
        objects(&told.body)
    }

    async fn upload(&self, call: &str, parts: &[(&str, &str, &str)]) -> Told {
        let mut body = String::new();
        for (name, kind, content) in parts {
            body += &format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
                 Abspath-Encoded: %2Fhome%2Fme\r\nContent-Type: {kind}\r\n\r\n{content}\r\n"
            );
        }
        body += &format!("--{BOUNDARY}--\r\n");
        self.tell(call, &content_type(), body).await
    }
}
