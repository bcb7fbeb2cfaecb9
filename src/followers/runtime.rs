//! The threads of the followers.

use std::{io, num::NonZeroUsize, thread::available_parallelism};

use tokio::runtime::{Builder, Handle, Runtime};

/// One thread for so many cores, so that followers never occupy all cores.
const CORES_PER_THREAD: usize = 2;

/// A Tokio runtime whose threads are fewer than the cores. Its blocking threads, on which host names of endpoints are
/// looked up, are its own too.
pub struct FollowerRuntime {
    handle: Handle,
    /// `None` once it is being dropped.
    runtime: Option<Runtime>,
}

impl FollowerRuntime {
    /// Starts the threads.
    ///
    /// # Errors
    /// The operating system gives no thread or no epoll instance.
    pub fn start() -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads((cores / CORES_PER_THREAD).max(1))
            .thread_name("followers")
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Returns the handle with which followers are started.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for FollowerRuntime {
    /// Ends without waiting for threads, because this may run on a thread of another runtime.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followers_leave_cores_to_requests() {
        let cores = available_parallelism().unwrap().get();
        let runtime = FollowerRuntime::start().unwrap();
        assert_eq!(runtime.handle().metrics().num_workers(), (cores / 2).max(1));
    }
}
