//! Reads `multipart/form-data` as Kubo's clients send files: one part a file, folder or symlink, its path in `filename`.
//!
//! No IO: bytes go in, events come out, and no more is held than the head of one part. (The usual crate gathers all that its
//! source has ready before it hands on a byte, which a fast local sender turns into the whole upload.)

use std::io::BufRead;

use bytes::{Buf, Bytes, BytesMut};
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
            "content-disposition" => part.path = path_of(value),
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: Option<&str> = Some("multipart/form-data; boundary=\"b o\"");

    #[test]
    fn what_kubo_sends_is_a_tree() {
        let body = "--b o\r\nContent-Disposition: form-data; name=\"file?mode=0755\"; filename=\"my+dir\"\r\n\
            Content-Type: application/x-directory\r\nabspath-encoded: %2Ftmp\r\n\r\n\
            \r\n--b o\r\nContent-Disposition: attachment; filename=\"my+dir%2F%C3%A9\"\r\nContent-Type: application/octet-stream\r\n\r\n\
            one\r\n-two\
            \r\n--b o\r\nContent-Disposition: form-data; name=\"file\"; filename=\"my+dir%2Flink\"\r\nContent-Type: application/symlink\r\n\r\n\
            ../x\r\n--b o--\r\n";

        let events = decode(TYPE, [body.as_bytes()]).unwrap();

        assert_eq!(
            events,
            [
                part(&["my dir"], PartKind::Directory),
                part(&["my dir", "é"], PartKind::File),
                Event::Data(Bytes::from_static(b"one\r\n-two")),
                part(&["my dir", "link"], PartKind::Symlink),
                Event::Data(Bytes::from_static(b"../x")),
                Event::End,
            ]
        );
    }

    #[test]
    fn a_name_never_leaves_the_tree() {
        for name in ["../../etc/passwd", "/etc/passwd", "a/../../etc//./passwd", "..%2F..%2Fetc%2Fpasswd"] {
            assert_eq!(path_of(&format!("form-data; filename=\"{name}\"")), [b"etc".to_vec(), b"passwd".to_vec()]);
        }
        assert!(path_of("form-data; name=\"file\"").is_empty());
    }

    #[test]
    fn a_name_that_is_no_escape_stands_as_it_is() {
        assert_eq!(path_of(r#"form-data; filename="100%-a+b \"c\" \d""#), [br#"100%-a+b "c" \d"#.to_vec()]);
        assert_eq!(path_of("form-data; filename*=utf-8''%e2%82%ac"), ["€".as_bytes().to_vec()]);
    }

    #[test]
    fn a_head_one_byte_too_long_is_refused() {
        let head = |length: usize| {
            let line = "X: ";
            format!("--b o\r\n{line}{}\r\n\r\n\r\n--b o--", "x".repeat(length - 2 - line.len()))
        };

        assert!(decode(TYPE, [head(MAX_PART_HEAD).as_bytes()]).is_ok());
        assert!(matches!(decode(TYPE, [head(MAX_PART_HEAD + 1).as_bytes()]), Err(MultipartError::HeadTooLong)));
        let endless = [b"--b o\r\n", &vec![b'x'; MAX_PART_HEAD][..]].concat();
        assert!(matches!(decode(TYPE, [&endless[..]]), Err(MultipartError::HeadTooLong)));
    }

    #[test]
    fn a_boundary_one_byte_too_long_is_refused() {
        let of = |length: usize| Decoder::new(Some(&format!("multipart/form-data; boundary={}", "b".repeat(length))));

        assert!(of(MAX_BOUNDARY).is_ok());
        assert!(matches!(of(MAX_BOUNDARY + 1), Err(MultipartError::NoBoundary)));
        assert!(matches!(Decoder::new(Some("text/plain")), Err(MultipartError::NotMultipart)));
    }

    #[test]
    fn an_upload_without_its_last_boundary_is_cut_short() {
        assert!(matches!(decode(TYPE, [&b"--b o\r\n\r\n\r\nabc"[..]]), Err(MultipartError::CutShort)));
    }

    #[test]
    fn data_is_not_held_back() {
        let mut decoder = Decoder::new(TYPE).unwrap();
        decoder.push(b"--b o\r\n\r\n\r\nabc\r\n--b");
        while decoder.next().unwrap().is_some() {}

        assert_eq!(&decoder.buffer[..], b"\r\n--b");
    }

    proptest! {
        #[test]
        fn parts_survive_however_they_are_cut(
            parts in prop::collection::vec(("[a-z%/ é]{0,9}", prop::collection::vec(any::<u8>(), 0..90)), 1..4),
            cut in 1usize..50,
        ) {
            let mut body = vec![];
            for (name, data) in &parts {
                let name: String = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).collect();
                body.extend(format!("\r\n--b o\r\nContent-Disposition: form-data; filename=\"{name}\"\r\n\r\n").into_bytes());
                body.extend(data);
            }
            body.extend(b"\r\n--b o--");

            let events = decode(TYPE, body.chunks(cut)).unwrap();

            let mut expected = vec![];
            for (name, data) in parts {
                let path = name.split('/').filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect();
                expected.push(Event::Part(Part { path, kind: PartKind::File }));
                if !data.is_empty() {
                    expected.push(Event::Data(data.into()));
                }
            }
            expected.push(Event::End);
            prop_assert_eq!(events, expected);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()], 0..200)) {
            let _ = decode(Some("multipart/form-data; boundary=-"), [&[b"---\r\n", &bytes[..]].concat()[..]]);
        }
    }

    fn part(path: &[&str], kind: PartKind) -> Event {
        Event::Part(Part { path: path.iter().map(|name| name.as_bytes().to_vec()).collect(), kind })
    }

    fn decode<'a>(
        content_type: Option<&str>,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Event>, MultipartError> {
        let mut decoder = Decoder::new(content_type)?;
        let mut events: Vec<Event> = vec![];
        for piece in pieces {
            decoder.push(piece);
            while let Some(event) = decoder.next()? {
                match (events.last_mut(), event) {
                    (Some(Event::Data(before)), Event::Data(data)) => {
                        *before = [&before[..], &data[..]].concat().into()
                    }
                    (_, event) => events.push(event),
                }
            }
        }
        decoder.finish()?;
        Ok(events)
    }
}
