//! `cidra get`: content to files.

mod folder;
mod sink;
mod target;
mod tree;
mod writer;

use std::path::PathBuf;

use cidra_content::path::ContentPath;
use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::sink::Saved;
use self::target::Target;
use self::writer::Writer;
use super::call::Call;
use super::content_argument::{Content, Fetching, Place};
use super::failure::{Exit, Failure, Outcome};
use super::progress::Progress;
use super::session::Session;
use crate::api::outlet::{Outlet, Reply};
use crate::api::tree::{Frame, Kind};

/// Fetch content and save it to files
#[derive(Args, Clone)]
#[command(
    after_help = "Example:\n  cidra get CID -o photos\n  cidra get 'ipfs://CID?filename=film.mp4' --peer /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…"
)]
pub(super) struct Arguments {
    /// A file or a folder: a CID, a path under one, an ipfs:// address or that of a gateway page
    #[arg(value_name = "CID[/PATH]")]
    path: Content,
    /// Save it here; an existing folder, or a `/` at the end, puts it inside
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Replace files that are there and different
    #[arg(short, long)]
    force: bool,
    /// Make at most so many files and folders
    #[arg(long, value_name = "N", default_value_t = MAX_ENTRIES)]
    max_entries: u64,
    #[command(flatten)]
    fetching: Fetching,
}

/// A folder of a few kilobytes can name the same file millions of times, and a file system has only so many. Twice as many as
/// the largest folder that is tested.
const MAX_ENTRIES: u64 = 2_000_000;

/// How it stands, as the node tells from time to time, and what it asks.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    bytes: u64,
    /// Where a file of so many bytes is to be written.
    place: Option<u64>,
    /// Where the file of so many bytes is, now that it is written.
    placed: Option<u64>,
    total: Option<u64>,
    received: u64,
    peers: u64,
}

/// Where the content is, and its text for the RPC. A name is resolved once, so that all that is fetched is of one version.
async fn located(arguments: &Arguments, session: &mut Session) -> Outcome<(ContentPath, String)> {
    let name = match &arguments.path.place {
        Place::Content(path) => return Ok((path.clone(), arguments.path.text.clone())),
        Place::Name(name) => name,
    };
    let mut progress = Progress::start(session.shows_progress(), format!("asking for {}", name.name));
    let call = arguments.fetching.clone().into_call(Call::new("resolve").argument(&arguments.path), &session.global);
    let answer = progress.watch(session.client.send(call)).await?;
    let text = progress.watch(answer.only::<Located>()).await?.path;
    let mut path = ContentPath::parse(&text).map_err(|error| Failure::because("the name leads nowhere", &error))?;
    let last = name.segments.last().unwrap_or(&name.name);
    path.filename = name.filename.clone().or_else(|| Some(last.clone().into_bytes()));
    Ok((path, text))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Located {
    path: String,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    let (path, text) = located(&arguments, session).await?;
    let cid = path.cid.to_string();
    let target = Target::choose(&path, arguments.output.as_deref())?;
    let mut writer = Writer::new(target, arguments.force, arguments.max_entries)?;
    let searching = format!("looking for providers of {cid}");
    let mut progress = Progress::start(session.shows_progress(), &searching);
    let call = Call::new("cidra/get").argument(text);
    let call = arguments.fetching.into_call(call, &session.global);
    let (outlet, replies) = Outlet::new();
    let call = call.outlet(session.is_host().then_some(outlet));
    let mut answer = progress.watch(session.client.send(call)).await?;
    let mut received = 0;
    let mut begun = false;
    let mut bytes = 0;
    let mut is_placed = false;
    loop {
        match progress.watch(answer.frame()).await? {
            Some(Frame::Entry(entry)) => {
                if !begun {
                    begun = true;
                    if entry.kind == Kind::File
                        && let Some(size) = entry.size
                    {
                        progress.set_total(size);
                    }
                }
                writer.entry(entry)?;
            }
            Some(Frame::Data(data)) => {
                writer.data(&data)?;
                bytes += data.len() as u64;
                progress.advance(data.len() as u64);
            }
            Some(Frame::Note(note)) => {
                let state: State = serde_json::from_value(Value::Object(note.clone())).unwrap_or_default();
                // Whoever asked is gone when it does not take the answer.
                if state.place.is_some() {
                    let part = writer.part_file()?;
                    is_placed = part.is_some();
                    let _ = replies.try_send(part.map_or(Reply::Bytes, |(file, path)| Reply::Into(file, path)));
                }
                if let Some(placed) = state.placed {
                    bytes = placed;
                    let path = writer.placed(placed)?;
                    let _ = replies.try_send(path.map_or(Reply::Bytes, Reply::Stands));
                }
                if is_placed {
                    progress.reach(state.bytes);
                }
                show(&state, &searching, &mut received, &mut progress);
                report(&note, session)?;
            }
            Some(Frame::Error(failed)) => return Err(Failure::new(Exit::from_code(failed.exit), failed.message)),
            Some(Frame::End) | None => break,
        }
    }
    let path = writer.path();
    let saved = writer.finish()?;
    drop(progress);
    let lossy = path.to_string_lossy();
    let line = match (session.output.is_json(), saved) {
        (true, saved) => session.output.object(
            &json!({"Event": "Done", "Hash": cid, "Path": lossy, "Bytes": bytes, "Already": saved == Saved::Already}),
        ),
        (false, Saved::Now) => session.output.line(format_args!("Saving file(s) to {lossy}")),
        (false, Saved::Already) => session.output.line(format_args!("{lossy} is there already, identical")),
    };
    // The files are there, whoever reads this.
    match line.and_then(|()| session.output.flush()) {
        Err(failure) if failure.exit() != Exit::ClosedPipe => Err(failure),
        _ => Ok(()),
    }
}

fn show(state: &State, searching: &str, received: &mut u64, progress: &mut Progress) {
    if let Some(total) = state.total.filter(|total| *total > 0) {
        progress.set_total(total);
    }
    if state.received > *received {
        if *received == 0 {
            progress.begin_rate();
        }
        *received = state.received;
        progress.alive();
    }
    let peers = match state.peers {
        0 => String::new(),
        1 => "1 peer".to_owned(),
        peers => format!("{peers} peers"),
    };
    progress.wait_for(if peers.is_empty() { searching.to_owned() } else { format!("waiting for {peers}") });
    progress.say(peers);
}

fn report(note: &Map<String, Value>, session: &mut Session) -> Outcome {
    if !session.output.is_json() || !note.contains_key("Blocks") {
        return Ok(());
    }
    let mut event = note.clone();
    event.insert("Event".to_owned(), "Progress".into());
    match session.output.event(&event) {
        Err(failure) if failure.exit() == Exit::ClosedPipe => Ok(()),
        result => result,
    }
}
