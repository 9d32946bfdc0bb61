//! What is ours alone: trees of files both ways, for the command line, and whether this node is ready.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Extension, State};
use bytes::Bytes;
use cidra_content::exchange::Order;
use cidra_content::fetch::{LARGE, Selector};
use cidra_content::unixfs::{Entity, Metadata, Time};
use serde_json::{Value, json};

use super::add::{NAMELESS, finish};
use super::answer::{Answer, Failure, Output, Shape, one, stream};
use super::call::Call;
use super::cat::length;
use super::doors::Way;
use super::framing::Framing;
use super::id::AGENT;
use super::outlet::{Outlet, Reply};
use super::tree::{Decoder, Entry, Failed, Frame, Kind, Mtime, TreeError};
use super::upload::Chunks;
use super::wishes::Wishes;
use crate::add::{Added, Entry as Imported, Pin};
use crate::download::{Download, DownloadEvent, FetchOptions, State as Progress};
use crate::node::Node;

/// A tree of frames in, a file in it perhaps only named; notes `{"Name", "Hash", "Size"}` out, each when it is durable, then `End` or `Error`.
pub(super) async fn add(State(node): State<Node>, Extension(way): Extension<Way>, call: Call, body: Body) -> Answer {
    let mut body = Chunks::new(body);
    let wishes = match Wishes::of(&call) {
        Ok(wishes) => wishes,
        Err(failure) => {
            body.drain().await;
            return Err(failure);
        }
    };
    stream(&call, TREE, |output| async move {
        let result = import(&node, way, wishes, &mut body, &output).await;
        send_end(&output, result.as_ref().map(|_| ())).await;
        if result.is_err() {
            body.drain().await;
        }
        Ok(())
    })
    .await
}

pub(super) const TREE: Shape = Shape::Bytes(axum::http::HeaderValue::from_static("application/vnd.cidra.tree"), None);

/// Imports a tree, and tells of what is durable; the last of its roots, if there is any.
pub(super) async fn import(
    node: &Node,
    way: Way,
    wishes: Wishes,
    body: &mut Chunks,
    output: &Output,
) -> Result<Option<Added>, Failure> {
    let mut frames = Frames { decoder: Decoder::default(), body };
    let mut next = frames.next().await?;
    let mut options = wishes.options();
    if let (Frame::Entry(entry), Pin::Yes { name }) = (&next, &mut options.pin)
        && entry.path.is_empty()
    {
        // It has no name that the pin could take.
        name.get_or_insert_default();
    }
    let mut import = node.import(options).await?;
    let mut told = Instant::now();
    let mut read = 0;
    loop {
        match next {
            Frame::Entry(entry) => {
                if entry.path.is_empty() && wishes.wrap {
                    return Err(Failure::usage("a file without a name cannot be wrapped: name it with --stdin-name"));
                }
                let path = if entry.path.is_empty() { NAMELESS } else { &entry.path[..] };
                let what = match entry.kind {
                    Kind::Directory => Imported::Directory,
                    Kind::File => Imported::File,
                    Kind::Symlink => Imported::Symlink(entry.target.unwrap_or_default()),
                };
                let given = Metadata {
                    mode: entry.mode,
                    mtime: entry.mtime.map(|time| Time { seconds: time.secs, nanoseconds: time.nanos }),
                };
                let metadata = wishes.metadata(what == Imported::Directory, given);
                match entry.source.map(|file| OsString::from_vec(file).into()) {
                    None => import.entry_with(path, what, metadata).await?,
                    Some(_) if way == Way::Port => {
                        return Err(Failure::usage(
                            "a file is named (--nocopy): that works on the repository's socket alone",
                        ));
                    }
                    Some(file) => {
                        import.refer(path, file, metadata).await?;
                        while let Some(length) = import.read().await? {
                            read += length as u64;
                            send_added(import.durable(), &wishes, output).await?;
                            tell(read, &mut told, output).await?;
                        }
                    }
                }
            }
            Frame::Data(bytes) => {
                read += bytes.len() as u64;
                import.data(bytes).await?;
            }
            Frame::Note(_) => {}
            Frame::Error(failed) => return Err(Failure::failed(failed.message)),
            Frame::End => break,
        }
        send_added(import.durable(), &wishes, output).await?;
        tell(read, &mut told, output).await?;
        next = frames.next().await?;
    }
    let added = finish(node, import, &wishes).await?;
    let root = added.last().filter(|added| added.is_root).cloned();
    send_added(added, &wishes, output).await?;
    Ok(root)
}

async fn tell(read: u64, told: &mut Instant, output: &Output) -> Result<(), Failure> {
    if told.elapsed() < TELL_EVERY {
        return Ok(());
    }
    *told = Instant::now();
    send_note(output, json!({"Bytes": read})).await
}

/// How much was read is told this often.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// The frames of a body.
struct Frames<'a> {
    decoder: Decoder,
    body: &'a mut Chunks,
}

impl Frames<'_> {
    async fn next(&mut self) -> Result<Frame, Failure> {
        loop {
            if let Some(frame) = self.decoder.next().map_err(|error| Failure::misused(&error))? {
                return Ok(frame);
            }
            match self.body.next().await? {
                Some(bytes) => self.decoder.push(bytes),
                None => return Err(Failure::misused(&TreeError::CutShort)),
            }
        }
    }
}

async fn send_added(added: Vec<Added>, wishes: &Wishes, output: &Output) -> Result<(), Failure> {
    for added in added {
        output.bytes(Frame::Note(wishes.line(&added)).encode()?).await;
    }
    Ok(())
}

pub(super) async fn send_note(output: &Output, value: Value) -> Result<(), Failure> {
    output.bytes(note(value).encode()?).await;
    Ok(())
}

/// What is told is an object.
fn note(value: Value) -> Frame {
    match value {
        Value::Object(note) => Frame::Note(note),
        _ => Frame::Note(serde_json::Map::new()),
    }
}

pub(super) async fn send_end(output: &Output, result: Result<(), &Failure>) {
    let frame = match result {
        Ok(()) => Frame::End,
        Err(failure) => Frame::Error(Failed::new(failure.message(), failure.exit())),
    };
    output.bytes(frame.encode().expect("messages of failures are cut to fit")).await;
}

/// A path in; the tree that it names out, with notes of the progress. The first note is `{"Hash"}`, what the path led to.
///
/// With an outlet the note `{"Place"}` asks where a file is to be written, whose size it gives, and `{"Placed"}` where it stands.
pub(super) async fn get(State(node): State<Node>, outlet: Option<Extension<Outlet>>, call: Call) -> Answer {
    let path = call.path(&node).await?;
    let options = FetchOptions { order: Order::Any, ..call.fetch_options()? };
    let form = call.cid_form()?;
    let cid = node.resolve(&path, &options).await?;
    stream(&call, TREE, |output| async move {
        let result: Result<(), Failure> = async {
            let mut framing = Framing::new(output.clone());
            framing.put(note(json!({"Hash": form.text(&cid)}))).await?;
            framing.flush().await;
            let mut download = node.download(cid, Selector::Entity { range: None }, options);
            if outlet.is_some() {
                download = download.in_place();
            }
            while let Some(event) = download.next().await {
                let mut next = Some(event?);
                while let Some(event) = next {
                    let ask = outlet.as_ref().and_then(|_| Ask::after(&event));
                    if let Some(frame) = frame(event) {
                        framing.put(frame).await?;
                    }
                    if let (Some(Extension(outlet)), Some(ask)) = (&outlet, ask) {
                        framing.flush().await;
                        ask.put(outlet, &mut download, &output).await?;
                    }
                    next = download.try_next();
                }
                framing.flush().await;
            }
            framing.put(note(progress(&download.state().await))).await?;
            framing.flush().await;
            Ok(())
        }
        .await;
        send_end(&output, result.as_ref().copied()).await;
        Ok(())
    })
    .await
}

/// What the command line is asked.
enum Ask {
    /// Where a file of so many bytes shall be written.
    Place(u64),
    /// Where the file is, now that it is whole.
    Placed(u64),
}

impl Ask {
    fn after(event: &DownloadEvent) -> Option<Self> {
        match event {
            DownloadEvent::File { path, size, .. } if path.is_empty() && *size >= LARGE => Some(Self::Place(*size)),
            DownloadEvent::Placed { size } => Some(Self::Placed(*size)),
            _ => None,
        }
    }

    async fn put(self, outlet: &Outlet, download: &mut Download, output: &Output) -> Result<(), Failure> {
        send_note(
            output,
            match self {
                Self::Place(size) => json!({"Place": size}),
                Self::Placed(size) => json!({"Placed": size}),
            },
        )
        .await?;
        match (self, outlet.reply().await) {
            (Self::Place(size), Some(Reply::Into(file, path))) => {
                let shown = path.display().to_string();
                let placed = download.place(file, path, size);
                placed.map_err(|error| Failure::failed(format!("cannot write {shown}: {error}"))).map(|_| ())
            }
            (Self::Placed(_), Some(Reply::Stands(path))) => Ok(download.settle(path).await?),
            _ => Ok(()),
        }
    }
}

fn frame(event: DownloadEvent) -> Option<Frame> {
    let entry = match event {
        DownloadEvent::Directory { path, metadata } => entry(&path, Kind::Directory, metadata),
        DownloadEvent::File { path, size, metadata } => {
            Entry { size: Some(size), ..entry(&path, Kind::File, metadata) }
        }
        DownloadEvent::Symlink { path, target, metadata } => {
            Entry { target: Some(target.to_vec()), ..entry(&path, Kind::Symlink, metadata) }
        }
        DownloadEvent::Bytes(bytes) => return Some(Frame::Data(bytes)),
        DownloadEvent::State(state) => return Some(note(progress(&state))),
        DownloadEvent::Placed { .. } => return None,
    };
    Some(Frame::Entry(entry))
}

fn entry(path: &[Bytes], kind: Kind, metadata: Metadata) -> Entry {
    let mtime = metadata.mtime.map(|time| Mtime { secs: time.seconds, nanos: time.nanoseconds });
    Entry { mode: metadata.mode, mtime, ..Entry::new(path.join(&b'/'), kind) }
}

fn progress(state: &Progress) -> Value {
    json!({
        "Blocks": state.progress.blocks,
        "Bytes": state.progress.bytes,
        "Total": state.progress.total,
        "Received": state.received,
        "Peers": state.peers,
        "Waiting": state.waiting,
    })
}

/// Answers with what this is once it is ready, and fails where no daemon is.
pub(super) async fn health(State(node): State<Node>) -> Answer {
    if !node.is_daemon() {
        return Err(Failure::failed("a command holds this repository, no daemon runs: start one with `cidra daemon`"));
    }
    let peers = match node.running_network() {
        Some(network) => network.peers().await.len(),
        None if node.settings().offline => 0,
        None => return Err(Failure::failed("the daemon is starting: its network is not up")),
    };
    Ok(one(&json!({
        "Status": "ready",
        "AgentVersion": AGENT,
        "ID": node.peer_id().to_string(),
        "Peers": peers,
        "Offline": node.settings().offline,
    })))
}

/// What a path names: `{"Hash", "Type", "Size"}`.
pub(super) async fn stat(State(node): State<Node>, call: Call) -> Answer {
    let options = call.fetch_options()?;
    let cid = node.resolve(&call.path(&node).await?, &options).await?;
    let entity = node.entity(&cid, &options).await?;
    let kind = match entity {
        Entity::Directory(_) | Entity::Shard(_) => "directory",
        Entity::Symlink(_) => "symlink",
        Entity::File(_) | Entity::Raw(_) => "file",
    };
    Ok(one(&json!({"Hash": call.cid_form()?.text(&cid), "Type": kind, "Size": length(&entity)})))
}
