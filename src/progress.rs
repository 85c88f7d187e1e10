//! Who goes round: the parts of the daemon that must not stand still, and when each was last seen to move.
//!
//! A part is a task that goes round for as long as the daemon works. Wherever it begins another round, or takes the next of many
//! things, or tries again what is away, it says so ([`goes_round`]). So an outage is no standstill: whoever waits for a database
//! tries again, and every try has an end. What is left is a part that waits for something which never comes, and such a daemon is
//! better started again: the watchdog of systemd is fed only as long as [`Progress::standing_still`] finds nobody.
//!
//! The part is known to its task, and to nothing else; code that may run in any task needs not know whose it is.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// The longest that a part may take from one mark to the next. Each of its waits ends much sooner: 30 s for a statement of the
/// database, 6 s for Redis.
pub const STANDSTILL: Duration = Duration::from_mins(2);

/// How often a part that has nothing to do says that it would.
const IDLE_MARK: Duration = Duration::from_secs(5);

tokio::task_local! {
    static PART: Part;
}

/// All parts of one daemon. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<Vec<Weak<Mark>>>>);

/// One part; it is judged as long as it, or a clone, is kept.
#[derive(Debug, Clone)]
pub struct Part(Arc<Mark>);

#[derive(Debug)]
struct Mark {
    name: String,
    longest: Duration,
    begun: Instant,
    /// Milliseconds since `begun`.
    last_ms: AtomicU64,
    /// How much of what is under way has an end of its own, and is not ours to judge.
    with_an_end: AtomicU64,
}

/// A part that has been still for too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standstill {
    /// Its name.
    pub part: String,
    /// For how long.
    pub still: Duration,
}

impl Progress {
    /// A new part, which may stand still for no longer than `longest`.
    pub fn part(&self, name: impl Into<String>, longest: Duration) -> Part {
        let mark = Arc::new(Mark {
            name: name.into(),
            longest,
            begun: Instant::now(),
            last_ms: AtomicU64::new(0),
            with_an_end: AtomicU64::new(0),
        });
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.retain(|part| part.strong_count() > 0);
        parts.push(Arc::downgrade(&mark));
        Part(mark)
    }

    /// Runs `task` as the part `name`.
    pub fn watch<T: Future>(&self, name: &str, task: T) -> impl Future<Output = T::Output> + use<T> {
        self.part(name, STANDSTILL).run(task)
    }

    /// The parts that have stood still for too long by `now`.
    pub fn standing_still(&self, now: Instant) -> Vec<Standstill> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = parts.iter().filter_map(Weak::upgrade);
        parts.filter_map(|mark| mark.standstill(now)).collect()
    }
}

impl Part {
    /// Runs `task` as this part.
    pub fn run<T: Future>(self, task: T) -> impl Future<Output = T::Output> + use<T> {
        PART.scope(self, task)
    }

    /// It has moved.
    pub fn moves(&self) {
        self.0.note(Instant::now());
    }
}

impl Mark {
    fn note(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.begun).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.last_ms.store(passed, Ordering::Relaxed);
    }

    fn standstill(&self, now: Instant) -> Option<Standstill> {
        if self.with_an_end.load(Ordering::Acquire) > 0 {
            return None;
        }
        let last = self.last_ms.load(Ordering::Relaxed);
        let passed = now.saturating_duration_since(self.begun);
        let still = passed.saturating_sub(Duration::from_millis(last));
        (still > self.longest).then(|| Standstill {
            part: self.name.clone(),
            still,
        })
    }
}

/// Says that the part whose task this is has moved. In any other task it says nothing.
pub fn goes_round() {
    let _ = PART.try_with(Part::moves);
}

/// Waits for what may never come, a job or a stop, and goes round all the while.
pub async fn while_idle<T>(coming: impl Future<Output = T>) -> T {
    marking_every(IDLE_MARK, coming).await
}

async fn marking_every<T>(period: Duration, coming: impl Future<Output = T>) -> T {
    let mut coming = pin!(coming);
    loop {
        goes_round();
        if let Ok(come) = tokio::time::timeout(period, &mut coming).await {
            goes_round();
            return come;
        }
    }
}

/// Does what has an end of its own that may be later than a part may stand still, such as the run of a job.
pub async fn with_an_end<T>(work: impl Future<Output = T>) -> T {
    let _unjudged = PART.try_with(|part| Unjudged::begin(&part.0)).ok();
    work.await
}

/// A part is not judged as long as this is kept.
struct Unjudged(Arc<Mark>);

impl Unjudged {
    fn begin(mark: &Arc<Mark>) -> Self {
        mark.with_an_end.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(mark))
    }
}

impl Drop for Unjudged {
    fn drop(&mut self) {
        self.0.note(Instant::now());
        self.0.with_an_end.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// Who stands still a while from now, if nobody moves until then.
    fn still_after(progress: &Progress, passed: Duration) -> Vec<String> {
        let still = progress.standing_still(Instant::now() + passed);
        still.into_iter().map(|standstill| standstill.part).collect()
    }

    #[test]
    fn a_part_stands_still_once_it_has_not_moved_for_its_longest_time() {
        let progress = Progress::default();
        let (quick, slow) = (progress.part("quick", MINUTE), progress.part("slow", MINUTE * 3));
        let begun = quick.0.begun;
        let names = |passed| -> Vec<_> {
            let still = progress.standing_still(begun + passed);
            still.into_iter().map(|standstill| standstill.part).collect()
        };
        assert_eq!(names(MINUTE), [""; 0]);
        assert_eq!(names(MINUTE * 2), ["quick"]);
        assert_eq!(progress.standing_still(begun + MINUTE * 2)[0].still, MINUTE * 2);
        assert_eq!(names(MINUTE * 4), ["quick", "slow"]);
        quick.0.note(begun + MINUTE * 3);
        assert_eq!(names(MINUTE * 4), ["slow"]);
        drop(slow);
        assert_eq!(names(MINUTE * 4), [""; 0], "what has ended does not go round any more");
    }

    #[tokio::test]
    async fn a_task_that_hangs_is_found() {
        let progress = Progress::default();
        let task = tokio::spawn(progress.watch("intake", async {
            goes_round();
            std::future::pending::<()>().await;
        }));
        assert_eq!(still_after(&progress, MINUTE), [""; 0]);
        assert_eq!(still_after(&progress, STANDSTILL + MINUTE), ["intake"]);
        task.abort();
        let _ = task.await;
        assert_eq!(still_after(&progress, STANDSTILL + MINUTE), [""; 0], "it is no more");
    }

    #[tokio::test]
    async fn a_task_that_waits_for_something_to_do_goes_round() {
        let progress = Progress::default();
        let part = progress.part("idle", MINUTE);
        let last = || part.0.last_ms.load(Ordering::Relaxed);
        let idling = part
            .clone()
            .run(marking_every(Duration::from_millis(1), std::future::pending::<()>()));
        let seen = async {
            for _ in 0..3 {
                let before = last();
                while last() == before {
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::select! {
            () = idling => unreachable!("nothing comes"),
            () = seen => {}
        }
    }

    #[tokio::test]
    async fn what_has_an_end_of_its_own_is_not_judged_until_then() {
        let progress = Progress::default();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let (done, is_done) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(progress.watch("recovery", async {
            let work = async {
                // As whatever tries again in it.
                goes_round();
                let _ = ended.await;
            };
            with_an_end(work).await;
            let _ = done.send(());
            std::future::pending::<()>().await;
        }));
        while !still_after(&progress, STANDSTILL * 2).is_empty() {
            tokio::task::yield_now().await;
        }
        end.send(()).expect("it waits");
        is_done.await.expect("it goes on");
        assert_eq!(still_after(&progress, STANDSTILL * 2), ["recovery"]);
        task.abort();
    }

    #[tokio::test]
    async fn outside_of_a_part_nothing_happens() {
        goes_round();
        assert_eq!(while_idle(async { 1 }).await, 1);
        assert_eq!(with_an_end(async { 2 }).await, 2);
    }
}
