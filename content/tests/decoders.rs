//! Everything that decodes bytes of strangers, through the functions of the fuzz targets: their corpus, arbitrary bytes,
//! and sound input with a few bytes changed.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub)]
mod targets;

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use targets::TARGETS;

proptest! {
    #[test]
    fn arbitrary_bytes_break_no_decoder(data in prop::collection::vec(any::<u8>(), 0..300)) {
        TARGETS.iter().for_each(|(_, target)| target(&data));
    }

    #[test]
    fn changed_corpora_break_no_decoder(
        pick: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut: prop::sample::Index,
    ) {
        let corpus = corpus();
        let (_, _, mut data) = pick.get(&corpus).clone();
        for (place, byte) in changes {
            if !data.is_empty() {
                let place = place.index(data.len());
                data[place] = byte;
            }
        }
        TARGETS.iter().for_each(|(_, target)| target(&data));
        data.truncate(cut.index(data.len() + 1));
        TARGETS.iter().for_each(|(_, target)| target(&data));
    }
}

#[test]
fn the_corpus_breaks_no_decoder() {
    for (name, target) in TARGETS {
        let corpus = corpus();
        let mut inputs = corpus.iter().filter(|(target, ..)| target == name).peekable();
        assert!(inputs.peek().is_some(), "{name} has no corpus");
        for (_, file, data) in inputs {
            println!("{name}/{file}");
            target(data);
        }
    }
}

/// Target, file name and content of each input.
fn corpus() -> Vec<(String, String, Vec<u8>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let names = |folder: &PathBuf| -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder of the repository");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let mut inputs = Vec::new();
    for target in names(&root) {
        for file in names(&root.join(&target)) {
            let data = fs::read(root.join(&target).join(&file)).expect("readable");
            inputs.push((target.clone(), file, data));
        }
    }
    inputs
}
