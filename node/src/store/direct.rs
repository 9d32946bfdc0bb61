//! Writes that go past the page cache. What is fetched is seldom read at once, and the kernel takes as long to copy a block into
//! pages that it has to find first as the processor takes to prove it.

use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk;
use super::segments::WRITE;

/// A file that large pieces are written to without a copy in memory, where the system can do that.
#[derive(Debug)]
pub(super) struct DirectFile {
    file: File,
    /// The same file, open for such writes only.
    direct: Option<File>,
    /// The file system took the flag and refuses the writes.
    refused: AtomicBool,
}

impl DirectFile {
    pub(super) fn new(file: File) -> DirectFile {
        let direct = reopen(&file).ok();
        DirectFile { file, direct, refused: AtomicBool::new(false) }
    }

    /// The file, for all that is not a write.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Writes all of `content`. It may be on its way to the disk, or in memory: syncing the file makes it durable.
    pub(super) fn write_at(&self, at: u64, content: &[u8]) -> io::Result<()> {
        let past = self.write_past_cache(at, content)?;
        let rest = &content[past..];
        (at + past as u64..).step_by(WRITE).zip(rest.chunks(WRITE)).try_for_each(|(at, part)| {
            // A few pages a call: the kernel takes warm ones for them.
            disk::File::write_at(&self.file, at, &mut [IoSlice::new(part)])
        })
    }

    /// How many of the first bytes were written so.
    fn write_past_cache(&self, at: u64, content: &[u8]) -> io::Result<usize> {
        let whole = content.len() / PAGE * PAGE;
        let Some(direct) = &self.direct else { return Ok(0) };
        if whole < LARGE || !at.is_multiple_of(PAGE as u64) || self.refused.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let copy;
        let pages = match content.as_ptr().align_offset(PAGE) {
            0 => &content[..whole],
            _ => {
                copy = Pages::copied(&content[..whole]);
                copy.bytes()
            }
        };
        match disk::File::write_at(direct, at, &mut [IoSlice::new(pages)]) {
            Ok(()) => Ok(whole),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.refused.store(true, Ordering::Relaxed);
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }
}

/// Bytes that begin where a page begins.
struct Pages {
    room: Vec<u8>,
    begin: usize,
}

impl Pages {
    fn copied(bytes: &[u8]) -> Pages {
        let mut room = Vec::<u8>::with_capacity(bytes.len() + PAGE);
        let begin = room.as_ptr().align_offset(PAGE);
        room.resize(begin, 0);
        room.extend_from_slice(bytes);
        Pages { room, begin }
    }

    fn bytes(&self) -> &[u8] {
        &self.room[self.begin..]
    }
}

#[cfg(target_os = "linux")]
fn reopen(file: &File) -> io::Result<File> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;

    let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
    std::fs::OpenOptions::new().write(true).custom_flags(flags).open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(not(target_os = "linux"))]
fn reopen(_: &File) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What memory, place and length have to be a multiple of, in bytes: more than most disks ask for.
pub(crate) const PAGE: usize = 4096;
/// Less than this, in bytes, is cheaper to copy than to wait for.
pub(crate) const LARGE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Any place, length and alignment, against what was written.
    #[test]
    fn all_that_is_written_stands_there() {
        let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        for folder in [std::env::temp_dir(), "/dev/shm".into()].iter().filter(|folder| folder.is_dir()) {
            let file = DirectFile::new(tempfile::tempfile_in(folder).unwrap());
            for (at, from, len) in [
                (0, 0, 1 << 20),
                (0, 1, 1 << 20),
                (1 << 20, 4096, (1 << 20) + 1),
                (4095, 0, 1 << 20),
                (1 << 22, 77, LARGE + 4095),
                (1 << 22, 0, LARGE - 1),
                (9, 0, 0),
                (0, 0, 3_000_000),
            ] {
                file.write_at(at, &content[from..from + len]).unwrap();
                assert_eq!(
                    disk::File::read_at(file.file(), at, len).unwrap(),
                    &content[from..from + len],
                    "{at} {len}"
                );
            }
        }
    }

    #[test]
    fn a_copy_begins_with_a_page() {
        let bytes = [7; 3 * PAGE];
        for from in [0, 1, 15, 16, 4095] {
            let pages = Pages::copied(&bytes[from..from + PAGE]);
            assert_eq!((pages.bytes().as_ptr().align_offset(PAGE), pages.bytes()), (0, &bytes[..PAGE]));
        }
    }

    /// A file that is open for reading only stands for a system that refuses.
    #[test]
    fn what_the_system_refuses_is_written_through_the_cache() {
        let named = tempfile::NamedTempFile::new().unwrap();
        let refusing = File::open(named.path()).unwrap();
        let file =
            DirectFile { file: named.reopen().unwrap(), direct: Some(refusing), refused: AtomicBool::new(false) };
        let error = file.write_at(0, &[1; LARGE]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(9), "another error is told");
        file.refused.store(true, Ordering::Relaxed);
        file.write_at(0, &[1; LARGE]).unwrap();
        assert_eq!(disk::File::read_at(file.file(), 0, LARGE).unwrap(), [1; LARGE]);
    }
}
