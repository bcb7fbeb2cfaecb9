//! Test of an endpoint: one delivery of an event of the type `test`, whose answer is returned.

use std::time::{Duration, Instant};

use super::message::Content;
use crate::{
    delivery::{Answer, EndpointClient, UrlError, parse_url},
    domain::{Endpoint, Timestamp},
};

/// Result of a test.
#[derive(Clone, Copy, Debug)]
pub struct TestResult {
    /// The answer.
    pub answer: Answer,
    /// Time until the answer.
    pub duration: Duration,
}

/// Sends a test to an endpoint, whatever its filter and whether it is disabled or not. `now` is the store's time.
///
/// # Errors
/// A URL that does not parse.
pub async fn deliver_test(
    client: &dyn EndpointClient,
    endpoint: &Endpoint,
    now: Timestamp,
) -> Result<TestResult, UrlError> {
    let (url, started) = (parse_url(&endpoint.url)?, Instant::now());
    let answer = client.post(&url, Content::test(endpoint, now).sign(endpoint, now)).await;
    Ok(TestResult { answer, duration: started.elapsed() })
}
