use proptest::prelude::*;

use super::*;

const V0: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
const V1: &str = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";

proptest! {
    #[test]
    fn any_text_is_a_path_or_an_error(text: String, path: String, query: String) {
        let _ = ContentPath::parse(&text);
        for prefix in ["", "/ipfs/", "ipfs://", "http://h/ipfs/"] {
            let _ = ContentPath::parse(&format!("{prefix}{text}"));
            let _ = ContentPath::parse(&format!("{prefix}{V1}/{path}?filename={query}"));
        }
        let _ = ContentPath::parse(&format!("https://{V1}.ipfs.{text}/{path}?{query}"));
    }

    #[test]
    fn what_is_shown_is_read_back(names in prop::collection::vec("[^/\\s]{1,9}", 0..5), plain: bool) {
        let namespace = if plain { Namespace::Ipld } else { Namespace::Ipfs };
        let segments = names.into_iter().filter(|name| name != "." && name != "..").collect();
        let path = ContentPath { namespace, cid: parse_cid(V1).expect("sound"), segments, filename: None };

        prop_assert_eq!(ContentPath::parse(&path.to_string()), Ok(path));
    }
}

#[test]
fn reads_every_form_of_one_path() {
    for text in [
        format!("{V1}/a b/c"),
        format!("/ipfs/{V1}/a b/c"),
        format!("/ipfs/{V1}//a b/./x/../c/"),
        format!("ipfs://{V1}/a%20b/c"),
        format!("ipfs:{V1}/a%20b/c"),
        format!("IPFS://{V1}/a%20b/c#part"),
        format!("https://gateway.example/ipfs/{V1}/a%20b/c?download=true"),
        format!("http://127.0.0.1:8080/ipfs/{V1}/a%20b/c"),
        format!("http://{V1}.ipfs.localhost:8080/a%20b/c"),
        format!("  {V1}/a b/c\n"),
    ] {
        let path = ContentPath::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((path.cid, path.filename), (parse_cid(V1).expect("sound"), None), "{text}");
        assert_eq!(path.segments, ["a b", "c"], "{text}");
    }
}

#[test]
fn a_path_that_stands_below_a_cid_is_taken_as_it_is() {
    let cid = parse_cid(V1).expect("sound");

    let segments = |path| ContentPath::below(cid, path).map(|path| path.segments);

    assert_eq!(segments("/ a%20//b\n"), Ok(vec![" a%20".to_owned(), "b\n".to_owned()]));
    assert_eq!(segments("/a/../.."), Err(PathError::AboveRoot));
    assert_eq!(segments(&"n".repeat(MAX_PATH + 1)), Err(PathError::TooLong { length: MAX_PATH + 1 }));
}

#[test]
fn percent_signs_and_question_marks_are_names_outside_of_uris() {
    let path = ContentPath::parse(&format!("{V0}/100%25?filename=x")).expect("a plain path");

    assert_eq!(path.segments, ["100%25?filename=x"]);
    assert_eq!((path.cid.version(), path.filename), (Version::V0, None));
}

#[test]
fn a_uri_may_propose_a_file_name() {
    let filename = |query| ContentPath::parse(&format!("ipfs://{V1}?{query}")).expect("sound").filename;

    assert_eq!(filename("filename=my%20caf%C3%A9.txt"), Some("my café.txt".into()));
    assert_eq!(filename("a=b&filename=x+y"), Some("x y".into()));
    assert_eq!(filename("filename="), None);
}

#[test]
fn reads_a_cid_in_any_base_and_only_whole() {
    let cid = parse_cid(V1).expect("sound");
    for base in [Base::Base58Btc, Base::Base36Lower, Base::Base16Lower, Base::Base64Url, Base::Base2, Base::Base32Upper]
    {
        assert_eq!(parse_cid(&multibase::encode(base, cid.to_bytes())), Ok(cid));
    }
    let why = |text: &str| match parse_cid(text) {
        Err(PathError::BadCid { why, .. }) => why,
        other => panic!("{text}: {other:?}"),
    };
    assert!(why(&V0[..45]).contains("46 characters"));
    assert!(why(&V0.replace('N', "0")).contains("base58"));
    assert!(why(&V1[..50]).contains("missing"));
    assert!(why(&multibase::encode(Base::Base16Lower, [&cid.to_bytes()[..], &[0]].concat())).contains("after its end"));
    assert!(why(&multibase::encode(Base::Base16Lower, cid.hash().to_bytes())).contains("version 0"));
    assert!(why("!hello").contains("begins as no CID"));
    assert!(why(&format!("b{}", "a".repeat(MAX_CID_TEXT))).contains("too long"));
    let inline = |length: usize| {
        let hash = multihash::Multihash::<255>::wrap(0, &vec![7; length]).expect("it fits");
        multibase::encode(Base::Base32Lower, CidGeneric::new_v1(0x55, hash).to_bytes())
    };
    assert!(parse_cid(&inline(64)).is_ok());
    assert!(why(&inline(65)).contains("more than 64 bytes"));
    assert_eq!(parse_cid(""), Err(PathError::Empty));
}

#[test]
fn says_what_is_wrong_with_a_path() {
    let error = |text: &str| ContentPath::parse(text).expect_err("wrong").to_string();

    assert!(error("").contains("no CID"));
    assert!(error("/ipfs/").contains("no CID"));
    assert!(error("/etc/passwd").contains("no CID in it"));
    assert!(error("https://example.com/index.html").contains("no CID in it"));
    assert!(error("/ipns/example.com").contains("IPNS"));
    assert!(error("http://example-com.ipns.localhost/").contains("IPNS"));
    assert!(error("ftp://x").contains("ftp:"));
    assert!(error(&format!("{V1}/..")).contains("above"));
    assert!(error(&format!("ipfs://{V1}/%2e%2E/x")).contains("above"));
    assert!(error(&format!("ipfs://{V1}/%ff")).contains("UTF-8"));
}

#[test]
fn takes_the_longest_path_and_refuses_one_byte_more() {
    let longest = format!("{V1}/{}", "n".repeat(MAX_PATH - V1.len() - 1));

    assert!(ContentPath::parse(&longest).is_ok());
    assert_eq!(ContentPath::parse(&format!("{longest}n")), Err(PathError::TooLong { length: MAX_PATH + 1 }));
}
