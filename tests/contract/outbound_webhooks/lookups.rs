//! Endpoints whose name servers never answer: their lookups occupy threads, as those of the operating system do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use livestream_orchestrator::{
    delivery::{AddressPolicy, EndpointClient, HttpEndpointClient, Message, OnRuntime, Resolve},
    domain::webhook_endpoint::MAX_ENDPOINTS,
    followers::FollowerRuntime,
};
use tokio::{
    runtime::{Builder, Handle},
    task::{JoinSet, spawn_blocking},
};
use url::Url;

use crate::support::{eventually, install_crypto_provider, within};

/// Attempts at each endpoint, and checks of further names.
const ATTEMPTS: usize = 8;

/// A resolver that blocks a thread of the calling runtime until it is released.
#[derive(Default)]
struct Unanswered {
    lookups: AtomicUsize,
    is_released: Mutex<bool>,
    released: Condvar,
}

impl Unanswered {
    fn wait(&self) {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let is_released = self.is_released.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.released.wait_while(is_released, |is_released| !*is_released));
    }

    fn release(&self) {
        *self.is_released.lock().unwrap() = true;
        self.released.notify_all();
    }
}

#[async_trait]
impl Resolve for Resolver {
    async fn resolve(&self, _: &str, _: u16) -> std::io::Result<Vec<SocketAddr>> {
        let unanswered = self.0.clone();
        spawn_blocking(move || unanswered.wait()).await?;
        Err(std::io::ErrorKind::NotFound.into())
    }
}

struct Resolver(Arc<Unanswered>);

/// Starts attempts at all endpoints, and as many checks of further names, as requests make them.
fn start_calls(client: &Arc<OnRuntime>) -> JoinSet<()> {
    let mut calls = JoinSet::new();
    for n in 0..MAX_ENDPOINTS * ATTEMPTS {
        let (client, checked) = (client.clone(), Url::parse(&format!("http://new-{n}.example/")).unwrap());
        let url = Url::parse(&format!("http://endpoint-{}.example/", n % MAX_ENDPOINTS)).unwrap();
        calls.spawn(async move {
            let message =
                Message { id: String::new(), timestamp: 1, signature: String::new(), body: Bytes::new() };
            let _ = tokio::join!(client.post(&url, message), client.check(&checked));
        });
    }
    calls
}

/// Runs the test on a runtime with one blocking thread, as all that requests have.
#[test]
fn lookups_that_hang_leave_blocking_threads_to_others() {
    install_crypto_provider();
    let requests = Builder::new_multi_thread().enable_all().max_blocking_threads(1).build().unwrap();
    let followers = FollowerRuntime::start().unwrap();
    let unanswered = Arc::new(Unanswered::default());
    requests.block_on(leave_blocking_threads(followers.handle(), &unanswered));
}

async fn leave_blocking_threads(followers: &Handle, unanswered: &Arc<Unanswered>) {
    let resolver = Arc::new(Resolver(unanswered.clone()));
    let client = HttpEndpointClient::new(resolver, AddressPolicy { allows_private: true }, 1);
    let client = Arc::new(OnRuntime::new(Arc::new(client), followers.clone()));
    let mut calls = start_calls(&client);
    let lookups = || unanswered.lookups.load(Ordering::Relaxed);
    eventually("a lookup for each endpoint", || async { (lookups() > MAX_ENDPOINTS).then_some(()) }).await;
    // Both runtimes have a free thread, although further calls wait.
    within("a thread of requests", spawn_blocking(|| ())).await.unwrap();
    within("a thread of followers", followers.spawn_blocking(|| ())).await.unwrap();
    assert!(lookups() < 2 * MAX_ENDPOINTS, "{} lookups", lookups());
    unanswered.release();
    calls.abort_all();
}
