//! Standard output: lines for people and scripts, one JSON object a line under `--json`, raw bytes for `cat`.
//!
//! Every write that fails becomes a `Failure`, and a closed pipe a quiet one, so nothing here may use `println!`.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;

use super::failure::{Failure, Outcome};

/// Where a command's results go.
pub(super) struct Output {
    form: Form,
    writer: BufWriter<Box<dyn Write + Send>>,
    flush_lines: bool,
    lines: Count,
    bytes: Count,
    /// The hashes of lines that are written once, and how often each was. A collision costs a line, one time in billions.
    once: HashMap<u64, u32>,
    repeated_once: HashMap<u64, u32>,
}

/// How much was written, and how much of what comes was written before.
#[derive(Debug, Default)]
struct Count {
    written: u64,
    repeated: u64,
}

impl Count {
    /// How many of the next `count` were written before.
    fn take(&mut self, count: u64) -> u64 {
        let repeated = self.repeated.min(count);
        self.repeated -= repeated;
        self.written += count - repeated;
        repeated
    }

    fn rewind(&mut self) {
        self.repeated = self.written;
    }
}

/// In which form results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object a line.
    Json,
    /// Lines of text.
    Text,
}

impl Output {
    /// The process's standard output.
    pub(super) fn stdout(form: Form) -> Self {
        let stdout = io::stdout();
        let flush_lines = stdout.is_terminal();
        Self { flush_lines, ..Self::to(form, Box::new(stdout)) }
    }

    fn to(form: Form, writer: Box<dyn Write + Send>) -> Self {
        let writer = BufWriter::with_capacity(BUFFER, writer);
        Self {
            form,
            writer,
            flush_lines: false,
            lines: Count::default(),
            bytes: Count::default(),
            once: HashMap::new(),
            repeated_once: HashMap::new(),
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// The command begins anew: what it has written already is not written twice.
    pub(super) fn rewind(&mut self) {
        self.lines.rewind();
        self.bytes.rewind();
        self.repeated_once.clone_from(&self.once);
    }

    /// One line that, when the command begins anew, comes in another place.
    pub(super) fn line_once(&mut self, text: &str) -> Outcome {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let key = hasher.finish();
        if let Some(count @ 1..) = self.repeated_once.get_mut(&key) {
            *count -= 1;
            return Ok(());
        }
        *self.once.entry(key).or_default() += 1;
        self.write_line(text)
    }

    /// One line of text.
    pub(super) fn line(&mut self, text: impl fmt::Display) -> Outcome {
        if self.lines.take(1) > 0 {
            return Ok(());
        }
        self.write_line(text)
    }

    fn write_line(&mut self, text: impl fmt::Display) -> Outcome {
        writeln!(self.writer, "{text}").map_err(|error| Failure::output(&error))?;
        if self.flush_lines { self.flush() } else { Ok(()) }
    }

    /// One object as a line of JSON.
    pub(super) fn object(&mut self, value: &impl Serialize) -> Outcome {
        self.line(json(value)?)
    }

    /// An object that says how it stands: it is written at once, and another time is not the same.
    pub(super) fn event(&mut self, value: &impl Serialize) -> Outcome {
        let json = json(value)?;
        writeln!(self.writer, "{json}").map_err(|error| Failure::output(&error))?;
        self.flush()
    }

    /// A line that is made already, without its end.
    pub(super) fn raw_line(&mut self, line: &[u8]) -> Outcome {
        self.line(String::from_utf8_lossy(line))
    }

    /// Bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Outcome {
        let repeated = self.bytes.take(bytes.len() as u64) as usize;
        self.writer.write_all(&bytes[repeated..]).map_err(|error| Failure::output(&error))
    }

    /// Hands on what was written so far.
    pub(super) fn flush(&mut self) -> Outcome {
        self.writer.flush().map_err(|error| Failure::output(&error))
    }
}

/// An object as JSON.
pub(super) fn json(value: &impl Serialize) -> Outcome<String> {
    serde_json::to_string(value).map_err(|error| Failure::because("cannot write JSON", &error))
}

/// Enough that a long list or a file goes out in few system calls.
const BUFFER: usize = 64 * 1024;

/// A name for one line on a screen: characters that could move a cursor, forge a line or turn what is read around, so that
/// `gpj.exe` looks like `exe.jpg`, are escaped as Rust does.
pub(super) fn printable(name: &str) -> String {
    let is_unfit = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    name.chars().flat_map(|c| if is_unfit(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_name_cannot_forge_a_line() {
        assert_eq!(printable("a\nadded x\u{1b}[2J é"), "a\\nadded x\\u{1b}[2J é");
    }

    #[test]
    fn a_command_that_begins_anew_repeats_nothing() {
        let shared = Shared::default();
        let mut output = Output::to(Form::Text, Box::new(shared.clone()));
        output.line("first").unwrap();
        output.bytes(b"abc").unwrap();
        output.rewind();
        output.rewind();
        output.line("first").unwrap();
        output.bytes(b"ab").unwrap();
        output.bytes(b"cde").unwrap();
        output.line("second").unwrap();
        output.rewind();
        output.line("first").unwrap();
        output.line("second").unwrap();
        output.line("third").unwrap();

        output.flush().unwrap();

        assert_eq!(shared.0.lock().unwrap().as_slice(), b"first\nabcdesecond\nthird\n");
    }
}
