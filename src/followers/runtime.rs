//! The threads of the followers, which give way to requests.

use std::{io, num::NonZeroUsize, sync::Once, thread::available_parallelism};

use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::{Builder, Handle, Runtime};

/// What is added to the nice value of the process: a request that becomes ready takes the core from a follower.
const NICE: i32 = 10;
/// Maximum nice value of Linux.
const MAX_NICE: i32 = 19;
/// One thread for so many cores, so that followers never occupy all cores.
const CORES_PER_THREAD: usize = 2;

/// A Tokio runtime whose threads have a lower priority than those of requests. Its blocking threads, on which host
/// names of endpoints are looked up, are its own too.
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
            .on_thread_start(lower_priority)
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

/// Raises the nice value of the calling thread. Linux has one for each thread; other systems have one for the process.
fn lower_priority() {
    static FAILED: Once = Once::new();
    if !cfg!(target_os = "linux") {
        return;
    }
    let nice = getpriority_process(None).map(|nice| (nice + NICE).min(MAX_NICE));
    if let Err(error) = nice.and_then(|nice| setpriority_process(None, nice)) {
        FAILED.call_once(|| tracing::warn!(%error, "followers run at the priority of requests"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_followers_have_a_lower_priority_than_others() {
        let (runtime, own) = (FollowerRuntime::start().unwrap(), getpriority_process(None).unwrap());
        let nice = async { getpriority_process(None).unwrap() };
        let (of_worker, of_blocking) = (
            runtime.handle().spawn(nice),
            runtime.handle().spawn_blocking(|| getpriority_process(None).unwrap()),
        );
        let lower = (own + NICE).min(MAX_NICE);
        assert_eq!(runtime.handle().block_on(of_worker).unwrap(), lower);
        assert_eq!(runtime.handle().block_on(of_blocking).unwrap(), lower);
        assert_eq!(getpriority_process(None).unwrap(), own);
    }
}
