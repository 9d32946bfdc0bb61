use proptest::prelude::*;

use super::*;

fn deny(text: &str) -> Deny {
    let mut deny = Deny::default();
    assert_eq!(deny.add("list.deny", text), []);
    deny
}

fn cid(text: &str) -> Cid {
    text.parse().unwrap()
}

const V0: &str = "QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR";
const V1: &str = "bafybeidjwik6im54nrpfg7osdvmx7zojl5oaxqel5cmsz46iuelwf5acja";
const OTHER: &str = "bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq";

#[test]
fn a_cid_stands_for_its_multihash() {
    let deny = deny(&format!("# bad things\n\n/ipfs/{V0}\n"));

    assert_eq!(deny.block(&cid(V1)), Some(Denial { list: "list.deny".into(), status: 410 }));
    assert!(deny.block(&cid(V0)).is_some() && deny.block(&cid(OTHER)).is_none());
    assert!(deny.key(&cid(V1).hash().to_bytes()).is_some() && deny.key(b"nonsense").is_none());
    assert!(deny.path(&cid(V1), &["below"]).is_none(), "paths below are not named");
}

#[test]
fn paths_are_denied_one_by_one_or_by_how_they_begin() {
    let deny = deny(&format!("/ipfs/{V1}/one/\n/ipfs/{V1}/te%20st*\n/ipfs/{OTHER}/*\n"));
    let is_denied = |root: &str, path: &[&str]| deny.path(&cid(root), path).is_some();

    assert!(is_denied(V0, &["one"]) && !is_denied(V0, &["one", "two"]) && !is_denied(V0, &[]));
    assert!(is_denied(V1, &["te st"]) && is_denied(V1, &["te stament", "x"]) && !is_denied(V1, &["te"]));
    assert!(is_denied(OTHER, &[]) && is_denied(OTHER, &["any", "thing"]));
    assert!(deny.block(&cid(OTHER)).is_some() && deny.block(&cid(V1)).is_none());
}

#[test]
fn the_last_rule_that_fits_decides() {
    let text = format!("/ipfs/{V1}/blocked*\n!/ipfs/{V1}/blockednot\n!/ipfs/{V1}/blocked/exceptions*\n");
    let mut lists = deny(&text);
    let is_denied = |deny: &Deny, path: &[&str]| deny.path(&cid(V1), path).is_some();

    assert!(is_denied(&lists, &["blocked"]) && is_denied(&lists, &["blocked", "x"]));
    assert!(!is_denied(&lists, &["blockednot"]) && !is_denied(&lists, &["blocked", "exceptions", "x"]));

    lists.add("later.deny", &format!("/ipfs/{V1}/blockednot"));
    assert_eq!(lists.path(&cid(V1), &["blockednot"]).unwrap().list, "later.deny");
}

#[test]
fn double_hashes_of_the_specification_are_understood() {
    let modern = deny("//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM\n");
    assert!(
        modern.block(&cid(V1)).is_some() && modern.block(&cid(V0)).is_some() && modern.block(&cid(OTHER)).is_none()
    );

    let blake3 = deny("//gW813G35CnLsy7gRYYHuf63hrz71U1xoLFDVeV7actx6oX\n");
    let root = cid("bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a");
    assert!(blake3.path(&root, &["path"]).is_some());
    assert!(blake3.path(&root, &["path2"]).is_none() && blake3.block(&root).is_none());

    let legacy = deny(
        "//d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7\n\
         //3f8b9febd851873b3774b937cce126910699ceac56e72e64b866f8e258d09572\n\
         //c555c4de78827ba42527dd3dc5398db38d6c0a8c345a88e0158b2d100f317e50\n",
    );
    let root = cid("bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e");
    assert!(legacy.block(&root).is_some() && legacy.path(&root, &["path"]).is_some());
    assert!(legacy.path(&root, &["other"]).is_none());
    assert!(legacy.name("bad-domain-name.tld", &[""; 0]).is_some());
}

#[test]
fn names_are_denied_before_they_are_resolved() {
    let deny = deny(
        "/ipns/domain.example\n/ipns/domain2.example/path\n\
         /ipns/k51qzi5uqu5dhmzyv3zac033i7rl9hkgczxyl81lwoukda2htteop7d3x0y1mf\n",
    );
    let none: [&str; 0] = [];

    assert!(deny.name("Domain.Example", &none).is_some() && deny.name("domain3.example", &none).is_none());
    assert!(deny.name("domain2.example", &["path"]).is_some() && deny.name("domain2.example", &none).is_none());
    assert!(deny.name("k51qzi5uqu5dhmzyv3zac033i7rl9hkgczxyl81lwoukda2htteop7d3x0y1mf", &none).is_some());
}

#[test]
fn hints_say_what_a_gateway_answers() {
    let text = format!(
        "version: 1\nname: a list\nhints:\n  gateway_status: 451\n---\n/ipfs/{V1}\n/ipfs/{OTHER} gateway_status=410\n"
    );
    let deny = deny(&text);

    assert_eq!(deny.block(&cid(V1)).unwrap().status, 451);
    assert_eq!(deny.block(&cid(OTHER)).unwrap().status, 410);
}

#[test]
fn a_line_of_nonsense_is_named_and_the_others_count() {
    let mut deny = Deny::default();

    let bad = deny.add("list.deny", &format!("name: x\n---\nnonsense\n/ipfs/nonsense\n//nonsense0\n/ipfs/{V1}\n"));

    assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [3, 4, 5]);
    assert!(deny.block(&cid(V1)).is_some());
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text: String, path: Vec<String>) {
        let mut deny = Deny::default();
        deny.add("list", &text);
        let _ = deny.path(&cid(V1), &path);
    }
}
