//! Cursors of each transport on every other, and cursors that are invalid.

use reqwest::StatusCode;

use super::{Change, Target, assert_same_events};
use crate::{
    Pair,
    support::{
        app::{Setup, key_prefix},
        feed_client::{FeedConnection, Received, ReceivedEvent, Transport},
        servers::{Redis, shared_livekit},
        within,
    },
};

/// Makes a stream whose log has every kind of event; returns its id and log.
async fn create_full_log(pair: &Pair) -> (String, Vec<ReceivedEvent>) {
    let mut target = Target::new(&pair.0).await;
    for change in
        [Change::Metadata, Change::Token(0), Change::Presence(0), Change::Presence(1), Change::Presence(0)]
    {
        target.change(&pair.0, change).await;
    }
    pair.1.delete(&format!("/streams/{}", target.id)).await.expect(StatusCode::OK);
    let log = target.log(&pair.0).await;
    (target.id, log)
}

/// Every cursor that a transport sends is valid on every other transport and in history.
#[tokio::test]
async fn cursor_of_each_transport_resumes_on_every_other() {
    let pair = Pair::start().await;
    let (id, log) = create_full_log(&pair).await;
    for from in Transport::ALL {
        let first = log[0].cursor.as_str();
        let mut connection =
            FeedConnection::open(&(&pair.0).into(), from, Some(&id), Some(first)).await.unwrap();
        assert_eq!(connection.from, first);
        for position in 1..log.len() {
            let Received::Event(event) = within("an event", connection.next()).await else {
                panic!("no event")
            };
            let rest = &log[position + 1..];
            for to in Transport::ALL {
                let mut resumed = FeedConnection::open(&(&pair.1).into(), to, Some(&id), Some(&event.cursor))
                    .await
                    .unwrap();
                let mut seen = Vec::new();
                while let Received::Event(next) = within("an event", resumed.next()).await {
                    seen.push(next);
                }
                assert_same_events(&seen, rest);
                let mut all =
                    FeedConnection::open(&(&pair.1).into(), to, None, Some(&event.cursor)).await.unwrap();
                let mut seen = Vec::new();
                while seen.len() < rest.len() {
                    let Received::Event(next) = within("an event", all.next()).await else {
                        panic!("no event")
                    };
                    seen.push(next);
                }
                assert_same_events(&seen, rest);
            }
            let after = format!("/events/{id}?after={}", event.cursor);
            let history = pair.1.get(&after).await.expect(StatusCode::OK);
            let history: Vec<_> =
                history.as_array().unwrap().iter().cloned().map(ReceivedEvent::from_json).collect();
            assert_same_events(&history, rest);
        }
    }
}

/// Every transport sends its start cursor at once.
#[tokio::test]
async fn client_without_any_event_resumes_from_initial_cursor() {
    let Pair(one, two) = Pair::start().await;
    let mut target = Target::new(&one).await;
    for transport in Transport::ALL {
        for topic in [None, Some(target.id.clone())] {
            let before =
                FeedConnection::open(&(&one).into(), transport, topic.as_deref(), None).await.unwrap();
            let cursor = before.from.clone();
            drop(before);
            target.change(&one, Change::Metadata).await;
            for next in Transport::ALL {
                let after = FeedConnection::open(&(&two).into(), next, topic.as_deref(), Some(&cursor)).await;
                let Received::Event(event) = within("the change", after.unwrap().next()).await else {
                    panic!("no event")
                };
                assert!(event.is_same_as(target.log(&one).await.last().unwrap()));
            }
        }
    }
}

/// A cursor that a log cannot be continued from causes a reset on every transport and 400 in history.
#[tokio::test]
async fn invalid_cursor_returns_reset_on_feeds_and_400_in_history() {
    // This test trims the logs, so its Redis is not shared.
    let redis = Redis::start();
    let setup = Setup::new(&redis.url(), shared_livekit());
    let app = setup.start().await;
    let mut target = Target::new(&app).await;
    let old = target.log(&app).await[0].cursor.clone();
    for _ in 0..5 {
        target.change(&app, Change::Metadata).await;
    }
    let prefix = setup.arguments.redis_prefix.unwrap();
    let keys = key_prefix(&prefix, |partitioning| partitioning.of_stream(target.id.parse().unwrap()));
    for key in [format!("stream:{}:log", target.id), "events".to_owned()] {
        redis.execute(&["XTRIM", &format!("{keys}{key}"), "MAXLEN", "2"]).await.unwrap();
    }
    let log = target.log(&app).await;
    assert_eq!(log.len(), 2);
    for (cursor, reason) in [
        ("garbage", "cursor_unknown"),
        ("99999999999999-0", "cursor_from_the_future"),
        ("18446744073709551615-18446744073709551615", "cursor_from_the_future"),
        (old.as_str(), "cursor_expired"),
    ] {
        for transport in Transport::ALL {
            for topic in [None, Some(target.id.as_str())] {
                let opened = FeedConnection::open(&(&app).into(), transport, topic, Some(cursor)).await;
                if (transport, cursor) == (Transport::Grpc, "garbage") {
                    assert!(opened.is_err(), "gRPC returns INVALID_ARGUMENT");
                    continue;
                }
                let mut feed = opened.unwrap();
                assert_eq!(feed.from, cursor, "a client that is cut off before the reset gets it again");
                let received = within("a reset", feed.next()).await;
                let Received::Reset { reason: found, cursor: position, .. } = received else {
                    panic!("{received:?}")
                };
                assert_eq!((found.as_str(), position.as_str()), (reason, log[1].cursor.as_str()));
            }
        }
        let mut states = app.resume(&format!("/sse/{}/updates", target.id), cursor).await;
        let first = states.block().await.unwrap();
        assert_eq!(
            first.id.is_none(),
            reason != "cursor_expired",
            "the id of the state, unless a reset precedes it"
        );
        let history = app.get(&format!("/events/{}?after={cursor}", target.id)).await;
        history.expect_problem(400, "invalid_cursor");
    }
    let metrics = app.get("/metrics").await.text;
    for line in [
        "lso_resumes_total{outcome=\"cursor_expired\",transport=\"sse\"} 2",
        "lso_resumes_total{outcome=\"cursor_expired\",transport=\"grpc\"} 2",
        "lso_resets_total{reason=\"cursor_unknown\"} 5",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
}
