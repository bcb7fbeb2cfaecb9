//! The read limit by bytes holds for reads whose client leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use socket2::SockRef;
use tokio::{io::AsyncWriteExt, task::JoinHandle, time::timeout};

use super::concurrent_reads::{COST, LIMIT, create_large_log, metric, spent};
use crate::support::{
    app::{Setup, TestApp},
    eventually,
    fault_proxy::FaultProxy,
    grpc::Client,
    raw_http::connect,
    servers::{port_of, shared_livekit, shared_redis},
};

/// A call over one transport.
trait CancelledCall {
    /// Port of the transport in metrics.
    const PORT: &'static str;
    /// Connections to the port that do not belong to the call.
    const OTHER_CONNECTIONS: u64;

    /// Begins the call. Dropping it closes the connection.
    async fn begin(&self, app: &TestApp, stream: &str, after: &str) -> Box<dyn Send>;
}

struct HistoryOverHttp;
struct ReplayOverGrpc;

impl CancelledCall for HistoryOverHttp {
    const PORT: &'static str = "http";
    // The one that reads the metrics.
    const OTHER_CONNECTIONS: u64 = 1;

    async fn begin(&self, app: &TestApp, stream: &str, _: &str) -> Box<dyn Send> {
        let mut connection = connect(&app.base).await;
        let request = format!("GET /events/{stream} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        // FIN would not cancel the call. With this option, closing sends a reset.
        SockRef::from(&connection).set_linger(Some(Duration::ZERO)).unwrap();
        Box::new(connection)
    }
}

/// Aborts a task when dropped.
struct Aborted(JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl CancelledCall for ReplayOverGrpc {
    const PORT: &'static str = "grpc";
    const OTHER_CONNECTIONS: u64 = 0;

    async fn begin(&self, app: &TestApp, stream: &str, after: &str) -> Box<dyn Send> {
        let (mut client, stream, after) = (Client::of(app).await, stream.to_owned(), after.to_owned());
        Box::new(Aborted(tokio::spawn(async move {
            let _feed = client.subscribe(&stream, &after).await;
            std::future::pending::<()>().await;
        })))
    }
}

/// Number of charges of an instance.
const CHARGES: &str = "lso_redis_call_duration_seconds_count{call=\"charge\"}";

/// Makes a call whose client leaves while Redis's answer is held back. Reports whether the call was charged: one that
/// waits for more than 2 s fails, and costs its unit alone.
async fn is_charged<C: CancelledCall>(
    call: &C,
    (app, other): (&TestApp, &TestApp),
    proxy: &FaultProxy,
    (stream, after): (&str, &str),
) -> bool {
    let (before, held) = (spent(other, "127.0.0.1", LIMIT).await, proxy.held_count());
    let charges = metric(app, CHARGES).await;
    let connections = format!("lso_connections{{port=\"{}\"}}", C::PORT);
    proxy.hold(&format!("stream:{stream}:log"));
    let begun = call.begin(app, stream, after).await;
    eventually("a held read", || async { (proxy.held_count() > held).then_some(()) }).await;
    drop(begun);
    eventually("the end of the connection", || async {
        (metric(app, &connections).await == C::OTHER_CONNECTIONS).then_some(())
    })
    .await;
    proxy.release();
    let charged = eventually("a charge", || async { (metric(app, CHARGES).await > charges).then_some(()) });
    timeout(Duration::from_secs(3), charged).await.is_ok()
        && spent(other, "127.0.0.1", LIMIT).await > before + COST
}

async fn assert_cancelled_call_is_charged(call: impl CancelledCall) {
    let proxy = FaultProxy::start(port_of(shared_redis())).await;
    let setup = Setup::new(&proxy.url(), shared_livekit())
        .with(|arguments| arguments.admission.rate_limit_read = Some(format!("{LIMIT}/h")));
    let app = setup.start().await;
    let direct = setup.with(|arguments| arguments.redis_url = Some(shared_redis().into()));
    let other = direct.start().await;
    let (id, after) = create_large_log(&other).await;
    eventually("a charged call", || async {
        is_charged(&call, (&app, &other), &proxy, (&id, &after)).await.then_some(())
    })
    .await;
}

#[tokio::test]
async fn cancelled_history_is_charged_for_what_it_has_read() {
    assert_cancelled_call_is_charged(HistoryOverHttp).await;
}

#[tokio::test]
async fn cancelled_replay_over_grpc_is_charged_for_what_it_has_read() {
    assert_cancelled_call_is_charged(ReplayOverGrpc).await;
}
