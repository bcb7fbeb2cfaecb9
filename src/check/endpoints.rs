//! Tests of the webhook endpoints: one delivery to each.

use std::sync::Arc;

use chrono::Utc;
use futures_util::{StreamExt, stream};

use super::finding::{Finding, Subject};
use crate::{
    delivery::{Answer, EndpointClient, Failure, HttpEndpointClient, SystemResolver},
    domain::{Endpoint, Timestamp},
    outbound_webhooks::{Directory, TestResult, deliver_test},
    settings::WebhookSettings,
    store::{PartitionedStore, redis::RedisStore},
};

/// Number of tests at the same time.
const CONCURRENCY: usize = 16;

/// Sends a test to each endpoint of the file, and of the store if it is usable.
pub(super) async fn examine(
    settings: &WebhookSettings,
    store: Option<Arc<PartitionedStore<RedisStore>>>,
) -> Vec<Finding> {
    let endpoints = match store {
        Some(store) => match Directory::new(store, settings.endpoints.clone()).list().await {
            Ok(listing) => listing.endpoints.into_iter().map(|known| known.endpoint).collect(),
            Err(error) => return vec![Subject::Endpoints.failure(format!("cannot be read: {error}"))],
        },
        None => settings.endpoints.clone(),
    };
    let client = HttpEndpointClient::new(Arc::new(SystemResolver), settings.addresses, 0);
    let tests = stream::iter(endpoints).map(|endpoint| examine_endpoint(&client, endpoint));
    tests.buffered(CONCURRENCY).collect().await
}

async fn examine_endpoint(client: &dyn EndpointClient, endpoint: Endpoint) -> Finding {
    // A check of the clocks precedes: this machine's is that of Redis.
    let now = Timestamp::from_millis(Utc::now().timestamp_millis());
    let finding = match deliver_test(client, &endpoint, now).await {
        Ok(result) => rate(&endpoint, result),
        Err(error) => Subject::Endpoints.failure(format!("its url {error}")),
    };
    finding.about(Some(endpoint.id.as_str()))
}

/// Rates the answer to a test. An answer that is no success is a failure, also of an endpoint that is disabled.
fn rate(endpoint: &Endpoint, TestResult { answer, duration }: TestResult) -> Finding {
    let advice = match answer {
        Answer::Status { status, .. } if answer.is_success() => {
            let millis = duration.as_millis();
            return match endpoint.disabled {
                None => Subject::Endpoints.ok(format!("answers {status} within {millis} ms")),
                Some((reason, _)) => Subject::Endpoints.warning(format!(
                    "answers {status}, but is disabled ({}): enable it by PATCH {{\"disabled\": false}}",
                    reason.as_str()
                )),
            };
        }
        Answer::Status { status, .. } => of_status(status),
        Answer::Failed(failure) => of_failure(failure).to_owned(),
    };
    Subject::Endpoints.failure(advice)
}

fn of_status(status: u16) -> String {
    let advice = match status {
        410 => "which disables an endpoint: delete it, or correct its url",
        300..=399 => "a redirect, which deliveries do not follow: set its url to the target",
        401 | 403 => {
            "a refusal: the receiver must accept requests without other credentials than the signature"
        }
        404 | 405 => "so its url is not that of a receiver that accepts POST",
        400..=499 => {
            "a refusal: does the receiver verify signatures with this endpoint's secret, and is its clock right?"
        }
        _ => "not 2xx: see the receiver's log",
    };
    format!("answers {status}, {advice}")
}

const fn of_failure(failure: Failure) -> &'static str {
    match failure {
        Failure::Timeout => {
            "does not answer within 15 s: let the receiver answer before it processes an event"
        }
        Failure::ForbiddenAddress => {
            "its host has an address that is not globally reachable: WEBHOOK_ALLOW_PRIVATE=true permits loopback and \
             private ones"
        }
        Failure::Unresolved => "its host has no address: correct the name, or this machine's resolver",
        Failure::Connection => {
            "no connection: nothing listens at its host and port, a firewall refuses, or its TLS certificate is \
             invalid"
        }
    }
}
