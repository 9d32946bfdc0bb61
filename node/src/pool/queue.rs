//! A bounded queue from tasks to threads: tasks wait for room without blocking, threads take all that is there.
//!
//! Room is counted in units of the caller's choosing (bytes, mostly). What was taken keeps its room until it is dropped, so
//! the bound holds for what is being worked on too.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Values on their way to worker threads.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    room: Arc<Semaphore>,
    capacity: u32,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<Item<T>>,
    closed: bool,
}

/// A value with the room it takes.
#[derive(Debug)]
pub(crate) struct Item<T> {
    pub(crate) value: T,
    _room: Option<OwnedSemaphorePermit>,
}

/// What a thread gets when it asks for work.
#[derive(Debug)]
pub(crate) enum Taken<T> {
    Items(Vec<Item<T>>),
    TimedOut,
    /// Closed, and everything queued before was taken.
    Closed,
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: u32) -> Queue<T> {
        Queue {
            state: Mutex::new(State { items: VecDeque::new(), closed: false }),
            filled: Condvar::new(),
            room: Arc::new(Semaphore::new(capacity as usize)),
            capacity,
        }
    }

    /// Queue `value` once there is room for `cost`; a cost above the capacity waits for all of it. Dropping the future
    /// while it waits queues nothing.
    pub(crate) async fn push(&self, value: T, cost: usize) -> Result<(), Closed> {
        let cost = u32::try_from(cost).unwrap_or(u32::MAX).min(self.capacity);
        let permit = self.room.clone().acquire_many_owned(cost).await.map_err(|_| Closed)?;
        self.insert(Item { value, _room: Some(permit) })
    }

    /// Queue `value` beside the bound: for what comes from a `drop` and is bounded by the number of things dropped.
    pub(crate) fn push_unbounded(&self, value: T) -> Result<(), Closed> {
        self.insert(Item { value, _room: None })
    }

    fn insert(&self, item: Item<T>) -> Result<(), Closed> {
        let mut state = self.lock();
        if state.closed {
            return Err(Closed);
        }
        state.items.push_back(item);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Wait for something, then take as many as `most` says of what is queued.
    pub(crate) fn take(&self, timeout: Option<Duration>, most: impl Fn(usize) -> usize) -> Taken<T> {
        let mut state = self.lock();
        while state.items.is_empty() {
            if state.closed {
                return Taken::Closed;
            }
            let Some(timeout) = timeout else {
                state = self.filled.wait(state).expect(NEVER_POISONED);
                continue;
            };
            let (locked, waited) = self.filled.wait_timeout(state, timeout).expect(NEVER_POISONED);
            state = locked;
            if waited.timed_out() && state.items.is_empty() && !state.closed {
                return Taken::TimedOut;
            }
        }
        let count = most(state.items.len()).clamp(1, state.items.len());
        let taken = state.items.drain(..count).collect();
        let left = !state.items.is_empty();
        drop(state);
        if left {
            self.filled.notify_one();
        }
        Taken::Items(taken)
    }

    /// Refuse what comes; what is queued is still handed out.
    /// Room that is taken, and all that there is.
    pub(crate) fn held(&self) -> (usize, usize) {
        let capacity = self.capacity as usize;
        (capacity - self.room.available_permits().min(capacity), capacity)
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect(NEVER_POISONED)
    }
}

const NEVER_POISONED: &str = "nothing under this lock panics";

/// The threads behind the queue ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("closed")]
pub(crate) struct Closed;

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn waits_for_room_until_what_was_taken_is_dropped() {
        let queue = Queue::new(10);
        queue.push("a", 10).await.unwrap();
        assert!(queue.push("b", 1).now_or_never().is_none());

        let Taken::Items(taken) = queue.take(None, |queued| queued) else { panic!("there is one") };
        assert!(queue.push("b", 1).now_or_never().is_none(), "it is still being worked on");
        drop(taken);

        queue.push("b", 1).now_or_never().unwrap().unwrap();
    }

    #[tokio::test]
    async fn hands_out_what_was_queued_before_it_was_closed() {
        let queue = Queue::new(10);
        queue.push("a", 1000).await.unwrap();
        queue.close();

        assert_eq!(queue.push("b", 1).await, Err(Closed));
        assert!(matches!(queue.take(None, |queued| queued), Taken::Items(items) if items[0].value == "a"));
        assert!(matches!(queue.take(None, |queued| queued), Taken::Closed));
    }
}
