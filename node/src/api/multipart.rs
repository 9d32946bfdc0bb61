//! Reads `multipart/form-data` as Kubo's clients send files: one part a file, folder or symlink, its path in `filename`.
//!
//! No IO: bytes go in, events come out, and no more is held than the head of one part. (The usual crate gathers all that its
//! source has ready before it hands on a byte, which a fast local sender turns into the whole upload.)

use std::io::BufRead;

use bytes::{Buf, Bytes, BytesMut};
use cidra_content::unixfs::{Metadata, Time};
use percent_encoding::percent_decode_str;

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A part begins.
    Part(Part),
    /// The next bytes of the part that began last.
    Data(Bytes),
    /// The last part has ended.
    End,
}

/// The head of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// The names along its path, with nothing empty, `.` or `..` among them.
    pub(super) path: Vec<Vec<u8>>,
    pub(super) kind: PartKind,
    /// Permissions and time, where the sender gives them.
    pub(super) metadata: Metadata,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PartKind {
    #[default]
    File,
    Directory,
    /// Its bytes are the target.
    Symlink,
}

pub(super) struct Decoder {
    /// `\r\n--` and the boundary: what stands between parts.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first delimiter.
    Preamble,
    /// Right after a delimiter: `--` ends it all, a line break begins a part.
    Between,
    Head,
    Data,
    Ended,
}

impl Decoder {
    /// Fails when `content_type` is not multipart or names no boundary.
    pub(super) fn new(content_type: Option<&str>) -> Result<Self, MultipartError> {
        let content_type = content_type.ok_or(MultipartError::NotMultipart)?;
        let (kind, parameters) = split_parameters(content_type);
        if !kind.starts_with("multipart/") {
            return Err(MultipartError::NotMultipart);
        }
        let boundary = parameters.into_iter().find(|(name, _)| name == "boundary").map(|(_, value)| value);
        let boundary = boundary.filter(|value| (1..=MAX_BOUNDARY).contains(&value.len()));
        let delimiter = [b"\r\n--", boundary.ok_or(MultipartError::NoBoundary)?.as_bytes()].concat();
        // The first delimiter may stand at the very beginning, with no line break before it.
        Ok(Self { delimiter, buffer: BytesMut::from(&b"\r\n"[..]), state: State::Preamble })
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event, or `None` when more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Event>, MultipartError> {
        loop {
            match self.state {
                State::Preamble => match self.find_delimiter() {
                    Found::At(at) => {
                        self.buffer.advance(at + self.delimiter.len());
                        self.state = State::Between;
                    }
                    Found::NotBefore(at) => {
                        self.buffer.advance(at);
                        return Ok(None);
                    }
                },
                State::Between => {
                    // Spaces may pad the line of a delimiter.
                    while self.buffer.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
                        self.buffer.advance(1);
                    }
                    match self.buffer.get(..2) {
                        None => return Ok(None),
                        Some(b"--") => self.state = State::Ended,
                        Some(b"\r\n") => {
                            // The break stays: a head of no lines ends right here.
                            self.state = State::Head;
                            continue;
                        }
                        Some(_) => return Err(MultipartError::Malformed { what: "what follows a boundary" }),
                    }
                    return Ok(Some(Event::End));
                }
                State::Head => {
                    let Some(length) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                        if self.buffer.len() > MAX_PART_HEAD {
                            return Err(MultipartError::HeadTooLong);
                        }
                        return Ok(None);
                    };
                    if length > MAX_PART_HEAD {
                        return Err(MultipartError::HeadTooLong);
                    }
                    let head = self.buffer.split_to(length);
                    self.buffer.advance(4);
                    self.state = State::Data;
                    return Ok(Some(Event::Part(parse_head(&head)?)));
                }
                State::Data => match self.find_delimiter() {
                    Found::At(0) => {
                        self.buffer.advance(self.delimiter.len());
                        self.state = State::Between;
                    }
                    Found::At(at) | Found::NotBefore(at) if at > 0 => {
                        return Ok(Some(Event::Data(self.buffer.split_to(at).freeze())));
                    }
                    _ => return Ok(None),
                },
                State::Ended => {
                    // What stands after the last boundary means nothing.
                    self.buffer.clear();
                    return Ok(None);
                }
            }
        }
    }

    /// To be called when no more bytes come: fails when the last boundary is missing.
    pub(super) fn finish(&self) -> Result<(), MultipartError> {
        if self.state == State::Ended { Ok(()) } else { Err(MultipartError::CutShort) }
    }

    fn find_delimiter(&self) -> Found {
        let mut from = 0;
        loop {
            let mut rest = &self.buffer[from..];
            let passed = rest.skip_until(b'\r').expect("a slice reads without errors");
            if passed == 0 || self.buffer[from + passed - 1] != b'\r' {
                return Found::NotBefore(self.buffer.len());
            }
            let at = from + passed - 1;
            let here = &self.buffer[at..];
            if here.starts_with(&self.delimiter) {
                return Found::At(at);
            }
            if self.delimiter.starts_with(here) {
                return Found::NotBefore(at);
            }
            from = at + 1;
        }
    }
}

/// Where the next delimiter is.
enum Found {
    At(usize),
    /// Not whole yet, and it cannot begin before this place.
    NotBefore(usize),
}

/// RFC 2046 allows 70 bytes.
const MAX_BOUNDARY: usize = 70;

/// The most bytes the head of a part may take: a path of 4,096 bytes twice, percent-encoded, and some more headers.
const MAX_PART_HEAD: usize = 32 * 1024;

fn parse_head(head: &[u8]) -> Result<Part, MultipartError> {
    let head = std::str::from_utf8(head).map_err(|_| MultipartError::Malformed { what: "the head of a part" })?;
    let mut part = Part::default();
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(MultipartError::Malformed { what: "a header of a part" })?;
        match name.trim().to_ascii_lowercase().as_str() {
            "content-disposition" => {
                part.path = path_of(value);
                part.metadata = metadata_of(value);
            }
            "content-type" => {
                part.kind = match split_parameters(value).0.as_str() {
                    "application/x-directory" | "multipart/form-data" => PartKind::Directory,
                    "application/symlink" => PartKind::Symlink,
                    _ => PartKind::File,
                }
            }
            // `abspath` and `abspath-encoded` name files of the caller's machine, which no route here may read.
            _ => {}
        }
    }
    Ok(part)
}

/// The cleaned path of a part: as in Kubo, `filename` unescaped as in a query, or as it stands when that cannot be.
fn path_of(disposition: &str) -> Vec<Vec<u8>> {
    let parameters = split_parameters(disposition).1;
    let plain = parameters.iter().find(|(name, _)| name == "filename").map(|(_, value)| query_unescape(value));
    let extended = || {
        let (_, value) = parameters.iter().find(|(name, _)| name == "filename*")?;
        let (_, encoded) = value.split_once('\'')?.1.split_once('\'')?;
        Some(percent_decode_str(encoded).collect())
    };
    let name = plain.or_else(extended).unwrap_or_default();
    let mut path: Vec<Vec<u8>> = vec![];
    for segment in name.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                path.pop();
            }
            _ => path.push(segment.to_vec()),
        }
    }
    path
}

/// Kubo's clients put it behind the name of the field: `name="file?mode=0644&mtime=1700000000&mtime-nsecs=5"`, the mode as Go
/// has it, in octal.
fn metadata_of(disposition: &str) -> Metadata {
    let parameters = split_parameters(disposition).1;
    let field = parameters.iter().find(|(name, _)| name == "name").and_then(|(_, value)| value.split_once('?'));
    let mut metadata = Metadata::default();
    let (mut seconds, mut nanoseconds) = (None, 0);
    for (name, value) in field.into_iter().flat_map(|(_, query)| query.split('&')).filter_map(|one| one.split_once('='))
    {
        match name {
            "mode" => metadata.mode = u32::from_str_radix(value, 8).ok().map(unix_mode),
            "mtime" => seconds = value.parse().ok(),
            "mtime-nsecs" => nanoseconds = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    let time = seconds.map(|seconds| Time { seconds, nanoseconds });
    metadata.mtime = time.filter(|time| time.nanoseconds < 1_000_000_000);
    metadata
}

/// Go keeps setuid, setgid and sticky elsewhere than Unix does.
fn unix_mode(mode: u32) -> u32 {
    let special = [(1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000)];
    let special = special.iter().filter(|(theirs, _)| mode & theirs != 0).map(|(_, ours)| ours);
    mode & 0o777 | special.fold(0, |bits, bit| bits | bit)
}

fn query_unescape(text: &str) -> Vec<u8> {
    let escapes = text.split('%').skip(1);
    let whole = escapes.map(str::as_bytes).all(|rest| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit));
    if !whole {
        return text.as_bytes().to_vec();
    }
    percent_decode_str(&text.replace('+', " ")).collect()
}

/// A header's value in lower case, and its parameters: `form-data; name="a"; filename="b"`.
fn split_parameters(value: &str) -> (String, Vec<(String, String)>) {
    let (kind, mut rest) = value.split_once(';').unwrap_or((value, ""));
    let mut parameters = vec![];
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', '\t', ';']).to_ascii_lowercase();
        let value;
        match after.strip_prefix('"') {
            Some(quoted) => (value, rest) = unquote(quoted),
            None => {
                let (plain, more) = after.split_once(';').unwrap_or((after, ""));
                (value, rest) = (plain.trim().to_owned(), more);
            }
        }
        parameters.push((name, value));
    }
    (kind.trim().to_ascii_lowercase(), parameters)
}

/// What stands before the closing quote, and what after it. As in Go, a backslash escapes a quote or a backslash only.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' if matches!(characters.peek(), Some((_, '"' | '\\'))) => {
                value.extend(characters.next().map(|(_, escaped)| escaped));
            }
            _ => value.push(character),
        }
    }
    (value, "")
}

/// What is wrong with an upload.
#[derive(Debug, thiserror::Error)]
pub(super) enum MultipartError {
    #[error("the upload was cut short")]
    CutShort,
    #[error("the head of a part takes more than {MAX_PART_HEAD} bytes")]
    HeadTooLong,
    #[error("the upload is malformed: {what}")]
    Malformed { what: &'static str },
    #[error("the Content-Type of the upload names no boundary of at most {MAX_BOUNDARY} bytes")]
    NoBoundary,
    #[error("file argument 'path' is required, as multipart/form-data")]
    NotMultipart,
}

#[cfg(test)]
mod tests;
