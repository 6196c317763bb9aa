//! Threads on which blocking stores of synctable do their work: an [`Offload`] for [`Offloaded`](synctable_kv::Offloaded).
//!
//! ```
//! use std::sync::Arc;
//! use synctable_kv::{KvStore, Offloaded};
//! use synctable_memory::MemoryBackend; // an engine that blocks here
//! use synctable_threads::Threads;
//!
//! let store = KvStore::open(MemoryBackend::new()).unwrap();
//! let store = Offloaded::new(store, Arc::new(Threads::new()));
//! ```

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use synctable_kv::{Job, Lane, Offload};

/// Threads that wait for work in each lane; more end when theirs is done.
const KEPT: usize = 4;
/// Reads that are done at once; more wait for their turn, so that no number of calls takes all threads of the system.
const READS: usize = 128;

/// One thread for commits, and as many for reads as there are reads at once, up to 128. They start when they are needed, and end with this value.
#[derive(Debug, Default)]
pub struct Threads {
    commits: Arc<Workers>,
    reads: Arc<Workers>,
}

#[derive(Debug, Default)]
struct Workers {
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    over: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("jobs", &self.jobs.len())
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Threads {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many threads there are.
    pub fn count(&self) -> usize {
        self.commits.queue().threads + self.reads.queue().threads
    }
}

impl Offload for Threads {
    fn run(&self, lane: Lane, job: Job) {
        match lane {
            Lane::Commit => Workers::take(&self.commits, job, 1),
            _ => Workers::take(&self.reads, job, READS),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for workers in [&self.commits, &self.reads] {
            workers.queue().over = true;
            workers.more.notify_all();
        }
    }
}

impl Workers {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a job done by a thread that is idle, or by a new one up to `most`.
    fn take(workers: &Arc<Self>, job: Job, most: usize) {
        let mut queue = workers.queue();
        queue.jobs.push_back(job);
        if queue.idle < queue.jobs.len() && queue.threads < most {
            let theirs = Arc::clone(workers);
            let started = thread::Builder::new()
                .name("synctable".to_owned())
                .spawn(move || theirs.work());
            if started.is_ok() {
                queue.threads += 1;
            } else if queue.threads == 0 {
                // The system has no thread left for the only one that would do it: whoever waits gets an error.
                let unheard = std::mem::take(&mut queue.jobs);
                drop(queue);
                drop(unheard);
                return;
            }
        }
        drop(queue);
        workers.more.notify_one();
    }

    fn work(&self) {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                // A job tells of its own panic; the thread goes on.
                let _ = catch_unwind(AssertUnwindSafe(job));
                queue = self.queue();
            } else if queue.over || queue.idle >= KEPT {
                queue.threads -= 1;
                return;
            } else {
                queue.idle += 1;
                queue = self
                    .more
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
            }
        }
    }
}
