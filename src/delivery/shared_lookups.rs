//! Lookups of host names: one at a time for each host, and a bounded number in all.
//!
//! A lookup of the operating system cannot be cancelled: it occupies a thread until the resolver gives up, which may
//! take longer than an attempt. So attempts at one host share a lookup, and a host whose name servers do not answer
//! occupies one thread.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::sync::Semaphore;

use super::Resolve;

/// Host and port.
type Target = (String, u16);
/// A lookup in progress. Errors are kept as their kinds, because all callers get them.
type Lookup = Shared<BoxFuture<'static, Result<Vec<SocketAddr>, io::ErrorKind>>>;

/// A resolver whose callers share lookups. Clones share them too.
#[derive(Clone)]
pub(super) struct SharedLookups {
    resolver: Arc<dyn Resolve>,
    permits: Arc<Semaphore>,
    running: Arc<Mutex<HashMap<Target, Lookup>>>,
}

impl SharedLookups {
    /// Makes at most `max` lookups at once. Further ones wait.
    pub(super) fn new(resolver: Arc<dyn Resolve>, max: usize) -> Self {
        Self { resolver, permits: Arc::new(Semaphore::new(max)), running: Arc::default() }
    }

    fn join(&self, host: &str, port: u16) -> Lookup {
        let target = (host.to_owned(), port);
        let mut running = self.lock();
        if let Some(lookup) = running.get(&target) {
            return lookup.clone();
        }
        let lookup = self.clone().look_up(target.clone()).boxed().shared();
        running.insert(target, lookup.clone());
        // Driven to its end also if its callers are dropped.
        tokio::spawn(lookup.clone());
        lookup
    }

    async fn look_up(self, target: Target) -> Result<Vec<SocketAddr>, io::ErrorKind> {
        // Never closed.
        let _permit = self.permits.acquire().await;
        let result = self.resolver.resolve(&target.0, target.1).await;
        self.lock().remove(&target);
        result.map_err(|error| error.kind())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Target, Lookup>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Resolve for SharedLookups {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.join(host, port).await.map_err(io::Error::from)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::poll;
    use tokio::task::yield_now;

    use super::*;

    /// A resolver that does not answer for the host `hangs`.
    #[derive(Default)]
    struct Counting {
        lookups: AtomicUsize,
    }

    #[async_trait]
    impl Resolve for Counting {
        async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            self.lookups.fetch_add(1, Ordering::Relaxed);
            if host.starts_with("hangs") {
                std::future::pending::<()>().await;
            }
            yield_now().await;
            Ok(vec![([192, 0, 2, 1], port).into()])
        }
    }

    #[tokio::test]
    async fn abandoned_and_concurrent_calls_share_the_lookup_of_their_host() {
        let resolver = Arc::new(Counting::default());
        let lookups = SharedLookups::new(resolver.clone(), 2);
        for _ in 0..10 {
            // Polled once, then dropped, as an attempt that has timed out.
            assert!(poll!(lookups.resolve("hangs", 443)).is_pending());
            yield_now().await;
        }
        assert_eq!(resolver.lookups.load(Ordering::Relaxed), 1);
        let addresses = lookups.resolve("other", 80).await.unwrap();
        assert_eq!(addresses, ["192.0.2.1:80".parse().unwrap()]);
        lookups.resolve("other", 80).await.unwrap();
        assert_eq!(resolver.lookups.load(Ordering::Relaxed), 3, "a result is not kept");
        assert!(poll!(lookups.resolve("hangs too", 443)).is_pending());
        yield_now().await;
        let mut beyond = lookups.resolve("other", 80);
        for _ in 0..10 {
            assert!(poll!(&mut beyond).is_pending(), "two lookups at once");
            yield_now().await;
        }
        assert_eq!(lookups.lock().len(), 3);
    }
}
