//! Delivery of events to webhook endpoints over HTTP: checked addresses, signatures, one attempt.
//!
//! An attempt follows no redirect, uses no proxy, takes at most [`ATTEMPT_TIMEOUT`], and reads at most
//! [`MAX_ANSWER_BYTES`] of the answer.
//!
//! Import direction; this file declares, and defines the trait:
//! ```text
//! address, signature, answer ← resolver ← shared_lookups, connector ← http_client
//! answer ← on_runtime
//! ```

mod address;
mod answer;
mod connector;
mod http_client;
mod on_runtime;
mod resolver;
mod shared_lookups;
pub mod signature;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

pub use self::{
    address::AddressPolicy,
    answer::{Answer, Failure},
    http_client::HttpEndpointClient,
    on_runtime::OnRuntime,
    resolver::{Resolve, SystemResolver},
};

/// Maximum time from the start of an attempt to the end of the answer's head.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// Maximum size of an answer's body that is read. The connection of a longer answer is closed.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Why a URL cannot be that of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The text is not an absolute URL with `http` or `https` and a host.
    #[error("must be an absolute URL with http or https")]
    Malformed,
    /// The URL contains a user name or a password.
    #[error("must not contain a user name or a password")]
    Userinfo,
    /// The URL contains a fragment, which is never sent.
    #[error("must not contain a fragment")]
    Fragment,
    /// The URL is too long.
    #[error("must be at most {} bytes", crate::domain::webhook_endpoint::MAX_URL_BYTES)]
    TooLong,
    /// The host has no address.
    #[error("has a host that cannot be resolved")]
    Unresolved,
    /// An address of the host is not permitted, see [`AddressPolicy`].
    #[error(
        "has a host with an address that is not permitted: only globally reachable unicast addresses are"
    )]
    Forbidden,
}

/// Parses a URL of an endpoint, without resolving its host.
///
/// # Errors
/// [`UrlError`], but for the two of a host.
pub fn parse_url(text: &str) -> Result<Url, UrlError> {
    if text.len() > crate::domain::webhook_endpoint::MAX_URL_BYTES {
        return Err(UrlError::TooLong);
    }
    let url = Url::parse(text).map_err(|_| UrlError::Malformed)?;
    if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
        return Err(UrlError::Malformed);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Userinfo);
    }
    if url.fragment().is_some() {
        return Err(UrlError::Fragment);
    }
    Ok(url)
}

/// One request to an endpoint. Its `Debug` text would contain signatures, so it has none.
pub struct Message {
    /// `webhook-id`: the same in every attempt.
    pub id: String,
    /// `webhook-timestamp` of the attempt, in seconds since 1970.
    pub timestamp: i64,
    /// `webhook-signature`.
    pub signature: String,
    /// The body, JSON.
    pub body: Bytes,
}

/// Client of webhook endpoints.
#[async_trait]
pub trait EndpointClient: Send + Sync {
    /// Resolves the URL's host and checks all of its addresses.
    ///
    /// # Errors
    /// [`UrlError::Unresolved`] and [`UrlError::Forbidden`].
    async fn check(&self, url: &Url) -> Result<(), UrlError>;

    /// Makes one attempt. Returns at most a second after [`ATTEMPT_TIMEOUT`].
    async fn post(&self, url: &Url, message: Message) -> Answer;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_needs_http_and_a_host_and_no_userinfo() {
        for text in ["https://example.com/hook?a=b", "http://127.0.0.1:9/x", "https://[::1]/"] {
            assert!(parse_url(text).is_ok(), "{text}");
        }
        for (text, error) in [
            ("example.com/hook", UrlError::Malformed),
            ("ftp://example.com/", UrlError::Malformed),
            ("https://", UrlError::Malformed),
            ("https://user@example.com/", UrlError::Userinfo),
            ("https://:secret@example.com/", UrlError::Userinfo),
            ("https://example.com/#a", UrlError::Fragment),
            (&format!("https://example.com/{}", "x".repeat(2_048)), UrlError::TooLong),
        ] {
            assert_eq!(parse_url(text), Err(error), "{text}");
        }
    }
}
