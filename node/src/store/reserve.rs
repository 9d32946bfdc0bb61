//! A file that holds disk space back. When the disk is full it is given up, so that what was appended can be committed and
//! collection can delete; while it is given up nothing is appended.

use std::io;
use std::sync::Arc;

use super::disk::Disk;

/// Space held back for commits.
#[derive(Debug)]
pub(super) struct Reserve {
    disk: Arc<dyn Disk>,
    size: u64,
    held: bool,
}

impl Reserve {
    /// Take `size` bytes of disk space, if there is so much.
    pub(super) fn hold(disk: Arc<dyn Disk>, size: u64) -> Reserve {
        let mut reserve = Reserve { disk, size, held: false };
        reserve.held = reserve.is_whole();
        reserve.restore();
        reserve
    }

    fn is_whole(&self) -> bool {
        self.disk.open(NAME).and_then(|file| file.len()).is_ok_and(|length| length == self.size)
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// Give the space back; says whether there was any.
    pub(super) fn release(&mut self) -> bool {
        let held = std::mem::replace(&mut self.held, false);
        held && self.disk.remove(NAME).is_ok()
    }

    /// Take the space again, where there is so much; says whether it is held.
    pub(super) fn restore(&mut self) -> bool {
        if !self.held {
            self.held = self.take().is_ok();
        }
        self.held
    }

    fn take(&self) -> io::Result<()> {
        match self.disk.remove(NAME) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create(NAME)?;
        file.allocate(self.size).inspect_err(|_| {
            // A part of it would only be in the way.
            let _ = self.disk.remove(NAME);
        })
    }
}

pub(super) const NAME: &str = "reserve";
