//! The CIDs that IPIP-499 and Kubo give for the same content, to the byte.

use bytes::Bytes;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use cidra_content::unixfs::{FileImporter, Leaf, Metadata, Parameters, Root, symlink};
use cidra_content::{Block, block, hash};
use sha2::{Digest, Sha256};

use super::shelf::Shelf;

#[test]
fn a_short_text() {
    assert_eq!(cid_of(b"hello world", Parameters::V0_2015), "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD");
    assert_eq!(
        cid_of(b"hello world", Parameters::V1_2025),
        "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    );
}

#[test]
fn exactly_one_chunk_and_one_byte_more() {
    let v0 = |size| cid_of(&keystream("chunk-v0-seed", size), Parameters::V0_2015);
    let v1 = |size| cid_of(&keystream("chunk-v1-seed", size), Parameters::V1_2025);

    assert_eq!(v0(256 << 10), "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE");
    assert_eq!(v0((256 << 10) + 1), "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ");
    assert_eq!(v1(1 << 20), "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta");
    assert_eq!(v1((1 << 20) + 1), "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64");
}

#[test]
fn a_full_node_of_chunks_and_one_byte_more() {
    let content = keystream("v0-seed", 174 * (256 << 10) + 1);

    assert_eq!(
        cid_of(&content[..content.len() - 1], Parameters::V0_2015),
        "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2"
    );
    assert_eq!(cid_of(&content, Parameters::V0_2015), "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW");
}

/// 2 GiB through the hash: by hand, with `CIDRA_SLOW=1`.
#[test]
fn a_full_node_of_large_chunks_and_one_byte_more() {
    if std::env::var_os("CIDRA_SLOW").is_none() {
        println!("skipped: CIDRA_SLOW is not set");
        return;
    }
    assert_eq!(streamed("v1-2025-seed", 1 << 30), "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm");
    assert_eq!(streamed("v1-2025-seed", (1 << 30) + 1), "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe");
}

#[test]
fn a_folder_at_the_threshold_and_one_byte_past_it_by_names_and_cids() {
    let folder = |count, length| folder_of("hamt-unixfs-v0-2015", &vec![length; count], Parameters::V0_2015);

    assert_eq!(folder(4096, 30), "QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN");
    assert_eq!(folder(4033, 31), "QmeMiJzmhpJAUgynAcxTQYek5PPKgdv3qEvFsdV3XpVnvP");
}

#[test]
fn a_folder_at_the_threshold_and_one_byte_past_it_by_its_block() {
    let folder = |last| {
        let lengths = [vec![11; 4765], vec![last]].concat();
        folder_of("hamt-unixfs-v1-2025", &lengths, Parameters::V1_2025)
    };

    assert_eq!(folder(21), "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4");
    assert_eq!(folder(22), "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu");
}

#[test]
fn a_symbolic_link() {
    // `0a 07 08 04 12 03 'f' 'o' 'o'`: type and target, no size.
    let expected = Block::new(block::DAG_PB, Bytes::from_static(b"\x0a\x07\x08\x04\x12\x03foo"));

    assert_eq!(symlink(b"foo", Metadata::default(), &Parameters::V1_2025), expected);
}

fn cid_of(content: &[u8], parameters: Parameters) -> String {
    Shelf::default().add_file(content, parameters).cid.to_string()
}

fn streamed(seed: &str, size: usize) -> String {
    let mut source = cipher(seed);
    let mut importer = FileImporter::new(Parameters::V1_2025);
    let mut left = size;
    while left > 0 {
        let mut batch = Vec::new();
        while left > 0 && batch.len() < 8 {
            let mut chunk = vec![0; left.min(1 << 20)];
            source.apply_keystream(&mut chunk);
            left -= chunk.len();
            batch.push(Bytes::from(chunk));
        }
        for block in hash::new_many(importer.leaf_kind(), batch) {
            let size = block.data().len() as u64;
            importer.push(Leaf { cid: *block.cid(), tsize: size, size });
        }
    }
    importer.finish().1.cid.to_string()
}

fn folder_of(seed: &str, name_lengths: &[usize], parameters: Parameters) -> String {
    let mut shelf = Shelf::default();
    let content = shelf.add_file(b"x", parameters);
    let mut source = cipher(seed);
    let names = name_lengths.iter().map(|&length| {
        let mut bytes = vec![0; length];
        source.apply_keystream(&mut bytes);
        bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
    });
    let entries: Vec<(String, Root)> = names.map(|name| (name, content)).collect();
    shelf.add_folder(entries.into_iter(), parameters).cid.to_string()
}

/// As Kubo's tests have it, with two zeros.
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz01234567890-_";

fn keystream(seed: &str, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    cipher(seed).apply_keystream(&mut bytes);
    bytes
}

fn cipher(seed: &str) -> ChaCha20 {
    ChaCha20::new(&Sha256::digest(seed).0.into(), &[0; 12].into())
}
