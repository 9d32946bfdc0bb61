//! What a program has written to a pipe so far, and waiting for what it will.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

/// The bytes of one pipe, read by a thread of its own so that the program never waits for the test.
pub(crate) struct Transcript(Arc<Shared>);

impl Transcript {
    pub(crate) fn follow(mut pipe: impl Read + Send + 'static) -> Transcript {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let count = pipe.read(&mut buffer).unwrap_or(0);
                let mut written = writer.written.lock().expect("no holder panics");
                written.bytes.extend_from_slice(&buffer[..count]);
                written.ended = count == 0;
                writer.changed.notify_all();
                if written.ended {
                    return;
                }
            }
        });
        Transcript(shared)
    }

    /// Waits until `met` accepts what is there, the pipe ends or the deadline passes.
    pub(crate) fn wait(&self, deadline: Instant, met: impl Fn(&[u8]) -> bool) -> Wait {
        let mut written = self.0.written.lock().expect("no holder panics");
        loop {
            if met(&written.bytes) {
                return Wait::Met;
            }
            if written.ended {
                return Wait::Ended;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Wait::Late;
            }
            written = self.0.changed.wait_timeout(written, left).expect("no holder panics").0;
        }
    }

    /// Waits for the end of the pipe; false when the deadline passes first.
    pub(crate) fn wait_end(&self, deadline: Instant) -> bool {
        matches!(self.wait(deadline, |_| false), Wait::Ended)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.written.lock().expect("no holder panics").bytes.clone()
    }
}

#[derive(Default)]
struct Shared {
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    ended: bool,
}

/// How a wait came out.
pub(crate) enum Wait {
    Ended,
    Late,
    Met,
}
