//! The console blocks of a document, run as they stand there: one shell for the whole document, a home of its own, no network.
//!
//! After "$ " stands a command, after "> " what goes on with it; other lines are what it prints, on either channel. `…` in a line
//! stands for any text, alone in a line for any lines. A command exits with 0; the last one of a block with N where the block
//! begins with "```console exit=N". A comment `<!-- before: COMMAND -->` is run, and not shown to readers.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use cidra_tests::Program;
use rustix::process::{Pid, Signal, kill_process_group};

/// A command and what it should print.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Where in the document, counted from 1.
    pub(crate) line: usize,
    pub(crate) command: String,
    /// None: whatever it likes.
    pub(crate) printed: Option<String>,
    pub(crate) exit: i32,
}

/// The first line of a block that is fenced, where it stands, and its lines.
pub(crate) struct Block<'a> {
    pub(crate) line: usize,
    pub(crate) info: &'a str,
    pub(crate) lines: Vec<&'a str>,
}

/// All fenced blocks; comments that are to be run are blocks, too, of the kind "before".
pub(crate) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = vec![];
    let mut open: Option<Block<'_>> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(info)) => open = Some(Block { line: number + 1, info: info.trim(), lines: vec![] }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.lines.push(line),
            (None, None) => {
                let hidden = line.strip_prefix("<!-- before: ").and_then(|rest| rest.strip_suffix(" -->"));
                blocks.extend(hidden.map(|command| Block { line: number + 1, info: "before", lines: vec![command] }));
            }
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

/// The steps of all console blocks.
pub(crate) fn steps(text: &str) -> Vec<Step> {
    let mut steps = vec![];
    for block in blocks(text) {
        let exit = match block.info.split_once(" exit=") {
            _ if block.info == "before" => {
                steps.push(Step { line: block.line, command: block.lines[0].to_owned(), printed: None, exit: 0 });
                continue;
            }
            Some(("console", exit)) => exit.parse().expect("exit=NUMBER"),
            None if block.info == "console" => 0,
            _ => continue,
        };
        let first = steps.len();
        for (number, line) in block.lines.iter().enumerate() {
            if let Some(command) = line.strip_prefix("$ ") {
                let printed = Some(String::new());
                steps.push(Step { line: block.line + number + 1, command: command.to_owned(), printed, exit: 0 });
                continue;
            }
            assert!(steps.len() > first, "line {}: a console begins with a command", block.line + 1);
            let step = steps.last_mut().expect("just counted");
            match line.strip_prefix("> ") {
                Some(more) if step.printed.as_deref() == Some("") => step.command += &format!("\n{more}"),
                _ => *step.printed.get_or_insert_default() += &format!("{line}\n"),
            }
        }
        if let Some(last) = steps[first..].last_mut() {
            last.exit = exit;
        }
    }
    steps
}

/// Runs the steps in `home`, with these folders before those of `PATH`; what is wrong with them.
pub(crate) fn run(steps: &[Step], home: &Path, folders: &[&Path]) -> Vec<String> {
    let script: String = steps.iter().map(|step| format!("{}\nprintf '\\036%s\\036' $?\n", step.command)).collect();
    fs::write(home.join(".steps"), script).expect("the test's own folder");
    let own = Program::Cidra.path();
    let mut path: Vec<_> = vec![own.parent().expect("it stands in a folder").to_owned()];
    path.extend(folders.iter().map(|folder| (*folder).to_owned()));
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut command = Command::new("bash");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CIDRA_")) {
        command.env_remove(name);
    }
    command
        .args(["-c", "exec 2>&1; timeout --foreground \"$0\" bash .steps", &LIMIT.as_secs().to_string()])
        .current_dir(home)
        .env("HOME", home)
        .env("PATH", env::join_paths(path).expect("no colon in them"))
        .env("NO_COLOR", "1")
        .env("LC_ALL", "C.UTF-8")
        // A daemon that is started as readers start it takes free ports and meets nobody.
        .env("CIDRA_LISTEN", "/ip4/127.0.0.1/tcp/0")
        .env("CIDRA_API_LISTEN", "/ip4/127.0.0.1/tcp/0")
        .env("CIDRA_GATEWAY_LISTEN", "none")
        .env("CIDRA_BOOTSTRAP", "none")
        .env("CIDRA_NO_MDNS", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    // To a file: what runs on in the background would keep a pipe open.
    let transcript = home.join(".printed");
    command.stdout(fs::File::create(&transcript).expect("the test's own folder"));
    let mut child = command.spawn().expect("bash is installed");
    let group = Pid::from_child(&child);
    child.wait().expect("our own child");
    // It fails where nothing runs on.
    let _ = kill_process_group(group, Signal::KILL);
    let printed = fs::read(&transcript).expect("just made");
    judge(steps, &String::from_utf8_lossy(&printed))
}

/// For a whole document.
const LIMIT: Duration = Duration::from_secs(100);

fn judge(steps: &[Step], transcript: &str) -> Vec<String> {
    let mut parts = transcript.split('\u{1e}');
    let mut wrong = vec![];
    for step in steps {
        let (Some(printed), Some(exit)) = (parts.next(), parts.next()) else {
            wrong.push(format!("line {}: it did not come to `{}`", step.line, step.command));
            break;
        };
        let is_like = step.printed.as_deref().is_none_or(|wanted| matches(wanted, printed));
        if !is_like || exit != step.exit.to_string() {
            let wanted = step.printed.as_deref().unwrap_or_default();
            wrong.push(format!(
                "line {}: $ {}\n{printed}exit {exit}, where the document has\n{wanted}exit {}\n",
                step.line, step.command, step.exit
            ));
        }
    }
    wrong
}

/// Whether a text is like a pattern, in which `…` stands for anything within a line or, alone in a line, for any lines.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<&str>, Vec<&str>) = (pattern.lines().collect(), text.lines().collect());
    lines_match(&pattern, &text)
}

fn lines_match(pattern: &[&str], text: &[&str]) -> bool {
    match (pattern, text) {
        ([], text) => text.is_empty(),
        (["…", rest @ ..], text) => (0..=text.len()).any(|skipped| lines_match(rest, &text[skipped..])),
        ([first, rest @ ..], [line, below @ ..]) => line_matches(first, line) && lines_match(rest, below),
        (_, []) => false,
    }
}

fn line_matches(pattern: &str, line: &str) -> bool {
    let Some((before, after)) = pattern.split_once('…') else { return pattern == line };
    let Some(rest) = line.strip_prefix(before) else { return false };
    rest.char_indices().map(|(index, _)| index).chain([rest.len()]).any(|index| line_matches(after, &rest[index..]))
}

#[test]
fn what_is_not_as_written_is_noticed() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let document = "\
        ```console\n$ echo one; echo two\none\ntwo\n$ printf 'a b c\\n'\na … c\n$ echo wrong\nright\n```\n\
        <!-- before: name=value -->\n```console exit=3\n$ for i in 1 2\n> do echo $i\n> done\n…\n2\n$ echo $name >&2; (exit 3)\nvalue\n```\n\
        ```console\n$ false\n```\n```sh\necho not run > ran\n```\n";

    let wrong = run(&steps(document), home.path(), &[]);

    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].contains("line 7") && wrong[0].contains("right"), "{wrong:?}");
    assert!(wrong[1].contains("$ false") && wrong[1].contains("exit 1"), "{wrong:?}");
    assert!(!home.path().join("ran").exists());
}
