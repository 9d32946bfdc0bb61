//! What is in the tree: `ls`, `stat` and `read`.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::with_patience;
use crate::api::date::Date;
use crate::cli::answer::parse;
use crate::cli::call::Call;
use crate::cli::failure::Outcome;
use crate::cli::output::printable;
use crate::cli::progress::Progress;
use crate::cli::session::Session;
use crate::cli::units::show_bytes;

/// List a folder of the tree
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra files ls -l /photos")]
pub(super) struct List {
    /// The folder
    #[arg(default_value = "/", hide_default_value = true)]
    path: String,
    /// Print CIDs and sizes, too
    #[arg(short, long)]
    long: bool,
    /// In the folder's own order
    #[arg(short = 'U')]
    unsorted: bool,
}

const FIELDS: &str =
    "<hash>, <size>, <cumulsize>, <childs>, <type>, <mode>, <mode-octal>, <mtime>, <mtime-secs>, <mtime-nsecs>";

/// Print the CID and sizes of a path, in the tree or below a CID
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra files stat --hash /\n  cidra files stat --size /ipfs/CID")]
pub(super) struct Stat {
    /// A path in the tree, or /ipfs/CID
    path: String,
    #[arg(long, conflicts_with_all = ["hash", "size"], value_name = "FORMAT", help = FIELDS)]
    format: Option<String>,
    /// Print the CID only
    #[arg(long, conflicts_with = "size")]
    hash: bool,
    /// Print the bytes of all its blocks only
    #[arg(long)]
    size: bool,
    /// Say how much of it is here
    #[arg(long)]
    with_local: bool,
}

/// Write a file of the tree to standard output
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra files read -o 1000 -n 24 /notes.txt")]
pub(super) struct Read {
    /// The file
    path: String,
    /// Begin at this byte
    #[arg(short, long, default_value_t = 0, hide_default_value = true, value_name = "BYTES")]
    offset: u64,
    /// Write at most so many bytes
    #[arg(short = 'n', long, value_name = "BYTES")]
    count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    entries: Option<Vec<Entry>>,
}

/// One entry, with the RPC's fields.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    name: String,
    r#type: u8,
    size: u64,
    hash: String,
}

pub(super) async fn list(arguments: List, session: &mut Session) -> Outcome {
    let call = Call::new("files/ls").argument(&arguments.path).flag("long", arguments.long || session.output.is_json());
    let line = session.client.send(with_patience(call, session)).await?.only_line().await?;
    let mut entries = parse::<Listing>(&line)?.entries.unwrap_or_default();
    if !arguments.unsorted {
        entries.sort_by(|left, right| left.name.cmp(&right.name));
    }
    for entry in entries {
        if session.output.is_json() {
            session.output.object(&entry)?;
            continue;
        }
        let name = printable(&entry.name);
        match arguments.long {
            true => {
                let slash = if entry.r#type == FOLDER { "/" } else { "" };
                session.output.line(format_args!("{name}{slash}\t{}\t{}", entry.hash, entry.size))?;
            }
            false => session.output.line(name)?,
        }
    }
    session.output.flush()
}

/// The type of a folder in `files/ls`.
const FOLDER: u8 = 1;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    hash: String,
    size: u64,
    cumulative_size: u64,
    blocks: u64,
    r#type: String,
    #[serde(default)]
    with_locality: bool,
    #[serde(default)]
    size_local: u64,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    mtime: i64,
    #[serde(default)]
    mtime_nsecs: u32,
}

pub(super) async fn stat(arguments: Stat, session: &mut Session) -> Outcome {
    let call = Call::new("files/stat").argument(&arguments.path).flag("with-local", arguments.with_local);
    let line = session.client.send(with_patience(call, session)).await?.only_line().await?;
    if session.output.is_json() {
        session.output.raw_line(&line)?;
        return session.output.flush();
    }
    let stat: Described = parse(&line)?;
    let format = match (&arguments.format, arguments.hash, arguments.size) {
        (_, true, _) => "<hash>",
        (_, _, true) => "<cumulsize>",
        (Some(format), ..) => format,
        (None, ..) => FORMAT,
    };
    session.output.line(printable(&stat.show(format)))?;
    if stat.with_locality {
        let share = 100.0 * stat.size_local as f64 / stat.cumulative_size.max(1) as f64;
        let (local, whole) = (show_bytes(stat.size_local), show_bytes(stat.cumulative_size));
        session.output.line(format_args!("Local: {local} of {whole} ({share:.2}%)"))?;
    }
    session.output.flush()
}

/// Kubo's.
const FORMAT: &str = "<hash>\nSize: <size>\nCumulativeSize: <cumulsize>\nChildBlocks: <childs>\nType: <type>\nMode: <mode> (<mode-octal>)\nMtime: <mtime>";
const UNSET: &str = "not set";

impl Described {
    fn show(&self, format: &str) -> String {
        let mode = u32::from_str_radix(&self.mode, 8).ok().filter(|mode| *mode != 0);
        let has_time = self.mtime > 0;
        let or_unset = |text: Option<String>| text.unwrap_or_else(|| UNSET.to_owned());
        let tokens = [
            ("<hash>", self.hash.clone()),
            ("<size>", self.size.to_string()),
            ("<cumulsize>", self.cumulative_size.to_string()),
            ("<childs>", self.blocks.to_string()),
            ("<type>", self.r#type.clone()),
            ("<mode>", or_unset(mode.map(letters))),
            ("<mode-octal>", or_unset(mode.map(|mode| format!("0{:o}", mode & 0o777)))),
            ("<mtime>", or_unset(has_time.then(|| Date::of(self.mtime, 0).map(|date| spoken(&date))).flatten())),
            ("<mtime-secs>", or_unset(has_time.then(|| self.mtime.to_string()))),
            ("<mtime-nsecs>", or_unset(has_time.then(|| self.mtime_nsecs.to_string()))),
        ];
        tokens.iter().fold(format.to_owned(), |text, (token, value)| text.replace(token, value))
    }
}

/// As Kubo writes a time: `2 Jan 2006, 15:04:05 UTC`.
fn spoken(date: &Date) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS[usize::from(date.month) - 1];
    let Date { year, day, hour, minute, second, .. } = date;
    format!("{day} {month} {year}, {hour:02}:{minute:02}:{second:02} UTC")
}

/// A mode as `ls -l` writes it; it comes with Go's bits for what it is the mode of.
fn letters(mode: u32) -> String {
    let kind = match mode {
        mode if mode & 1 << 31 != 0 => 'd',
        mode if mode & 1 << 27 != 0 => 'l',
        _ => '-',
    };
    let letters = "rwxrwxrwx".chars().enumerate();
    let shown = letters.map(|(at, letter)| if mode & 1 << (8 - at) == 0 { '-' } else { letter });
    std::iter::once(kind).chain(shown).collect()
}

pub(super) async fn read(arguments: Read, session: &mut Session) -> Outcome {
    let progress = Progress::start(session.shows_progress(), format!("looking for {}", arguments.path));
    let call = Call::new("files/read").argument(&arguments.path).option("offset", arguments.offset.to_string());
    let call = with_patience(call.maybe("count", arguments.count), session);
    session.pour(call, progress).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_people_read_them() {
        assert_eq!(letters(0o644), "-rw-r--r--");
        assert_eq!(letters(1 << 31 | 0o755), "drwxr-xr-x");
        assert_eq!(letters(1 << 27 | 0o777), "lrwxrwxrwx");
        let date = Date::of(1_630_937_926, 0).expect("a date");
        assert_eq!(spoken(&date), "6 Sep 2021, 14:18:46 UTC");
    }
}
