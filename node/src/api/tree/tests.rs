use proptest::prelude::*;

use super::*;

#[test]
fn names_of_any_bytes_survive() {
    let mut entry = Entry::new(*b"caf\xe9/100%\n", Kind::Symlink);
    entry.target = Some(b"../\xff".to_vec());

    assert_eq!(decode([Frame::Entry(entry.clone()).encode().unwrap()]).unwrap(), [Frame::Entry(entry)]);
}

#[test]
fn data_is_handed_on_before_its_frame_is_whole() {
    let mut decoder = Decoder::default();
    decoder.push(Bytes::copy_from_slice(&data_head(1000)));
    decoder.push(Bytes::from_static(b"first"));

    assert_eq!(decoder.next().unwrap(), Some(Frame::Data(Bytes::from_static(b"first"))));
    assert_eq!(decoder.next().unwrap(), None);
}

#[test]
fn a_frame_one_byte_over_its_limit_is_refused_before_its_payload_comes() {
    for (kind, limit) in [(ENTRY, MAX_HEAD), (DATA, MAX_DATA), (NOTE, MAX_HEAD), (ERROR, MAX_HEAD), (END, 0)] {
        let mut decoder = Decoder::default();
        decoder.push(Bytes::copy_from_slice(&head(kind, limit + 1)));

        assert!(matches!(decoder.next(), Err(TreeError::TooLarge { .. })), "kind {kind}");
    }
}

#[test]
fn a_name_too_long_for_its_frame_is_refused_by_the_writer() {
    let entry = Entry::new(vec![b'a'; MAX_HEAD], Kind::File);

    assert!(matches!(Frame::Entry(entry).encode(), Err(TreeError::TooLarge { .. })));
}

#[test]
fn the_longest_message_fits_however_it_is_escaped() {
    for character in ["\u{1}", "€", "\u{10ffff}", "\""] {
        let failed = Failed::new(&character.repeat(MAX_HEAD), 255);

        assert_eq!(failed.message.chars().count(), MAX_MESSAGE);
        Frame::Error(failed).encode().unwrap();
    }
}

#[test]
fn a_tree_without_its_end_is_cut_short() {
    let mut decoder = Decoder::default();
    decoder.push(Frame::Data(Bytes::from_static(b"x")).encode().unwrap());
    while decoder.next().unwrap().is_some() {}

    assert!(matches!(decoder.finish(), Err(TreeError::CutShort)));
}

#[test]
fn nothing_may_come_after_the_end() {
    let end = Frame::End.encode().unwrap();

    assert!(matches!(decode([end.clone(), end]), Err(TreeError::AfterEnd)));
}

#[test]
fn long_data_is_sent_in_several_frames() {
    let data = Bytes::from(vec![7; MAX_DATA + 1]);

    assert_eq!(decode([Frame::Data(data.clone()).encode().unwrap()]).unwrap(), [Frame::Data(data)]);
}

proptest! {
    #[test]
    fn frames_survive_however_they_are_cut(frames in prop::collection::vec(frame(), 0..8), cut in 1usize..40) {
        let whole: Vec<u8> = frames.iter().flat_map(|frame| frame.encode().unwrap()).collect();
        let pieces = whole.chunks(cut).map(Bytes::copy_from_slice);

        prop_assert_eq!(decode(pieces).unwrap(), joined(frames));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode([Bytes::from(bytes)]);
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    let kind = prop_oneof![Just(Kind::File), Just(Kind::Directory), Just(Kind::Symlink)];
    let mtime = prop::option::of((any::<i64>(), any::<u32>()).prop_map(|(secs, nanos)| Mtime { secs, nanos }));
    let paths = (any::<Vec<u8>>(), any::<Option<Vec<u8>>>(), any::<Option<Vec<u8>>>());
    let entry = (paths, kind, any::<Option<u64>>(), any::<Option<u32>>(), mtime).prop_map(
        |((path, target, source), kind, size, mode, mtime)| {
            Frame::Entry(Entry { path, kind, size, mode, mtime, target, source })
        },
    );
    let note = any::<(String, u64)>().prop_map(|(key, value)| Frame::Note([(key, value.into())].into_iter().collect()));
    prop_oneof![entry, note, any::<Vec<u8>>().prop_map(|data| Frame::Data(data.into()))]
}

fn decode(pieces: impl IntoIterator<Item = Bytes>) -> Result<Vec<Frame>, TreeError> {
    let (mut decoder, mut frames) = (Decoder::default(), vec![]);
    for piece in pieces {
        decoder.push(piece);
        while let Some(frame) = decoder.next()? {
            frames.push(frame);
        }
    }
    Ok(joined(frames))
}

/// Data that follows data is one piece, and no data is none: how it was cut says nothing.
fn joined(frames: Vec<Frame>) -> Vec<Frame> {
    let mut out: Vec<Frame> = vec![];
    for frame in frames {
        match (out.last_mut(), frame) {
            (_, Frame::Data(data)) if data.is_empty() => {}
            (Some(Frame::Data(before)), Frame::Data(data)) => *before = [&before[..], &data[..]].concat().into(),
            (_, frame) => out.push(frame),
        }
    }
    out
}
