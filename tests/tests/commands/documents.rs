//! Every command line in a document is run: those in console blocks here, those in shell blocks by the scripts that are named.

use std::path::{Path, PathBuf};
use std::{fs, thread};

use cidra_tests::kubo;

use crate::console::{blocks, run, steps};

/// Shell blocks, by the line that they begin with, and what runs them.
const ELSEWHERE: &[(&str, &str)] = &[
    ("cargo run -- daemon", ".ci/tour"),
    ("cargo build", ".ci/tour"),
    ("echo \"Hello from the other side of the network.\" > /tmp/hello.txt", ".ci/tour"),
    ("target/debug/cidra --repo /tmp/b --bootstrap", ".ci/tour"),
    ("target/debug/cidra --repo /tmp/a send", "tests/tests/send.rs"),
    ("target/debug/cidra --repo /tmp/a send", ".ci/tour"),
    ("docker compose up -d --wait", ".ci/compose"),
    ("cargo test --workspace", ".ci/run"),
];

#[test]
fn the_documents_say_what_happens() {
    let documents = documents();
    assert!(documents.len() > 4, "{documents:?}");
    thread::scope(|scope| {
        for document in &documents {
            scope.spawn(|| check(document));
        }
    });
}

fn check(document: &Path) {
    let text = fs::read_to_string(document).expect("a document is text");
    let name = document.file_name().expect("a file").to_string_lossy().into_owned();
    for block in blocks(&text).iter().filter(|block| matches!(block.info, "sh" | "bash" | "shell" | "")) {
        let first = block.lines.first().copied().unwrap_or_default();
        let known = ELSEWHERE.iter().any(|(begins, _)| first.starts_with(begins));
        let is_plain = block.info.is_empty() && !block.lines.iter().any(|line| line.contains("cidra "));
        assert!(known || is_plain, "{name}:{}: nobody runs this; write it as a console block", block.line);
    }
    let steps = steps(&text);
    if steps.is_empty() {
        return;
    }
    let mut folders = vec![];
    if steps.iter().any(|step| step.command.contains("ipfs ")) {
        match kubo::program() {
            Ok(program) => folders.push(program.parent().expect("a file stands in a folder").to_owned()),
            Err(reason) => return println!("skipped: {name}: {reason}"),
        }
    }
    let home = tempfile::Builder::new().prefix("cidra-").tempdir().expect("a temporary folder");
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    let wrong = run(&steps, home.path(), &folders);
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let in_folder = |folder: &Path| {
        let entries = fs::read_dir(folder).expect("a folder of the workspace").flatten().map(|entry| entry.path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect::<Vec<_>>()
    };
    let mut documents = [in_folder(root), in_folder(&root.join("docs"))].concat();
    documents.sort();
    documents
}
