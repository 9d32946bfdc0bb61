//! Names of keys: IPNS on path, subdomain and trustless gateways: <https://specs.ipfs.tech/ipns/ipns-record/>.

use std::time::Duration;

use cidra_content::ipns::{Draft, Moment, Name, RecordError};
use cidra_node::keys::name_of;
use cidra_node::names::{now, verify};
use libp2p::identity::Keypair;

use super::house::House;

/// What a record of this key says, with no more than what the tests differ in.
fn draft(value: &str) -> Draft {
    Draft {
        value: value.to_owned(),
        validity: now().later(Duration::from_secs(3600)),
        sequence: 1,
        ttl: Duration::from_secs(1800),
        version_1: true,
    }
}

fn sign(keypair: &Keypair, draft: &Draft) -> Vec<u8> {
    let public_key = keypair.public().encode_protobuf();
    draft.sign(&public_key, |message| Ok::<_, RecordError>(keypair.sign(message).unwrap())).unwrap().to_vec()
}

/// A key whose name leads to `value`, as this node knows it.
fn published(house: &House, value: &str) -> Name {
    let keypair = Keypair::generate_ed25519();
    let record = verify(&name_of(&keypair), &sign(&keypair, &draft(value))).unwrap();
    house.node.names().keep(&record).unwrap();
    name_of(&keypair)
}

#[tokio::test]
async fn a_name_leads_to_its_content_and_is_believed_for_its_time_to_live() {
    let house = House::new().await;
    let page = house.raw("hello").await;
    let inner = house.folder(&[("page.txt", page)]).await;
    let root = house.folder(&[("inner", inner)]).await;
    let name = published(&house, &format!("/ipfs/{root}/inner"));
    let over = published(&house, &format!("/ipns/{name}"));

    for name in [name, over] {
        let answer = house.get(&format!("/ipns/{name}/page.txt")).await;

        assert_eq!((answer.status, answer.text()), (200, "hello"));
        let age: u64 = answer.header("cache-control").strip_prefix("public, max-age=").unwrap().parse().unwrap();
        assert_eq!(age, 1800);
        assert_eq!(answer.header("x-ipfs-path"), format!("/ipns/{name}/page.txt"));
        assert_eq!(answer.header("etag"), format!("\"{page}\""));
    }
}

#[tokio::test]
async fn an_answer_is_not_believed_past_the_end_of_the_record() {
    let house = House::new().await;
    let page = house.raw("hello").await;
    let keypair = Keypair::generate_ed25519();
    let short = Draft { validity: now().later(Duration::from_secs(100)), ..draft(&format!("/ipfs/{page}")) };
    let name = name_of(&keypair);
    house.node.names().keep(&verify(&name, &sign(&keypair, &short)).unwrap()).unwrap();

    for path in [format!("/ipns/{name}"), format!("/ipns/{name}?format=ipns-record")] {
        let answer = house.get(&path).await;
        let age: u64 = answer.header("cache-control").strip_prefix("public, max-age=").unwrap().parse().unwrap();
        assert!(age <= 100, "{answer:?}");
    }
}

#[tokio::test]
async fn a_record_is_given_as_it_is_and_proves_itself() {
    let house = House::with(|settings| settings.config.gateway.trustless = true).await;
    let name = published(&house, "/ipfs/bafkqaaa");
    let path = format!("/ipns/{name}");
    let accept = [("Accept", "application/vnd.ipfs.ipns-record")];

    let by_query = house.get(&format!("{path}?format=ipns-record")).await;
    let by_header = house.ask("GET", &path, &accept).await;

    for answer in [&by_query, &by_header] {
        assert_eq!(answer.status, 200);
        assert_eq!(verify(&name, &answer.body).unwrap().path(), "/ipfs/bafkqaaa");
        assert_eq!(answer.header("content-type"), "application/vnd.ipfs.ipns-record");
        assert_eq!(answer.header("cache-control"), "public, max-age=1800");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("content-disposition").starts_with("attachment; filename="), "{answer:?}");
    }
    let again = [("If-None-Match", by_query.header("etag"))];
    assert_eq!(house.ask("GET", &format!("{path}?format=ipns-record"), &again).await.status, 304);
    let named = house.get(&format!("{path}?format=ipns-record&filename=%D1%82.x")).await;
    assert!(named.header("content-disposition").contains("filename*=UTF-8''%D1%82.x"), "{named:?}");
}

#[tokio::test]
async fn a_record_is_asked_for_by_the_name_of_a_key_and_nothing_else() {
    let house = House::with(|settings| {
        settings.names.insert("example.org".to_owned(), "/ipfs/bafkqaaa".to_owned());
    })
    .await;
    let name = published(&house, "/ipfs/bafkqaaa");
    let file = house.raw("x").await;

    for path in [format!("/ipns/{name}/below"), "/ipns/example.org".to_owned(), format!("/ipfs/{file}")] {
        assert_eq!(house.get(&format!("{path}?format=ipns-record")).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn a_record_that_is_forged_contradicts_itself_or_expired_leads_nowhere() {
    let house = House::new().await;
    let keypair = Keypair::generate_ed25519();
    let name = name_of(&keypair);
    let file =
        house.node.repository().names().join(data_encoding::BASE32_NOPAD.encode(&name.to_bytes()).to_ascii_lowercase());
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let sound = sign(&keypair, &draft("/ipfs/bafkqaaa"));
    let forged = sign(&Keypair::generate_ed25519(), &draft("/ipfs/bafkqaaa"));
    let expired = sign(&keypair, &Draft { validity: Moment::default(), ..draft("/ipfs/bafkqaaa") });
    // A second value, the last of which counts for readers of version 1.
    let contradicting = [&sound[..], &[0x0a, 2, b'/', b'x']].concat();

    for (bytes, status) in [(&forged, 500), (&expired, 500), (&contradicting, 500), (&sound, 200)] {
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(house.get(&format!("/ipns/{name}")).await.status, status);
    }
    assert_eq!(house.get("/ipns/k51nonsense").await.status, 400);
}

#[tokio::test]
async fn a_key_has_one_address_whatever_it_is_called() {
    let house = House::new().await;
    let page = house.raw("hello").await;
    let name = published(&house, &format!("/ipfs/{page}"));
    let peer_id = name.peer_id();
    let in_base32 = name.in_base(cid::multibase::Base::Base32Lower);
    let as_dag_pb = cid::Cid::new_v1(0x70, *name.cid().hash());
    let as_dag_pb = as_dag_pb.to_string_of_base(cid::multibase::Base::Base36Lower).unwrap();
    let at = async |host: &str, path: &str| house.ask("GET", path, &[("Host", host)]).await;

    // On a path, a peer id is replaced by the name that is a CID.
    let answer = at("127.0.0.1", &format!("/ipns/{peer_id}/a%20b/?c=d")).await;
    assert_eq!((answer.status, answer.header("location")), (302, &format!("/ipns/{name}/a%20b/?c=d")[..]));
    assert_eq!(at("127.0.0.1", &format!("/ipns/{in_base32}")).await.text(), "hello");
    // Below the name of a gateway each key has an origin, and one only.
    let origin = format!("http://{name}.ipns.localhost/");
    for form in [&name.to_string(), &peer_id, &in_base32] {
        let answer = at("localhost", &format!("/ipns/{form}")).await;
        assert_eq!((answer.status, answer.header("location")), (301, &origin[..]), "{form}");
    }
    for label in [&in_base32, &as_dag_pb] {
        let answer = at(&format!("{label}.ipns.localhost"), "/").await;
        assert_eq!((answer.status, answer.header("location")), (301, &origin[..]), "{label}");
    }
    let answer = at(&format!("{name}.ipns.localhost"), "/").await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
}
