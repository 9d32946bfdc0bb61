//! A file or a folder as a TAR stream, piece by piece as a download gives it.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use cid::Cid;
use cidra_content::fetch::{DagError, Selector};
use cidra_content::unixfs::Metadata;
use tar::{EntryType, Header};

use super::Node;
use crate::download::{Download, DownloadEvent, FetchError, FetchOptions};

/// A TAR stream under way. Works only while `next` is awaited; dropping it ends the download.
pub struct Tarball {
    download: Download,
    cid: Cid,
    root: String,
    /// Zeros between the end of the last file and what comes next.
    padding: u64,
    ended: bool,
}

impl Node {
    /// What is below `cid` as a TAR stream, whose entries are named from `root`.
    pub fn tarball(&self, cid: Cid, root: String, options: FetchOptions) -> Tarball {
        let download = self.download(cid, Selector::Entity { range: None }, options);
        Tarball { download, cid, root, padding: 0, ended: false }
    }
}

impl Tarball {
    /// The next bytes; `None` behind the end. After an error the stream is not whole.
    pub async fn next(&mut self) -> Option<Result<Bytes, FetchError>> {
        while !self.ended {
            let event = match self.download.next().await {
                Some(Ok(event)) => event,
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(error));
                }
                None => {
                    self.ended = true;
                    return Some(Ok(zeros(self.padding + 2 * BLOCK)));
                }
            };
            let (path, kind, size, metadata, link) = match event {
                DownloadEvent::Directory { path, metadata } => (path, EntryType::Directory, 0, metadata, Bytes::new()),
                DownloadEvent::File { path, size, metadata } => {
                    (path, EntryType::Regular, size, metadata, Bytes::new())
                }
                DownloadEvent::Symlink { path, target, metadata } => (path, EntryType::Symlink, 0, metadata, target),
                DownloadEvent::Bytes(bytes) if bytes.is_empty() => continue,
                DownloadEvent::Bytes(bytes) => return Some(Ok(bytes)),
                DownloadEvent::State(_) | DownloadEvent::Placed { .. } => continue,
            };
            let Some(name) = name(&self.root, &path) else {
                self.ended = true;
                let why = "a name in it leads out of it".to_owned();
                return Some(Err(DagError::NoFile { cid: self.cid, why }.into()));
            };
            let entry = head(&name, kind, size, metadata, &link);
            let padding = (BLOCK - size % BLOCK) % BLOCK;
            let before = std::mem::replace(&mut self.padding, padding);
            return Some(Ok(match before {
                0 => entry,
                before => [zeros(before), entry].concat().into(),
            }));
        }
        None
    }
}

/// Where an entry stands below `root`. Names of a hostile folder may have slashes and `..` in them: they are followed as far as
/// they stay below, and `None` is where they do not, or hold a zero.
fn name(root: &str, path: &[Bytes]) -> Option<Vec<u8>> {
    let mut names: Vec<&[u8]> = vec![];
    for name in path.iter().flat_map(|name| name.split(|byte| *byte == b'/')) {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()?),
            name if name.contains(&0) => return None,
            name => names.push(name),
        }
    }
    Some(std::iter::once(root.as_bytes()).chain(names).collect::<Vec<_>>().join(&b'/'))
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
    fn names_are_followed_as_far_as_they_stay_below() {
        let name = |path: &[&'static [u8]]| {
            let path: Vec<Bytes> = path.iter().map(|name| Bytes::from_static(name)).collect();
            name("root", &path).map(|name| String::from_utf8(name).unwrap())
        };

        assert_eq!(name(&[]), Some("root".to_owned()));
        assert_eq!(name(&[b"a", b"b/../c", b"./d"]), Some("root/a/c/d".to_owned()));
        for path in [&[&b".."[..]][..], &[b"a", b"../../b"], &[b"/../a"], &[b"a\0b"]] {
            assert_eq!(name(path), None, "{path:?}");
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
