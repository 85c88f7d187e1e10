//! Entries that were read but not started: a bounded buffer between the reader and the worker.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;

use super::entry::Entry;

/// Not a channel: at the end the *reader* takes out what was not started, to hand it back while handlers are still running.
#[derive(Debug)]
pub(super) struct Prefetch {
    inner: Mutex<Inner>,
    room: Notify,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Entry>,
    worker: Option<Waker>,
    closed: bool,
}

impl Prefetch {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::default(),
            room: Notify::new(),
            capacity: capacity.max(1),
        }
    }

    /// The next entry for the worker; none while `held`, and none ever after [`Self::close`].
    pub(super) fn poll_next(&self, cx: &Context<'_>, held: bool) -> Poll<Option<Entry>> {
        let mut inner = self.inner();
        if inner.closed {
            return Poll::Ready(None);
        }
        if !held && let Some(entry) = inner.waiting.pop_front() {
            if self.enough_room(&inner) {
                self.room.notify_one();
            }
            return Poll::Ready(Some(entry));
        }
        inner.worker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Adds entries, of which there are no more than [`Self::room`] said.
    pub(super) fn put(&self, entries: Vec<Entry>) {
        self.inner().waiting.extend(entries);
        self.wake();
    }

    /// Wakes the worker when something waits for it, as after a pause.
    pub(super) fn wake(&self) {
        let mut inner = self.inner();
        if inner.waiting.is_empty() {
            return;
        }
        let worker = inner.worker.take();
        drop(inner);
        if let Some(worker) = worker {
            worker.wake();
        }
    }

    /// Whether nothing waits for the worker.
    pub(super) fn is_empty(&self) -> bool {
        self.inner().waiting.is_empty()
    }

    /// Waits until half of the buffer is free, so that a busy worker is not fed by reads of one entry, and tells how much is.
    pub(super) async fn room(&self) -> usize {
        loop {
            {
                let inner = self.inner();
                if self.enough_room(&inner) {
                    return self.capacity - inner.waiting.len();
                }
            }
            self.room.notified().await;
        }
    }

    /// Ends the flow to the worker, and returns what was not started.
    pub(super) fn close(&self) -> Vec<Entry> {
        let mut inner = self.inner();
        inner.closed = true;
        let rest = inner.waiting.drain(..).collect();
        let worker = inner.worker.take();
        drop(inner);
        if let Some(worker) = worker {
            worker.wake();
        }
        rest
    }

    fn enough_room(&self, inner: &Inner) -> bool {
        inner.waiting.len() <= self.capacity / 2
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Whole at every moment, so that a panic elsewhere does not spoil it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
