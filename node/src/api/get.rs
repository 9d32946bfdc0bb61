//! `get`: a file or a folder as a TAR stream.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use bytes::{BufMut, Bytes, BytesMut};
use cidra_content::exchange::Order;
use cidra_content::fetch::Selector;
use cidra_content::unixfs::Metadata;
use tar::{EntryType, Header};

use super::answer::{Answer, Failure, Output, Shape, stream};
use super::call::Piped;
use super::cat::length;
use crate::download::{Download, DownloadEvent, FetchOptions};
use crate::node::Node;

/// Entries are named from the last name of the path that was asked for. Kubo's `archive` asks for the same bytes;
/// compressing them is left to the caller.
pub(super) async fn get(State(node): State<Node>, Piped(call): Piped) -> Answer {
    let path = call.path()?;
    let options = FetchOptions { order: Order::Any, ..call.fetch_options()? };
    if call.is("compress")? || call.text("compression-level")?.is_some() {
        return Err(Failure::usage("compress: this node sends plain TAR; compress it on your side"));
    }
    let cid = node.resolve(&path, &options).await?;
    let root = path.segments.last().cloned().unwrap_or_else(|| path.cid.to_string());
    let size = length(&node.entity(&cid, &options).await?);
    let download = node.download(cid, Selector::Entity { range: None }, options);
    stream(&call, Shape::bytes("application/x-tar", Some(size)), |output| archive(download, root, output)).await
}

async fn archive(mut download: Download, root: String, output: Output) -> Result<(), Failure> {
    let name = |path: &[Bytes]| -> Vec<u8> {
        let names = std::iter::once(root.as_bytes()).chain(path.iter().map(|name| &name[..]));
        names.collect::<Vec<_>>().join(&b'/')
    };
    let mut padding = 0;
    while let Some(event) = download.next().await {
        let head = match event? {
            DownloadEvent::Directory { path, metadata } => head(&name(&path), EntryType::Directory, 0, metadata, b""),
            DownloadEvent::File { path, size, metadata } => {
                output.bytes(zeros(padding)).await;
                padding = (BLOCK - size % BLOCK) % BLOCK;
                output.bytes(head(&name(&path), EntryType::Regular, size, metadata, b"")).await;
                continue;
            }
            DownloadEvent::Symlink { path, target, metadata } => {
                head(&name(&path), EntryType::Symlink, 0, metadata, &target)
            }
            DownloadEvent::Bytes(bytes) => {
                output.bytes(bytes).await;
                continue;
            }
            DownloadEvent::State(_) | DownloadEvent::Placed { .. } => continue,
        };
        output.bytes(zeros(std::mem::take(&mut padding))).await;
        output.bytes(head).await;
    }
    output.bytes(zeros(padding + 2 * BLOCK)).await;
    Ok(())
}

/// TAR is made of blocks of this many bytes.
const BLOCK: u64 = 512;

fn zeros(count: u64) -> Bytes {
    static ZEROS: [u8; 3 * BLOCK as usize] = [0; 3 * BLOCK as usize];
    Bytes::from_static(&ZEROS[..count as usize])
}

/// The header of an entry; what does not fit into it stands in a PAX header before it.
fn head(path: &[u8], kind: EntryType, size: u64, metadata: Metadata, target: &[u8]) -> Bytes {
    let default = match kind {
        EntryType::Directory => 0o755,
        EntryType::Symlink => 0o777,
        _ => 0o644,
    };
    let seconds = match metadata.mtime {
        // TAR knows no time before 1970.
        Some(time) => u64::try_from(time.seconds).unwrap_or(0),
        None => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    };
    let mut records = vec![];
    let mut header = header(kind, size, metadata.mode.map_or(default, |mode| mode & 0o7777), seconds);
    let ustar = header.as_ustar_mut().expect("it was made as one");
    for (key, value, place) in [("path", path, &mut ustar.name), ("linkpath", target, &mut ustar.linkname)] {
        let length = value.len().min(place.len());
        place[..length].copy_from_slice(&value[..length]);
        if value.len() > place.len() || !value.is_ascii() {
            record(&mut records, key, value);
        }
    }
    header.set_cksum();
    let mut out = BytesMut::new();
    if !records.is_empty() {
        let mut pax = self::header(EntryType::XHeader, records.len() as u64, 0o644, 0);
        pax.as_ustar_mut().expect("it was made as one").name[..PAX_NAME.len()].copy_from_slice(PAX_NAME);
        pax.set_cksum();
        out.put_slice(pax.as_bytes());
        out.put_slice(&records);
        out.put_slice(&zeros((BLOCK - records.len() as u64 % BLOCK) % BLOCK));
    }
    out.put_slice(header.as_bytes());
    out.freeze()
}

const PAX_NAME: &[u8] = b"PaxHeaders.0/entry";

fn header(kind: EntryType, size: u64, mode: u32, mtime: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(mtime);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// `LENGTH key=value\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() > length {
        length += 1;
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn long_and_foreign_names_are_read_back() {
        for length in [1, 99, 100, 101, 254, 255, 991, 995, 1000, 5000] {
            let (path, target) = ("p".repeat(length), [vec![b't'; length], b"\xc3\xa9".to_vec()].concat());
            let mut bytes = head(path.as_bytes(), EntryType::Symlink, 0, of(None, Some(7)), &target).to_vec();
            bytes.extend_from_slice(&zeros(2 * BLOCK));

            let mut archive = tar::Archive::new(&bytes[..]);
            let mut entries = archive.entries().unwrap();
            let entry = entries.next().unwrap().unwrap();

            assert_eq!(&*entry.path_bytes(), path.as_bytes());
            assert_eq!(&*entry.link_name_bytes().unwrap(), &target[..]);
            assert_eq!(entry.header().mtime().unwrap(), 7);
            assert!(entries.next().is_none());
        }
    }

    #[test]
    fn files_over_8_gib_have_their_size() {
        let size = 9 << 30;
        let bytes = head(b"big", EntryType::Regular, size, of(Some(0o100_600), None), b"").to_vec();

        let mut archive = tar::Archive::new(bytes.chain(std::io::repeat(0)));
        let entry = archive.entries().unwrap().next().unwrap().unwrap();

        assert_eq!((entry.size(), entry.header().mode().unwrap()), (size, 0o600));
    }

    fn of(mode: Option<u32>, seconds: Option<i64>) -> Metadata {
        let mtime = seconds.map(|seconds| cidra_content::unixfs::message::Time { seconds, nanoseconds: 9 });
        Metadata { mode, mtime }
    }
}
