//! The threads of a store: one writes, one flushes, a few read. They end with the last handle.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::flusher::Flushing;
use super::shared::Shared;
use super::writer::Writer;

/// Running threads, and what they share.
#[derive(Debug)]
pub(super) struct Threads {
    pub(super) shared: Arc<Shared>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    pub(super) fn start(writer: Writer, flushing: Flushing, readers: usize) -> std::io::Result<Threads> {
        let threads = Threads { shared: writer.shared.clone(), running: Mutex::default() };
        threads.spawn("store-writer", move || run_writer(writer))?;
        threads.spawn("store-flusher", move || flushing.run())?;
        for _ in 0..readers.max(1) {
            let shared = threads.shared.clone();
            threads.spawn("store-reader", move || shared.run_reader())?;
        }
        Ok(threads)
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let thread = Builder::new().name(name.to_owned()).spawn(work)?;
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Let them finish what is queued, wait for that, and close the databases: handles that are left reach no file.
    pub(super) fn end(&self) {
        self.shared.writes.close();
        self.shared.reads.close();
        for thread in self.running.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if thread.join().is_err() {
                tracing::error!(folder = %self.shared.folder.display(), "a thread of the store panicked");
            }
        }
        self.shared.index.close();
        self.shared.roots.close();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whatever ends the writer thread, nobody waits for it after that.
fn run_writer(writer: Writer) {
    struct Close(Arc<Shared>);
    impl Drop for Close {
        fn drop(&mut self) {
            self.0.writes.close();
        }
    }
    let _close = Close(writer.shared.clone());
    writer.run();
}
