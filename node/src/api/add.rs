//! `add`: files and folders as Kubo's clients send them.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use cid::Cid;
use cidra_content::unixfs::Metadata;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Failure, Output, Shape, stream};
use super::call::{Call, CidForm};
use super::multipart::{Part, PartKind};
use super::upload::{Piece, Upload};
use super::wishes::Wishes;
use crate::add::{Added, Entry, Import, ImportOptions, Pin};
use crate::node::Node;

pub(super) async fn add(State(node): State<Node>, headers: HeaderMap, call: Call, body: Body) -> Answer {
    let mut upload = Upload::new(&headers, body)?;
    let wishes = match Wishes::of(&call) {
        Ok(wishes) => wishes,
        Err(failure) => {
            upload.drain().await;
            return Err(failure);
        }
    };
    stream(&call, Shape::Objects, |output| async move {
        let result = import(&node, wishes, &mut upload, &output).await;
        if result.is_err() {
            upload.drain().await;
        }
        result
    })
    .await
}

async fn import(node: &Node, wishes: Wishes, upload: &mut Upload, output: &Output) -> Result<(), Failure> {
    // Some clients name files in no order, and the folders above them again each time.
    let mut options = ImportOptions { revisits: true, ..wishes.options() };
    // Kubo gives a pin no name that nobody asked for.
    if let Pin::Yes { name } = &mut options.pin {
        name.get_or_insert_default();
    }
    let mut telling = Telling::new(&wishes);
    let mut import = node.import(options).await?;
    let mut folders = Folders::default();
    let mut symlink: Option<Symlink> = None;
    let mut is_empty = true;
    loop {
        let piece = upload.next().await?;
        if let Some(Piece::Data(bytes)) = piece {
            match &mut symlink {
                Some(link) if link.target.len() + bytes.len() > MAX_TARGET => {
                    return Err(Failure::usage(format!("the target of a symlink is longer than {MAX_TARGET} bytes")));
                }
                Some(link) => link.target.extend_from_slice(&bytes),
                None => {
                    telling.read(bytes.len(), output).await;
                    import.data(bytes).await?;
                }
            }
            telling.added(import.durable(), output).await;
            continue;
        }
        telling.ended(output).await;
        if let Some(Symlink { path, target, metadata }) = symlink.take() {
            import.entry_with(&path, Entry::Symlink(target), metadata).await?;
        }
        let Some(Piece::Part(part)) = piece else { break };
        is_empty = false;
        symlink = begin(&mut import, &mut folders, &mut telling, part, &wishes).await?;
        telling.added(import.durable(), output).await;
    }
    if is_empty {
        return Err(Failure::usage("expected a file argument"));
    }
    let added = finish(node, import, &wishes).await?;
    telling.added(added, output).await;
    Ok(())
}

/// Linux has no longer targets, in bytes.
const MAX_TARGET: usize = 4096;

/// A symlink whose target is being read.
struct Symlink {
    path: Vec<u8>,
    target: Vec<u8>,
    metadata: Metadata,
}

/// A part and the folders above it that were not named. Gives a symlink, whose target comes as data.
async fn begin(
    import: &mut Import,
    folders: &mut Folders,
    telling: &mut Telling,
    part: Part,
    wishes: &Wishes,
) -> Result<Option<Symlink>, Failure> {
    if part.path.is_empty() && part.kind == PartKind::Directory {
        return Ok(None);
    }
    let path = match &part.path[..] {
        [] if wishes.wrap => {
            return Err(Failure::usage("a file without a name cannot be wrapped: name it (stdin-name)"));
        }
        [] => NAMELESS.to_vec(),
        path => path.join(&b'/'),
    };
    for folder in folders.enter(&part) {
        let is_named = part.kind == PartKind::Directory && folder == path;
        let given = if is_named { part.metadata } else { Metadata::default() };
        import.entry_with(&folder, Entry::Directory, wishes.metadata(true, given)).await?;
    }
    let metadata = wishes.metadata(false, part.metadata);
    match part.kind {
        PartKind::Directory => {}
        PartKind::Symlink => return Ok(Some(Symlink { path, target: vec![], metadata })),
        PartKind::File => {
            import.entry_with(&path, Entry::File, metadata).await?;
            telling.began(&path);
        }
    }
    Ok(None)
}

/// What stands for the path of a file without a name, such as standard input.
pub(super) const NAMELESS: &[u8] = b"(no name)";

/// Ends an import and has its roots announced; what was not reported yet, roots last.
pub(super) async fn finish(node: &Node, import: Import, wishes: &Wishes) -> Result<Vec<Added>, Failure> {
    let added = import.finish().await?;
    if wishes.announce {
        let roots = added.iter().filter(|added| added.is_root && wishes.wrap == added.path.is_empty());
        node.announce(&roots.map(|added| added.cid).collect::<Vec<Cid>>()).await?;
    }
    Ok(added)
}

/// Which folders were entered, for senders that name files only.
#[derive(Default)]
struct Folders {
    entered: Vec<Vec<u8>>,
}

impl Folders {
    /// The folders that begin with this part, outermost first, itself among them when it is one.
    fn enter(&mut self, part: &Part) -> Vec<Vec<u8>> {
        let (wanted, is_folder) = match part.kind {
            PartKind::Directory => (&part.path[..], true),
            _ => (&part.path[..part.path.len().saturating_sub(1)], false),
        };
        if is_folder && self.entered.starts_with(wanted) {
            return vec![];
        }
        let common = self.entered.iter().zip(wanted).take_while(|(a, b)| a == b).count();
        self.entered = wanted.to_vec();
        (common + 1..=wanted.len()).map(|end| wanted[..end].join(&b'/')).collect()
    }
}

/// Tells the caller what was read and what was added.
struct Telling {
    progress: bool,
    silent: bool,
    form: CidForm,
    reading: Option<(String, u64, u64)>,
}

impl Telling {
    fn new(wishes: &Wishes) -> Self {
        Self { progress: wishes.progress, silent: wishes.silent, form: wishes.form, reading: None }
    }

    fn began(&mut self, path: &[u8]) {
        if self.progress {
            self.reading = Some((name_of(path), 0, 0));
        }
    }

    async fn read(&mut self, length: usize, output: &Output) {
        let Some((name, read, told)) = &mut self.reading else { return };
        *read += length as u64;
        if *read - *told >= TELL_EVERY {
            *told = *read;
            output.object(&json!({"Name": name, "Bytes": read})).await;
        }
    }

    /// The file is at its end.
    async fn ended(&mut self, output: &Output) {
        if let Some((name, read, _)) = self.reading.take() {
            output.object(&json!({"Name": name, "Bytes": read})).await;
        }
    }

    async fn added(&self, added: Vec<Added>, output: &Output) {
        for added in added.iter().filter(|added| !self.silent || added.is_root) {
            output.object(&line(added, &self.form)).await;
        }
    }
}

/// Progress is told after so many more bytes of a file, as in Kubo.
const TELL_EVERY: u64 = 256 * 1024;

/// Kubo's line: a file without a name is called by its CID.
pub(super) fn line(added: &Added, form: &CidForm) -> Map<String, Value> {
    let hash = form.text(&added.cid);
    let name = if added.path == NAMELESS { hash.clone() } else { name_of(&added.path) };
    let line = [("Name", name), ("Hash", hash), ("Size", added.tsize.to_string())];
    line.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect()
}

fn name_of(path: &[u8]) -> String {
    if path == NAMELESS { String::new() } else { String::from_utf8_lossy(path).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_nobody_named_are_entered_once() {
        let mut folders = Folders::default();
        let mut enter = |path: &str, kind| {
            let path = path.split('/').map(|name| name.as_bytes().to_vec()).collect();
            let entered = folders.enter(&Part { path, kind, ..Part::default() });
            entered.into_iter().map(|path| String::from_utf8(path).unwrap()).collect::<Vec<_>>()
        };

        assert_eq!(enter("a/b/one", PartKind::File), ["a", "a/b"]);
        assert_eq!(enter("a/b/two", PartKind::File), [""; 0]);
        assert_eq!(enter("a/b", PartKind::Directory), [""; 0]);
        assert_eq!(enter("a/c", PartKind::Directory), ["a/c"]);
        assert_eq!(enter("a/c/three", PartKind::Symlink), [""; 0]);
        assert_eq!(enter("d", PartKind::Directory), ["d"]);
        assert_eq!(enter("five", PartKind::File), [""; 0]);
        assert_eq!(enter("d", PartKind::Directory), ["d"], "it was left");
    }
}
