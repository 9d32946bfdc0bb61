//! A thread that puts on the disk what is being appended, while more is appended, so that a commit finds little left to do.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::File;

/// The appender's end.
#[derive(Debug)]
pub(super) struct Flusher {
    files: SyncSender<Arc<dyn File>>,
    /// Locked while a file is synced: the system tells an error once, and two who sync must not miss it between them.
    failed: Arc<Mutex<Option<io::Error>>>,
    unflushed: usize,
}

/// The thread's end.
#[derive(Debug)]
pub(super) struct Flushing {
    files: Receiver<Arc<dyn File>>,
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl Flusher {
    pub(super) fn new() -> (Flusher, Flushing) {
        let (sender, files) = sync_channel(1);
        let failed = Arc::new(Mutex::default());
        (Flusher { files: sender, failed: failed.clone(), unflushed: 0 }, Flushing { files, failed })
    }

    /// So many bytes were appended to `file`.
    pub(super) fn appended(&mut self, file: &Arc<dyn File>, bytes: usize) {
        self.unflushed += bytes;
        // Busy: what is queued covers a part of it, the next one the rest.
        if self.unflushed >= FLUSH && self.files.try_send(file.clone()).is_ok() {
            self.unflushed = 0;
        }
    }

    /// Put all of these on the disk; an error that the thread met is returned here.
    pub(super) fn sync(&mut self, files: &[Arc<dyn File>]) -> io::Result<()> {
        let mut failed = lock(&self.failed);
        if let Some(error) = failed.take() {
            return Err(error);
        }
        self.unflushed = 0;
        files.iter().try_for_each(|file| file.sync_data())
    }
}

impl Flushing {
    /// Work until the appender is gone.
    pub(super) fn run(self) {
        while let Ok(file) = self.files.recv() {
            let mut failed = lock(&self.failed);
            if let Err(error) = file.sync_data() {
                *failed = Some(error);
            }
        }
    }
}

fn lock(failed: &Mutex<Option<io::Error>>) -> MutexGuard<'_, Option<io::Error>> {
    failed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes appended between two flushes.
const FLUSH: usize = 32 * 1024 * 1024;
