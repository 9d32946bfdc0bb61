use proptest::prelude::*;

use super::*;

const TYPE: Option<&str> = Some("multipart/form-data; boundary=\"b o\"");

#[test]
fn what_kubo_sends_is_a_tree() {
    let body = "--b o\r\nContent-Disposition: form-data; name=\"file?mode=0755&mtime=-7&mtime-nsecs=5\"; filename=\"my+dir\"\r\n\
        Content-Type: application/x-directory\r\nabspath-encoded: %2Ftmp\r\n\r\n\
        \r\n--b o\r\nContent-Disposition: attachment; filename=\"my+dir%2F%C3%A9\"\r\nContent-Type: application/octet-stream\r\n\r\n\
        one\r\n-two\
        \r\n--b o\r\nContent-Disposition: form-data; name=\"file\"; filename=\"my+dir%2Flink\"\r\nContent-Type: application/symlink\r\n\r\n\
        ../x\r\n--b o--\r\n";

    let events = decode(TYPE, [body.as_bytes()]).unwrap();

    let mut dated = part(&["my dir"], PartKind::Directory);
    if let Event::Part(part) = &mut dated {
        let mtime = Some(Time { seconds: -7, nanoseconds: 5 });
        part.metadata = Metadata { mode: Some(0o755), mtime };
    }
    assert_eq!(
        events,
        [
            dated,
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
            expected.push(Event::Part(Part { path, ..Part::default() }));
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
    Event::Part(Part { path: path.iter().map(|name| name.as_bytes().to_vec()).collect(), kind, ..Part::default() })
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
                (Some(Event::Data(before)), Event::Data(data)) => *before = [&before[..], &data[..]].concat().into(),
                (_, event) => events.push(event),
            }
        }
    }
    decoder.finish()?;
    Ok(events)
}
