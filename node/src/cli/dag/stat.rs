//! `cidra dag stat`: how large DAGs are, and how much they share.

use std::fmt::Write as _;

use clap::Args;
use serde::Deserialize;

use crate::cli::answer::parse;
use crate::cli::call::Call;
use crate::cli::content_argument::{Content, Fetching};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::progress::Progress;
use crate::cli::session::Session;

/// Print how many blocks and bytes DAGs have, and how much they share
#[derive(Args, Clone)]
#[command(after_help = "Example:\n  cidra dag stat CID\n  cidra dag stat CID CID")]
pub(super) struct Arguments {
    /// Roots: CIDs, or paths under them
    #[arg(required = true, value_name = "CID[/PATH]")]
    paths: Vec<Content>,
    #[command(flatten)]
    fetching: Fetching,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Summary {
    unique_blocks: u64,
    total_size: u64,
    shared_size: u64,
    /// Only the last object has one, unless there is nothing at all.
    ratio: f32,
    dag_stats: Vec<Dag>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Dag {
    cid: String,
    size: u64,
    num_blocks: u64,
}

pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Outcome {
    let shows = session.shows_progress();
    let mut progress = Progress::start(shows, format!("looking for {}", arguments.paths[0].text));
    let call = Call::new("dag/stat").arguments(&arguments.paths).flag("progress", shows);
    let call = arguments.fetching.into_call(call, &session.global);
    let mut answer = progress.watch(session.client.send(call)).await?;
    let mut last = None;
    while let Some(line) = progress.watch(answer.line()).await? {
        let summary: Summary = parse(&line)?;
        let blocks: u64 = summary.dag_stats.iter().map(|dag| dag.num_blocks).sum();
        progress.set(summary.dag_stats.iter().map(|dag| dag.size).sum(), None);
        progress.say(format!("{blocks} blocks"));
        last = Some((line, summary));
    }
    drop(progress);
    let (line, summary) = last.ok_or_else(|| Failure::failed("the answer is empty"))?;
    match session.output.is_json() {
        true => session.output.raw_line(&line)?,
        false => session.output.line(summary.table())?,
    }
    session.output.flush()
}

impl Summary {
    /// As Kubo prints it, empty lines included.
    fn table(&self) -> String {
        let width = self.dag_stats.first().map_or(0, |dag| dag.cid.len());
        let mut text = format!("\n{:<width$}\t{:<15}\tSize\n", "CID", "Blocks");
        for Dag { cid, size, num_blocks } in &self.dag_stats {
            writeln!(text, "{cid}\t{num_blocks:<15}\t{size}").expect("a text takes all");
        }
        let (total, shared) = (metric(self.total_size), metric(self.shared_size));
        write!(
            text,
            "\nSummary\nTotal Size: {} ({total})\nUnique Blocks: {}\nShared Size: {} ({shared})\nRatio: {:.6}\n\n",
            self.total_size, self.unique_blocks, self.shared_size, self.ratio
        )
        .expect("a text takes all");
        text
    }
}

/// As Kubo shows sizes: powers of a thousand, one digit behind the point below ten.
fn metric(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    let rounded = (size * 10.0 + 0.5).floor() / 10.0;
    let digits = usize::from(rounded < 10.0 && unit > 0);
    format!("{rounded:.digits$} {}", UNITS[unit])
}

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

#[cfg(test)]
mod tests {
    use super::*;

    /// Taken from Kubo 0.43.
    #[test]
    fn the_table_is_that_of_kubo() {
        let cid = "QmRXBVVbLzA5ogLdyrMMcZCzqJYRu6QbCyn3PUVNj3wXUE";
        let dag = Dag { cid: cid.to_owned(), size: 57, num_blocks: 2 };
        let summary =
            Summary { unique_blocks: 2, total_size: 57, ratio: 1.0, dag_stats: vec![dag], ..Summary::default() };

        let head = format!("\nCID{}\tBlocks         \tSize\n{cid}\t2              \t57\n", " ".repeat(43));
        let tail = "\nSummary\nTotal Size: 57 (57 B)\nUnique Blocks: 2\nShared Size: 0 (0 B)\nRatio: 1.000000\n\n";
        assert_eq!(summary.table(), head + tail);
    }

    #[test]
    fn sizes_are_in_powers_of_a_thousand() {
        for (bytes, text) in [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (600_461, "600 kB"), (82_854_982, "83 MB")]
        {
            assert_eq!(metric(bytes), text);
        }
    }
}
