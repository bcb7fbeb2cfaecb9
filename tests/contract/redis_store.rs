//! Properties of the Redis store only: TTLs, leftover keys, trimming, script flushes and unreadable entries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livestream_orchestrator::{
    domain::{Change, Cursor, StreamId, StreamStatus, Topic},
    store::{LogRead, REMOVAL_GRACE, Retention, StreamFilter},
};
use redis::AsyncCommands;

use super::backend::{Backend, RETENTION, session, token};
use crate::support::{eventually, servers::shared_redis, unique};

async fn connection() -> redis::aio::MultiplexedConnection {
    redis::Client::open(shared_redis()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

async fn keys(prefix: &str) -> Vec<String> {
    connection().await.keys(format!("{{{prefix}}}:*")).await.unwrap()
}

#[tokio::test]
async fn every_key_has_a_ttl() {
    let prefix = unique("ttl");
    let backend = Backend::redis(&prefix, RETENTION);
    let (live, over) = (backend.active("live").await, backend.active("over").await);
    for stream in [&live, &over] {
        backend.change(stream, Change::Connect(session("ann", "PA_1", 1))).await;
        backend.change(stream, super::backend::left("ann", Some("PA_1"))).await;
        backend.change(stream, super::backend::left("bob", Some("PA_2"))).await;
        backend.change(stream, Change::Connect(session("cid", "PA_3", 1))).await;
        backend.change(stream, token("dan", Duration::from_secs(60))).await;
    }
    backend.stop(&over).await;
    // Late reports do not extend any TTL.
    backend.change(&over, super::backend::left("cid", Some("PA_3"))).await;
    let (identity, sid, track) = (super::backend::identity("cid"), "PA_3".into(), "TR_1".into());
    backend.change(&over, Change::Unpublish { identity, sid, track }).await;
    let found = keys(&prefix).await;
    assert!(found.len() > 15, "{found:?}");
    for key in found {
        let left: i64 = connection().await.pttl(&key).await.unwrap();
        let is_over = key.contains(&over.id.to_string());
        let is_hash = key.ends_with(&over.id.to_string());
        let grace = if is_over && !is_hash { REMOVAL_GRACE } else { Duration::ZERO };
        let most = if is_over { RETENTION.stopped + grace } else { RETENTION.live };
        let bounds = 1..=i64::try_from(most.as_millis()).unwrap();
        assert!(bounds.contains(&left), "{key} lives {left} ms");
    }
}

#[tokio::test]
async fn expired_stream_leaves_no_keys() {
    let prefix = unique("gone");
    let backend = Backend::redis(&prefix, Retention { stopped: Duration::from_millis(300), ..RETENTION });
    let (stream, failed) = (backend.active("gone").await, backend.create("failed").await.reference());
    backend.change(&stream, Change::Connect(session("ann", "PA_1", 1))).await;
    backend.stop(&stream).await;
    backend.change(&failed, Change::Fail { reason: "x".to_owned() }).await;
    eventually("the end of its keys", || async {
        backend.scheduled_jobs(10).await;
        let left = keys(&prefix).await;
        let own = left.iter().any(|key| key.contains(&stream.id.to_string()) || key.contains("room:"));
        let listed = backend.store.list(StreamFilter::All, 10, None).await.unwrap().items.len();
        let indexed: u64 = connection().await.zcard(format!("{{{prefix}}}:streams:all")).await.unwrap();
        (!own && listed == 0 && indexed == 0).then_some(())
    })
    .await;
    let totals = backend.store.totals().await.unwrap();
    assert!(totals.streams.iter().all(|(_, count)| *count == 0) && totals.participants == 0);
}

/// An old and a new master may write in the same milliseconds after a failover.
#[tokio::test]
async fn cursors_of_two_masters_never_collide() {
    let backends = [Backend::redis(&unique("one"), RETENTION), Backend::redis(&unique("two"), RETENTION)];
    let streams = [backends[0].active("one").await, backends[1].active("two").await];
    let cursors = async |n: usize| {
        for number in 0..300 {
            let (name, sid) = (format!("ann-{number}"), format!("PA_{number}"));
            backends[n].change(&streams[n], Change::Connect(session(&name, &sid, 1))).await;
        }
        let read = backends[n].feed.read_after(Topic::All, Cursor::ORIGIN, 1_000).await.unwrap();
        let LogRead::Events { events, .. } = read else { panic!("{read:?}") };
        events.iter().map(|event| event.cursor).collect::<std::collections::HashSet<_>>()
    };
    let (one, two) = tokio::join!(cursors(0), cursors(1));
    let millis = |cursors: &std::collections::HashSet<Cursor>| {
        cursors.iter().map(|cursor| cursor.millis()).collect::<std::collections::HashSet<_>>()
    };
    assert!(millis(&one).intersection(&millis(&two)).count() > 0, "both wrote in the same millisecond");
    assert_eq!(one.intersection(&two).count(), 0);
}

#[tokio::test]
async fn flushed_scripts_are_loaded_again() {
    let backend = Backend::redis(&unique("flush"), RETENTION);
    let stream = backend.active("flush").await;
    let () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut connection().await).await.unwrap();
    let joined = backend.change(&stream, Change::Connect(session("ann", "PA_1", 1))).await;
    assert_eq!(joined.stream.participant_count(), 1);
}

#[tokio::test]
async fn metadata_with_floats_is_compared_as_stored() {
    use livestream_orchestrator::domain::Metadata;
    let backend = Backend::redis(&unique("floats"), RETENTION);
    let stream = backend.active("floats").await;
    let mut current = Metadata::default();
    for n in 1..300 {
        let float = f64::from(n) * 134_364_244_112.401_2 / 7.0;
        let metadata = Metadata::parse(&serde_json::json!({ "float": float }).to_string()).unwrap();
        backend.change(&stream, Change::SetMetadata { expected: current, metadata: metadata.clone() }).await;
        current = backend.store.get(stream.id).await.unwrap().unwrap().metadata;
        assert_eq!(current, metadata);
    }
}

#[tokio::test]
async fn unreadable_event_is_reported_as_lost() {
    use livestream_orchestrator::store::{LogRead, ResetReason};
    let prefix = unique("unreadable");
    let backend = Backend::redis(&prefix, RETENTION);
    let stream = backend.active("unreadable").await;
    let topic = Topic::Stream(stream.id);
    let after = backend.feed.tails(&[topic]).await.unwrap()[0];
    let log = format!("{{{prefix}}}:stream:{}:log", stream.id);
    let event = r#"{"kind":"from_the_future"}"#.to_owned();
    let fields = [("previous", after.to_string()), ("total", "0".to_owned()), ("event", event)];
    let _: String = connection().await.xadd(&log, "*", &fields).await.unwrap();
    let read = backend.feed.read_after(topic, after, 10).await.unwrap();
    assert!(matches!(read, LogRead::Reset(ResetReason::Unreadable)), "{read:?}");
}

#[tokio::test]
async fn trimmed_log_reports_expired_cursor() {
    use livestream_orchestrator::{
        domain::Cursor,
        store::{LogBounds, LogRead, ResetReason, STREAM_LOG_LENGTH},
    };
    let log = LogBounds { retention: Duration::from_millis(1), ..LogBounds::DEFAULT };
    let backend = Backend::redis(&unique("trim"), Retention { log, ..RETENTION });
    let stream = backend.active("trim").await;
    for n in 0..STREAM_LOG_LENGTH {
        backend.change(&stream, token("ann", Duration::from_secs(60 + n as u64))).await;
    }
    backend.change(&stream, token("ann", Duration::from_secs(60))).await;
    let topic = Topic::Stream(stream.id);
    // The log is trimmed after each block of bytes, so this continues until the first entry is gone.
    while let LogRead::Events { .. } = backend.feed.read_after(topic, Cursor::ORIGIN, 1).await.unwrap() {
        backend.change(&stream, token("ann", Duration::from_secs(60))).await;
    }
    let kept = backend.newest(topic, 5_000).await;
    assert!((STREAM_LOG_LENGTH..STREAM_LOG_LENGTH + 300).contains(&kept.len()), "{}", kept.len());
    let first = &kept[0];
    let (rest, _) = backend.pages(topic, first.previous, 5_000).await;
    assert_eq!(rest.len(), kept.len(), "all later entries are kept");
    let expired = backend.feed.read_after(topic, Cursor::ORIGIN, 1).await.unwrap();
    assert!(matches!(expired, LogRead::Reset(ResetReason::Expired)));
}

#[tokio::test]
async fn page_of_large_events_ends_early() {
    use livestream_orchestrator::{
        domain::{Cursor, Metadata},
        store::LOG_PAGE_BYTES,
    };
    const METADATA_BYTES: usize = 35_000;
    let backend = Backend::redis(&unique("large"), RETENTION);
    let stream = backend.active("large").await;
    let mut current = Metadata::default();
    for n in 0..100 {
        let text = format!(r#"{{"n":{n},"filling":"{}"}}"#, "x".repeat(METADATA_BYTES));
        let metadata = Metadata::parse(&text).unwrap();
        backend.change(&stream, Change::SetMetadata { expected: current, metadata: metadata.clone() }).await;
        current = metadata;
    }
    let (all, sizes) = backend.pages(Topic::Stream(stream.id), Cursor::ORIGIN, 1_000).await;
    assert_eq!(all.len(), 102);
    // The last batch of a page may exceed its limit.
    let most = LOG_PAGE_BYTES / METADATA_BYTES + 8;
    assert!(sizes.len() > 2 && sizes.iter().all(|size| *size <= most), "{sizes:?}");
}

async fn pages_kept(backend: &Backend) -> (u64, u64) {
    let (mut renewed, mut dropped, mut after) = (0, 0, None::<String>);
    loop {
        let kept = backend.partitions[0].renew_and_prune(2, after.as_deref()).await.unwrap();
        (renewed, dropped, after) = (renewed + kept.renewed, dropped + kept.removed, kept.next);
        if after.is_none() {
            return (renewed, dropped);
        }
    }
}

#[tokio::test]
async fn ttl_of_live_streams_is_renewed() {
    let prefix = unique("renew");
    let backend = Backend::redis(&prefix, RETENTION);
    let streams = [backend.active("one").await, backend.active("two").await, backend.active("three").await];
    let over = backend.active("over").await;
    backend.stop(&over).await;
    backend.change(&streams[0], token("ann", Duration::from_secs(60))).await;
    assert_eq!(pages_kept(&backend).await, (0, 0), "no TTL needs a renewal");
    let mut connection = connection().await;
    let key = |id: StreamId, part: &str| format!("{{{prefix}}}:stream:{id}{part}");
    for id in streams.iter().chain([&over]).map(|stream| stream.id) {
        for part in ["", ":log"] {
            let _: bool = connection.pexpire(key(id, part), 60_000).await.unwrap();
        }
    }
    let room = format!("{{{prefix}}}:room:one");
    let shared = ["events", "events:bytes", "tail", "streams:live", "scheduled"]
        .map(|name| format!("{{{prefix}}}:{name}"));
    for name in shared.iter().chain([&room]) {
        let _: bool = connection.pexpire(name, 60_000).await.unwrap();
    }
    assert_eq!(pages_kept(&backend).await, (3, 0), "live streams only");
    let live = i64::try_from(RETENTION.live.as_millis()).unwrap();
    for name in [key(streams[0].id, ""), key(streams[0].id, ":log"), room].into_iter().chain(shared) {
        let left: i64 = connection.pttl(&name).await.unwrap();
        assert!(left > live - 60_000, "{name}: {left}");
    }
    let left: i64 = connection.pttl(key(over.id, "")).await.unwrap();
    assert!(left <= 60_000);
}

#[tokio::test]
async fn deleted_stream_leaves_lists_and_totals() {
    let prefix = unique("vanish");
    let backend = Backend::redis(&prefix, RETENTION);
    let (gone, stays) = (backend.active("gone").await, backend.active("stays").await);
    for (stream, who) in [(&gone, "ann"), (&gone, "bob"), (&stays, "cat")] {
        backend.change(stream, Change::Connect(session(who, &format!("PA_{who}"), 1))).await;
    }
    assert_eq!(backend.store.totals().await.unwrap().participants, 3);
    // As an operator might do by hand.
    let mut connection = connection().await;
    for part in ["", ":active", ":log"] {
        let _: i64 = connection.del(format!("{{{prefix}}}:stream:{}{part}", gone.id)).await.unwrap();
    }
    assert_eq!(pages_kept(&backend).await, (0, 1));
    assert_eq!(pages_kept(&backend).await, (0, 0));
    let left = keys(&prefix).await;
    assert!(left.iter().all(|key| !key.contains(&gone.id.to_string())), "{left:?}");
    let totals = backend.store.totals().await.unwrap();
    assert_eq!(totals.participants, 1);
    let active = totals.streams.iter().find(|(status, _)| *status == StreamStatus::Active).unwrap().1;
    assert_eq!(active, 1);
    assert_eq!(backend.store.list(StreamFilter::All, 10, None).await.unwrap().items.len(), 1);
}
