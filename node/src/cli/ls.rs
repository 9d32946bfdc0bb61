//! `cidra ls`: what is in a folder.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::content_argument::{Content, Fetching};
use super::failure::Outcome;
use super::output::printable;
use super::progress::Progress;
use super::session::Session;
use crate::api::date::Date;

/// List folders: CID, size and name of each entry
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra ls bafybei…/photos\n  cidra ls --long CID")]
pub(super) struct Arguments {
    /// A folder: a CID, a path under one, an ipfs:// address or that of a gateway page
    #[arg(required = true, value_name = "CID[/PATH]")]
    paths: Vec<Content>,
    /// Print a line with the names of the columns first
    #[arg(long)]
    headers: bool,
    /// Print the size of each entry
    #[arg(long, action = clap::ArgAction::SetFalse)]
    size: bool,
    /// Find out whether an entry is a folder
    #[arg(long, action = clap::ArgAction::SetFalse)]
    resolve_type: bool,
    /// Print permissions and times (UTC) too, where `add` kept them, and - where it did not
    #[arg(short, long)]
    long: bool,
    /// Print entries as they come; they always are
    #[arg(short, long, hide = true)]
    stream: bool,
    #[command(flatten)]
    fetching: Fetching,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    objects: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    hash: String,
    #[serde(default)]
    links: Option<Vec<Link>>,
}

/// One entry, with the RPC's fields.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Link {
    name: String,
    hash: String,
    #[serde(default)]
    size: u64,
    #[serde(default, rename = "Type")]
    kind: i32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    target: String,
    /// As Go has it; none is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    mode: u32,
    #[serde(default, skip_serializing_if = "is_never")]
    mod_time: String,
}

fn is_zero(mode: &u32) -> bool {
    *mode == 0
}

fn is_never(time: &str) -> bool {
    time.is_empty() || time == "0001-01-01T00:00:00Z"
}

impl Link {
    fn is_folder(&self) -> bool {
        [DIRECTORY, SHARD].contains(&self.kind)
    }
}

/// UnixFS's numbers.
const DIRECTORY: i32 = 1;
const SHARD: i32 = 5;

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    let mut progress = Progress::start(session.shows_progress(), format!("looking for {}", arguments.paths[0].text));
    let several = arguments.paths.len() > 1;
    let columns = Columns { size: arguments.size, long: arguments.long, now: now() };
    let call = Call::new("ls")
        .arguments(&arguments.paths)
        .flag("stream", true)
        .flag("size", arguments.size)
        .flag("resolve-type", arguments.resolve_type);
    let call = arguments.fetching.into_call(call, &session.global);
    let mut answer = progress.watch(session.client.send(call)).await?;
    let mut folder = None;
    while let Some(listing) = progress.watch(answer.object::<Listing>()).await? {
        progress.before_output();
        for listed in listing.objects {
            if folder.as_ref() != Some(&listed.hash) && !session.output.is_json() {
                if several {
                    let gap = if folder.is_some() { "\n" } else { "" };
                    session.output.line(format_args!("{gap}{}:", listed.hash))?;
                }
                if arguments.headers {
                    session.output.line(columns.headers())?;
                }
            }
            for link in listed.links.unwrap_or_default() {
                columns.print(&link, session)?;
            }
            folder = Some(listed.hash);
        }
        if !answer.has_line() {
            session.output.flush()?;
        }
    }
    session.output.flush()
}

/// What is printed of an entry.
struct Columns {
    size: bool,
    long: bool,
    now: u64,
}

impl Columns {
    fn headers(&self) -> &'static str {
        match (self.long, self.size) {
            (false, false) => "Hash Name",
            (false, true) => "Hash Size Name",
            (true, false) => "Mode Hash ModTime Name",
            (true, true) => "Mode Hash Size ModTime Name",
        }
    }

    fn print(&self, link: &Link, session: &mut Session) -> Outcome {
        if session.output.is_json() {
            return session.output.object(link);
        }
        let name = printable(&link.name);
        let slash = if link.is_folder() { "/" } else { "" };
        let size = if link.is_folder() { "-".to_owned() } else { link.size.to_string() };
        let hash = &link.hash;
        match (self.long, self.size) {
            (false, false) => session.output.line(format_args!("{hash} {name}{slash}")),
            (false, true) => session.output.line(format_args!("{hash} {size} {name}{slash}")),
            (true, with_size) => {
                let (mode, time) = (mode_text(link.mode), time_text(&link.mod_time, self.now));
                let size = if with_size { format!("{size:<10} ") } else { String::new() };
                session.output.line(format_args!("{mode:<10} {hash} {size}{time:<12} {name}{slash}"))
            }
        }
    }
}

/// A mode of Go's as `ls -l` shows modes.
fn mode_text(mode: u32) -> String {
    if mode == 0 {
        return "-".to_owned();
    }
    let kind = [(31, 'd'), (27, 'l')].into_iter().find(|(bit, _)| mode >> bit & 1 == 1).map_or('-', |(_, kind)| kind);
    let mut text = String::from(kind);
    for (place, letter) in "rwxrwxrwx".chars().enumerate() {
        text.push(if mode >> (8 - place) & 1 == 1 { letter } else { '-' });
    }
    // Each stands in the place of the x of the owner, the group and the others.
    for (bit, place, letter) in [(23, 3, "s"), (22, 6, "s"), (20, 9, "t")] {
        if mode >> bit & 1 == 1 {
            let executable = &text[place..=place] == "x";
            text.replace_range(place..=place, &if executable { letter.to_owned() } else { letter.to_uppercase() });
        }
    }
    text
}

/// A time as `ls -l` shows it: with the hour where it is of the last six months, else with the year.
fn time_text(text: &str, now: u64) -> String {
    let Some(date) = Date::parse(text).filter(|_| !is_never(text)) else { return "-".to_owned() };
    let at = |seconds: u64| i64::try_from(seconds).ok().and_then(|seconds| Date::of(seconds, 0));
    let is_recent = at(now.saturating_sub(HALF_A_YEAR)) < Some(date) && Some(date) < at(now + DAY);
    let month = MONTHS[usize::from(date.month - 1)];
    match is_recent {
        true => format!("{month} {:02} {:02}:{:02}", date.day, date.hour, date.minute),
        false => format!("{month} {:02}  {:04}", date.day, date.year),
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// In seconds, as `ls` has it.
const HALF_A_YEAR: u64 = 31_556_952 / 2;
const DAY: u64 = 86_400;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).as_ref().map_or(0, Duration::as_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Modes and lines of Kubo 0.43.
    #[test]
    fn modes_and_times_are_shown_as_kubo_shows_them() {
        for (mode, text) in [
            (0, "-"),
            (420, "-rw-r--r--"),
            (8_389_101, "-rwsr-xr-x"),
            (2_148_532_735, "drwxrwxrwt"),
            (1 << 31 | 1 << 20, "d--------T"),
            (1 << 27 | 1 << 22 | 0o777, "lrwxrwsrwx"),
        ] {
            assert_eq!(mode_text(mode), text);
        }
        let now = 1_795_293_810; // 21 November 2026
        for (time, text) in [
            ("", "-"),
            ("0001-01-01T00:00:00Z", "-"),
            ("2026-10-15T10:30:01.5Z", "Oct 15 10:30"),
            ("2023-12-01T00:00:00Z", "Dec 01  2023"),
            ("2026-11-22T00:00:00Z", "Nov 22 00:00"),
            ("2026-11-24T00:00:00Z", "Nov 24  2026"),
        ] {
            assert_eq!(time_text(time, now), text);
        }
    }
}
