//! Calls of endpoints from threads of requests.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::{runtime::Handle, task::JoinSet};
use url::Url;

use super::{Answer, EndpointClient, Failure, Message, UrlError};

/// A client whose calls run on one runtime, whichever runtime they come from. Otherwise a thread of requests would
/// drive the connections that it has opened, also for later deliveries.
pub struct OnRuntime {
    client: Arc<dyn EndpointClient>,
    runtime: Handle,
}

impl OnRuntime {
    /// Wraps a client.
    pub const fn new(client: Arc<dyn EndpointClient>, runtime: Handle) -> Self {
        Self { client, runtime }
    }

    /// Awaits a call on the runtime; `None` if it panics. Dropping the result cancels the call.
    async fn run<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let mut calls = JoinSet::new();
        calls.spawn_on(call, &self.runtime);
        calls.join_next().await?.ok()
    }
}

#[async_trait]
impl EndpointClient for OnRuntime {
    async fn check(&self, url: &Url) -> Result<(), UrlError> {
        let (client, url) = (self.client.clone(), url.clone());
        let checked = self.run(async move { client.check(&url).await }).await;
        checked.unwrap_or(Err(UrlError::Unresolved))
    }

    async fn post(&self, url: &Url, message: Message) -> Answer {
        let (client, url) = (self.client.clone(), url.clone());
        let answer = self.run(async move { client.post(&url, message).await }).await;
        answer.unwrap_or(Answer::Failed(Failure::Connection))
    }
}
