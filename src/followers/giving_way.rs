//! How followers let requests run first.

use std::{future::poll_fn, pin::pin, thread::yield_now};

use hyper::rt::Executor;

/// Runs a future as part of a follower: after each poll, other threads that wait for the core run first.
///
/// Without it, Linux lets a thread finish its time slice of 1 to 3 ms while requests wait, whatever its nice value.
pub async fn giving_way<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        yield_now();
        polled
    })
    .await
}

/// Executor for the connections of a client of hyper, as tasks of the current runtime with [`giving_way`].
#[derive(Clone, Copy, Debug)]
pub struct GivingWay;

impl<F> Executor<F> for GivingWay
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(giving_way(future));
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn result_is_that_of_the_future() {
        let (sender, receiver) = oneshot::channel();
        GivingWay.execute(giving_way(async move { sender.send(7) }));
        assert_eq!(giving_way(receiver).await, Ok(7));
    }
}
