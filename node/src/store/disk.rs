//! The files that the store keeps, behind two small traits, so that a test can put a disk under it that forgets unsynced
//! bytes, tears writes and runs full. All files lie in one folder, so that there is one folder to sync.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

/// A folder of files.
pub(super) trait Disk: Debug + Send + Sync + 'static {
    /// Names of the files in the folder.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Open a file that exists.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Make a file that does not exist yet; it survives power loss after `sync_folder`.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Bytes of disk space that a file takes, which are fewer than its length where it has holes.
    fn allocated(&self, name: &str) -> io::Result<u64>;
    fn sync_folder(&self) -> io::Result<()>;
    /// Bytes that can still be written.
    fn free(&self) -> io::Result<u64>;
}

/// A file of the store.
pub(super) trait File: Debug + Send + Sync + 'static {
    fn len(&self) -> io::Result<u64>;
    /// Exactly `length` bytes; an error of kind `UnexpectedEof` where the file is shorter.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// Fill `out`; an error of kind `UnexpectedEof` where the file is shorter.
    fn read_into(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Write all of `slices`, one after the other.
    fn write_at(&self, offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()>;
    fn set_len(&self, length: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    /// Make sure that `length` bytes can be written without running out of space.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Give back the space of these bytes, which read as zeros from here on; an error of kind `Unsupported` where that
    /// cannot be. What is not a whole page of the file may only be zeroed.
    fn punch(&self, offset: u64, length: u64) -> io::Result<()>;
}

/// A real folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Folder {
        Folder { path }
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    #[cfg(unix)]
    fn allocated(&self, name: &str) -> io::Result<u64> {
        // `st_blocks` counts units of 512 bytes, whatever the blocks of the file system are.
        let metadata = std::fs::metadata(self.path.join(name))?;
        Ok(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512)
    }

    #[cfg(not(unix))]
    fn allocated(&self, name: &str) -> io::Result<u64> {
        Ok(std::fs::metadata(self.path.join(name))?.len())
    }

    #[cfg(unix)]
    fn sync_folder(&self) -> io::Result<()> {
        std::fs::File::open(&self.path)?.sync_all()
    }

    #[cfg(not(unix))]
    fn sync_folder(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn free(&self) -> io::Result<u64> {
        let room = rustix::fs::statvfs(&self.path)?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    #[cfg(not(target_os = "linux"))]
    fn free(&self) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl File for std::fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(target_os = "linux")]
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        // Into spare capacity: zeroing a mebibyte costs as much as reading it.
        let mut data = Vec::with_capacity(length);
        while data.len() < length {
            let at = offset + data.len() as u64;
            match rustix::io::pread(self, rustix::buffer::spare_capacity(&mut data), at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The allocator may give more room than asked for.
        data.truncate(length);
        Ok(data)
    }

    #[cfg(not(target_os = "linux"))]
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut data = vec![0; length];
        self.read_into(offset, &mut data)?;
        Ok(data)
    }

    #[cfg(unix)]
    fn read_into(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, out, offset)
    }

    #[cfg(windows)]
    fn read_into(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < out.len() {
            match std::os::windows::fs::FileExt::seek_read(self, &mut out[done..], offset + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn write_at(&self, offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let (mut at, mut left) = (offset, slices);
        while !left.is_empty() {
            let few = left.len().min(SLICES_A_CALL);
            match rustix::io::pwritev(self, &left[..few], at) {
                Ok(0) if left.iter().any(|slice| !slice.is_empty()) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    at += count as u64;
                    IoSlice::advance_slices(&mut left, count);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn write_at(&self, offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut at = offset;
        for slice in slices {
            #[cfg(unix)]
            std::os::unix::fs::FileExt::write_all_at(self, slice, at)?;
            #[cfg(windows)]
            {
                let mut done = 0;
                while done < slice.len() {
                    done += std::os::windows::fs::FileExt::seek_write(self, &slice[done..], at + done as u64)?;
                }
            }
            at += slice.len() as u64;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        std::fs::File::set_len(self, length)
    }

    fn sync_data(&self) -> io::Result<()> {
        std::fs::File::sync_data(self)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        match rustix::fs::fallocate(self, rustix::fs::FallocateFlags::empty(), 0, length) {
            // Some file systems cannot.
            Err(rustix::io::Errno::OPNOTSUPP) => {}
            done => return Ok(done?),
        }
        let zeros = vec![0; ZEROS];
        let mut at = 0;
        while at < length {
            let count = (length - at).min(ZEROS as u64);
            self.write_at(at, &mut [IoSlice::new(&zeros[..count as usize])])?;
            at += count;
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        use rustix::fs::FallocateFlags;
        rustix::fs::fallocate(self, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length)?;
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn punch(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The kernel takes at most 1,024 slices a call (`IOV_MAX`).
#[cfg(target_os = "linux")]
const SLICES_A_CALL: usize = 1024;
/// Bytes written a call where space cannot be reserved but by writing.
const ZEROS: usize = 256 * 1024;
