//! The hashing threads. They take whatever is queued, across callers, and never wait to fill a batch: one block alone is
//! hashed at once, many that came together are hashed side by side, which is several times as fast.

pub(crate) mod queue;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use cidra_content::block::{Block, BlockError};
use cidra_content::hash::{Expect, LeafKind, new_many, verify_many};
use tokio::sync::oneshot;

use queue::{Queue, Taken};

/// A handle on the hashing threads; the last one that goes ends them.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue<Job>,
    threads: usize,
    /// Calls of `content::hash`, for tests and metrics.
    batches: AtomicUsize,
}

impl Pool {
    /// Start so many threads, at least one.
    pub fn new(threads: usize) -> std::io::Result<Pool> {
        let threads = threads.max(1);
        let shared = Arc::new(Shared { queue: Queue::new(QUEUED), threads, batches: AtomicUsize::new(0) });
        let pool = Pool { inner: Arc::new(Inner { shared: shared.clone(), threads: Mutex::default() }) };
        for _ in 0..threads {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name("hash".to_owned()).spawn(move || shared.run())?;
            pool.inner.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(pool)
    }

    /// Prove that bytes are the blocks that they are said to be; answers come in the order of the questions. Waits while
    /// 32 MiB are queued. Dropping the future leaves unhashed what is not begun.
    pub async fn verify(&self, blocks: Vec<(Expect, Bytes)>) -> Vec<Result<Block, BlockError>> {
        let (call, answer) = Call::new(blocks.len());
        for (at, (expect, data)) in blocks.into_iter().enumerate() {
            self.push(Work::Verify(expect, data, call.clone()), at).await;
        }
        drop(call);
        answer.await.expect("hashing does not panic")
    }

    /// Make blocks out of our own bytes, in their order. Waits while 32 MiB are queued. Dropping the future leaves unhashed
    /// what is not begun.
    pub async fn make(&self, kind: LeafKind, data: Vec<Bytes>) -> Vec<Block> {
        let (call, answer) = Call::new(data.len());
        for (at, data) in data.into_iter().enumerate() {
            self.push(Work::Make(kind, data, call.clone()), at).await;
        }
        drop(call);
        answer.await.expect("hashing does not panic")
    }

    /// Bytes that are queued or being hashed, and the most that may be.
    pub fn queued(&self) -> (usize, usize) {
        self.inner.shared.queue.held()
    }

    async fn push(&self, work: Work, at: usize) {
        let cost = work.data().len() + JOB_OVERHEAD;
        let pushed = self.inner.shared.queue.push(Job { work, at }, cost).await;
        pushed.expect("the threads end with the last handle");
    }
}

/// Bytes queued or being hashed; then whoever brings more waits.
const QUEUED: u32 = 32 * 1024 * 1024;
/// What a job counts beside its data.
const JOB_OVERHEAD: usize = 256;

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.queue.close();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a hashing thread panicked");
            }
        }
    }
}

type Verified = Result<Block, BlockError>;

/// One block to hash, and where its answer goes.
#[derive(Debug)]
struct Job {
    work: Work,
    at: usize,
}

#[derive(Debug)]
enum Work {
    Verify(Expect, Bytes, Arc<Call<Verified>>),
    Make(LeafKind, Bytes, Arc<Call<Block>>),
}

impl Work {
    fn data(&self) -> &Bytes {
        match self {
            Work::Verify(_, data, _) | Work::Make(_, data, _) => data,
        }
    }
}

/// The answers of one call, sent when all are there.
#[derive(Debug)]
struct Call<T> {
    answers: Mutex<Answers<T>>,
}

#[derive(Debug)]
struct Answers<T> {
    have: Vec<Option<T>>,
    missing: usize,
    reply: Option<oneshot::Sender<Vec<T>>>,
}

impl<T> Call<T> {
    fn new(count: usize) -> (Arc<Call<T>>, oneshot::Receiver<Vec<T>>) {
        let (reply, answer) = oneshot::channel();
        let mut answers =
            Answers { have: std::iter::repeat_with(|| None).take(count).collect(), missing: count, reply: Some(reply) };
        answers.finish();
        (Arc::new(Call { answers: Mutex::new(answers) }), answer)
    }

    fn is_wanted(&self) -> bool {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    fn answer(&self, at: usize, answer: T) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.have[at].replace(answer).is_none() {
            answers.missing -= 1;
        }
        answers.finish();
    }
}

impl<T> Answers<T> {
    fn finish(&mut self) {
        if self.missing > 0 {
            return;
        }
        if let Some(reply) = self.reply.take() {
            // Nobody wants it when the future was dropped.
            let _ = reply.send(self.have.drain(..).flatten().collect());
        }
    }
}

impl Shared {
    fn run(&self) {
        // A fair share of what is queued, so that no thread is idle while another has all of it.
        let share = |queued: usize| queued.div_ceil(self.threads).clamp(LANES.min(queued), BATCH);
        while let Taken::Items(items) = self.queue.take(None, share) {
            // The items keep their room in the queue until they are hashed.
            let (mut verify, mut make) = (Vec::new(), Vec::new());
            for item in &items {
                match &item.value.work {
                    Work::Verify(expect, data, call) if call.is_wanted() => {
                        verify.push((*expect, data, call, item.value.at))
                    }
                    Work::Make(kind, data, call) if call.is_wanted() => make.push((*kind, data, call, item.value.at)),
                    _ => {}
                }
            }
            self.verify(&verify);
            for same in make.chunk_by(|(a, ..), (b, ..)| a == b) {
                self.make(same);
            }
        }
    }

    fn verify(&self, jobs: &[(Expect, &Bytes, &Arc<Call<Verified>>, usize)]) {
        if jobs.is_empty() {
            return;
        }
        self.batches.fetch_add(1, Ordering::Relaxed);
        let blocks = jobs.iter().map(|(expect, data, ..)| (*expect, (*data).clone())).collect();
        for ((.., call, at), answer) in jobs.iter().zip(verify_many(blocks)) {
            call.answer(*at, answer);
        }
    }

    fn make(&self, jobs: &[(LeafKind, &Bytes, &Arc<Call<Block>>, usize)]) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        let blocks = jobs.iter().map(|(_, data, ..)| (*data).clone()).collect();
        for ((.., call, at), block) in jobs.iter().zip(new_many(jobs[0].0, blocks)) {
            call.answer(*at, block);
        }
    }
}

/// Blocks that the widest CPUs hash side by side: fewer than this many are not shared out among threads.
const LANES: usize = 16;
/// Most blocks that a thread takes at once, so that a long queue is answered as it goes.
const BATCH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use cid::Version;
    use cidra_content::block::RAW;
    use cidra_content::hash::Function;
    use futures::FutureExt;

    #[tokio::test]
    async fn answers_come_in_the_order_of_the_questions() {
        let pool = Pool::new(3).unwrap();
        let data: Vec<Bytes> = (0..500u32).map(|number| Bytes::copy_from_slice(&number.to_le_bytes())).collect();

        let made = pool.make(KIND, data.clone()).await;
        assert_eq!(made, data.iter().map(|data| Block::new(RAW, data.clone())).collect::<Vec<_>>());

        let questions = made.iter().enumerate().map(|(at, block)| {
            let wrong = at % 7 == 0;
            (Expect::Cid(*block.cid()), if wrong { Bytes::from_static(b"other") } else { block.data().clone() })
        });
        let answers = pool.verify(questions.collect()).await;
        for (at, (answer, block)) in answers.into_iter().zip(made).enumerate() {
            assert_eq!(answer.ok(), (at % 7 != 0).then_some(block), "block {at}");
        }
    }

    #[tokio::test]
    async fn nothing_to_do_is_done_at_once() {
        let pool = Pool::new(1).unwrap();
        assert!(pool.verify(Vec::new()).await.is_empty());
        assert!(pool.make(KIND, Vec::new()).await.is_empty());
    }

    #[tokio::test]
    async fn a_thread_takes_what_is_queued_across_callers() {
        let shared = Arc::new(Shared { queue: Queue::new(QUEUED), threads: 1, batches: AtomicUsize::new(0) });
        let pool = Pool { inner: Arc::new(Inner { shared: shared.clone(), threads: Mutex::default() }) };
        let callers: Vec<_> = (0..10u8).map(|number| pool.make(KIND, vec![Bytes::from(vec![number])])).collect();
        let mut calls = futures::future::join_all(callers);
        assert!((&mut calls).now_or_never().is_none(), "no thread runs yet");

        shared.queue.close();
        shared.run();

        assert_eq!(calls.await.len(), 10);
        assert_eq!(shared.batches.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_hashed() {
        let shared = Arc::new(Shared { queue: Queue::new(QUEUED), threads: 1, batches: AtomicUsize::new(0) });
        let pool = Pool { inner: Arc::new(Inner { shared: shared.clone(), threads: Mutex::default() }) };
        assert!(pool.make(KIND, vec![Bytes::from_static(b"x"); 5]).now_or_never().is_none());

        shared.queue.close();
        shared.run();

        assert_eq!(shared.batches.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn more_than_fits_in_the_queue_waits_and_goes_through() {
        let pool = Pool::new(2).unwrap();
        let data = vec![Bytes::from(vec![7; 1024 * 1024]); QUEUED as usize / (1024 * 1024) + 8];
        assert_eq!(pool.make(KIND, data.clone()).await.len(), data.len());
    }

    const KIND: LeafKind = LeafKind { codec: RAW, version: Version::V1, hash: Function::Sha2_256 };
}
