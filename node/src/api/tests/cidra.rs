//! Trees of files, both ways.

use bytes::Bytes;
use serde_json::Value;

use super::{House, Told};
use crate::api::doors::Doors;
use crate::api::tree::{Decoder, Entry, Failed, Frame, Kind, data_head};

#[tokio::test]
async fn a_tree_comes_back_as_it_was_added() {
    let house = house();
    let link = Entry { target: Some(b"../\xff".to_vec()), ..Entry::new(*b"t/s\xe9", Kind::Symlink) };
    let sent = [
        Frame::Entry(Entry::new(*b"t", Kind::Directory)),
        Frame::Entry(Entry::new(*b"t/a", Kind::File)),
        Frame::Data(Bytes::from(vec![1; 3_000_000])),
        Frame::Entry(Entry::new(*b"t/e", Kind::Directory)),
        Frame::Entry(link),
        Frame::End,
    ];

    let added = house.send("cidra/add?profile=unixfs-v1-2025", &sent).await;

    let lines: Vec<_> = notes(&added).into_iter().filter(|note| note.get("Hash").is_some()).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[3]["Name"], "t");
    assert_eq!(added.last(), Some(&Frame::End));
    let root = lines[3]["Hash"].as_str().unwrap();
    assert_eq!(house.object(&format!("cidra/stat?arg={root}/a")).await["Size"], 3_000_000);
    let got = frames(&house.tell(&format!("cidra/get?arg={root}"), "", "").await);
    assert_eq!(notes(&got)[0]["Hash"], root);
    let mut entries = vec![];
    let mut bytes = 0;
    for frame in &got {
        match frame {
            Frame::Entry(entry) => entries.push((entry.path.clone(), entry.kind, entry.size, entry.target.clone())),
            Frame::Data(data) => bytes += data.len(),
            _ => {}
        }
    }
    assert_eq!(
        entries,
        [
            (b"".to_vec(), Kind::Directory, None, None),
            (b"a".to_vec(), Kind::File, Some(3_000_000), None),
            (b"e".to_vec(), Kind::Directory, None, None),
            (b"s\xe9".to_vec(), Kind::Symlink, None, Some(b"../\xff".to_vec())),
        ]
    );
    assert_eq!((bytes, got.last()), (3_000_000, Some(&Frame::End)));
}

#[tokio::test]
async fn a_file_without_a_name_is_pinned_without_one() {
    let house = house();
    let sent = [Frame::Entry(Entry::new(*b"", Kind::File)), Frame::Data(Bytes::from_static(b"hello\n")), Frame::End];

    let added = house.send("cidra/add", &sent).await;

    let hash = "QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN";
    assert_eq!((&notes(&added)[0]["Name"], &notes(&added)[0]["Hash"]), (&hash.into(), &hash.into()));
    let pins = house.object("pin/ls?names=true").await;
    assert_eq!(pins["Keys"][hash]["Name"], "");
}

#[tokio::test]
async fn a_named_file_is_pinned_under_its_name_unless_another_is_given() {
    for (call, name) in [("cidra/add", "n"), ("cidra/add?pin-name=other", "other")] {
        let house = house();

        house.send(call, &[Frame::Entry(Entry::new(*b"n", Kind::File)), Frame::End]).await;

        let pins = house.object("pin/ls?names=true").await;
        assert_eq!(pins["Keys"].as_object().unwrap().values().next().unwrap()["Name"], name);
    }
}

#[tokio::test]
async fn what_a_sender_gives_up_is_not_added() {
    let failed = Frame::Error(Failed::new("cannot read t/b", 1));
    let file = Frame::Entry(Entry::new(*b"f", Kind::File));
    let cut = [file.clone(), Frame::Data(Bytes::from_static(b"x"))];
    let cases: [(&[Frame], &str); 4] = [
        (&[file.clone(), failed], "cannot read t/b"),
        (&cut, "cut short"),
        (&[Frame::Entry(Entry::new(*b"../x", Kind::File)), Frame::End], "../x"),
        (&[Frame::Data(Bytes::from_static(b"x")), Frame::End], "belong to no file"),
    ];
    for (sent, message) in cases {
        let house = house();

        let answer = house.send("cidra/add", sent).await;

        let Some(Frame::Error(failed)) = answer.last() else { panic!("{answer:?}") };
        assert!(failed.message.contains(message), "{failed:?}");
        assert_eq!(house.object("pin/ls").await, serde_json::json!({}));
    }
}

#[tokio::test]
async fn a_get_that_fails_says_so_at_its_end() {
    let house = house();
    let sent = [
        Frame::Entry(Entry::new(*b"d", Kind::Directory)),
        Frame::Entry(Entry::new(*b"d/f", Kind::File)),
        Frame::Data(Bytes::from_static(b"gone soon")),
        Frame::End,
    ];
    let added = notes(&house.send("cidra/add?pin=false", &sent).await);
    let (file, root) = (added[0]["Hash"].as_str().unwrap(), added[1]["Hash"].as_str().unwrap());
    house.objects(&format!("block/rm?arg={file}")).await;

    let got = frames(&house.tell(&format!("cidra/get?arg={root}&offline=true"), "", "").await);

    let Some(Frame::Error(failed)) = got.last() else { panic!("{got:?}") };
    assert_eq!(failed.exit, 3);
    assert!(failed.message.contains(file), "{failed:?}");
}

#[test]
fn heads_of_data_are_those_of_frames() {
    assert_eq!(Frame::Data(Bytes::from_static(b"abc")).encode().unwrap()[..5], data_head(3));
}

fn house() -> House {
    House::new(|_| Doors::local())
}

fn frames(told: &Told) -> Vec<Frame> {
    assert!(told.status.is_success(), "{}", told.text());
    let mut decoder = Decoder::default();
    decoder.push(told.body.clone());
    let frames = std::iter::from_fn(|| decoder.next().unwrap()).collect();
    decoder.finish().unwrap();
    frames
}

fn notes(frames: &[Frame]) -> Vec<Value> {
    let notes = frames.iter().filter_map(|frame| match frame {
        Frame::Note(note) => Some(Value::Object(note.clone())),
        _ => None,
    });
    notes.collect()
}

impl House {
    async fn send(&self, call: &str, sent: &[Frame]) -> Vec<Frame> {
        let body: Vec<u8> = sent.iter().flat_map(|frame| frame.encode().unwrap()).collect();
        frames(&self.tell(call, "application/vnd.cidra.tree", body).await)
    }
}
