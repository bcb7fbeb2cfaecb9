//! The history of running instances: what it stores while instances and Postgres die, and what an instance without
//! its database does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::future::join_all;
use livestream_orchestrator::{
    domain::{Cursor, Partition, StreamId},
    history::{DatabaseAddress, HistoryStore, Log, RowLimit, open},
};
use serde_json::{Value, json};

use crate::support::{
    eventually,
    instance::Instance,
    servers::{Postgres, Redis, shared_livekit, shared_postgres_database, shared_redis},
    unique,
};

/// Streams that change during the faults.
const STREAMS: usize = 6;
/// Rounds of faults.
const ROUNDS: usize = 6;

fn instance(redis: &str, prefix: &str, database: &str) -> Instance {
    Instance::new(redis, shared_livekit(), prefix).with("DATABASE_URL", database)
}

/// Sends a request to the instances in turn until one of them answers with a success.
async fn send(urls: &[String], path: &str, body: &Value) -> Value {
    let client = reqwest::Client::new();
    eventually("an instance", || async {
        for url in urls {
            let request = client.post(format!("{url}{path}")).json(body).timeout(Duration::from_secs(5));
            if let Ok(response) = request.send().await
                && response.status().is_success()
            {
                return response.json().await.ok();
            }
        }
        None
    })
    .await
}

/// Issues tokens in a stream, each of which is an event, until `ended`.
async fn change_until(urls: Vec<String>, id: String, ended: tokio_util::sync::CancellationToken) {
    for n in 0.. {
        let body = json!({"identity": format!("p{}", n % 20), "metadata": {"n": n}});
        send(&urls, &format!("/streams/{id}/join"), &body).await;
        if ended.is_cancelled() {
            return;
        }
    }
}

async fn history_of(urls: &[String], id: &str) -> Vec<String> {
    let path = format!("/events/{id}?limit=1000");
    let events: Vec<Box<serde_json::value::RawValue>> = eventually("the log", || async {
        for url in urls {
            if let Ok(response) = reqwest::get(format!("{url}{path}")).await
                && response.status().is_success()
            {
                return response.json().await.ok();
            }
        }
        None
    })
    .await;
    events.iter().map(|event| event.get().to_owned()).collect()
}

async fn stored(store: &dyn HistoryStore, id: &str) -> Vec<String> {
    let id: StreamId = id.parse().unwrap();
    let all = RowLimit { rows: 100_000, bytes: usize::MAX };
    let events = store.events(id, Cursor::ORIGIN, all).await.map(|page| page.rows).unwrap_or_default();
    events.into_iter().map(|event| event.json).collect()
}

/// The archiving instance, the other one and Postgres are killed at random moments while streams change. Afterwards the
/// rows are the events of the logs: none twice, none missing, each the same JSON.
#[tokio::test]
async fn rows_are_the_events_of_the_logs_after_kills_of_everything() {
    let (redis, mut postgres, prefix) = (Redis::start_durable(), Postgres::start(), unique("history"));
    let database = postgres.create_database().await;
    let mut instances = [(); 2].map(|()| instance(&redis.url(), &prefix, &database));
    for instance in &mut instances {
        instance.start().await;
    }
    let urls: Vec<_> = instances.iter().map(|instance| instance.address().http).collect();
    let names = (0..STREAMS).map(|n| json!({"name": format!("{prefix}-{n}")}));
    let created = join_all(names.map(|body| {
        let urls = &urls;
        async move { send(urls, "/streams", &body).await }
    }));
    let created = created.await;
    let ids: Vec<_> = created.iter().map(|stream| stream["id"].as_str().unwrap().to_owned()).collect();
    let ended = tokio_util::sync::CancellationToken::new();
    let changes = ids.iter().map(|id| tokio::spawn(change_until(urls.clone(), id.clone(), ended.clone())));
    let changes: Vec<_> = changes.collect();
    for round in 0..ROUNDS {
        let before = history_of(&urls, &ids[0]).await.len();
        match round % 3 {
            2 => {
                postgres.kill();
                postgres.restart();
            }
            index => {
                instances[index].kill();
                instances[index].start().await;
            }
        }
        // The next fault hits while changes are made.
        eventually("changes", || async {
            (history_of(&urls, &ids[0]).await.len() > before + 3 + fastrand::usize(..10)).then_some(())
        })
        .await;
    }
    ended.cancel();
    join_all(changes).await.into_iter().for_each(|joined| joined.unwrap());
    let store = open(&DatabaseAddress::parse(&database.into()).unwrap());
    for id in &ids {
        let expected = history_of(&urls, id).await;
        eventually("the rows", || async { (stored(&*store, id).await == expected).then_some(()) }).await;
    }
    let metrics = reqwest::get(format!("{}/metrics", urls[0])).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("lso_history_up{database=\"postgres\"} 1"), "{metrics}");
    assert_eq!(store.gaps(Partition::FIRST, Log::Events).await.unwrap(), []);
}

async fn history_part(url: &str) -> Value {
    let health: Value = reqwest::get(format!("{url}/health")).await.unwrap().json().await.unwrap();
    assert_eq!(health["status"], "ok", "{health}");
    health["history"].clone()
}

#[tokio::test]
async fn instance_without_its_database_is_ready_and_stores_when_it_answers() {
    let (mut postgres, prefix) = (Postgres::start(), unique("history"));
    let database = postgres.create_database().await;
    postgres.kill();
    let mut instance = instance(shared_redis(), &prefix, &database);
    instance.start().await;
    let urls = [instance.address().http];
    assert_eq!(history_part(&urls[0]).await, json!({"status": "down", "kind": "postgres"}));
    let stream = send(&urls, "/streams", &json!({"name": prefix})).await;
    let id = stream["id"].as_str().unwrap();
    postgres.restart();
    let store = open(&DatabaseAddress::parse(&database.into()).unwrap());
    let expected = history_of(&urls, id).await;
    eventually("the rows", || async { (stored(&*store, id).await == expected).then_some(()) }).await;
    eventually("health", || async {
        (history_part(&urls[0]).await == json!({"status": "up", "kind": "postgres"})).then_some(())
    })
    .await;
    postgres.kill();
    eventually("health", || async { (history_part(&urls[0]).await["status"] == "down").then_some(()) }).await;
}

#[tokio::test]
async fn newer_schema_ends_the_start_and_is_found_by_check() {
    let database = shared_postgres_database().await;
    open(&DatabaseAddress::parse(&database.clone().into()).unwrap()).migrate().await.unwrap();
    let instance = instance(shared_redis(), &unique("history"), &database);
    let (code, printed) = instance.run_command(&["check"]).await;
    assert!(
        code == Some(0) && printed.contains("ok   Database: has the schema of this version"),
        "{printed}"
    );
    let pool = sqlx::PgPool::connect(&database).await.unwrap();
    let applied = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (99, 'later', true, '', 0)";
    sqlx::query(applied).execute(&pool).await.unwrap();
    for args in [&[][..], &["check"]] {
        let (code, printed) = instance.run_command(args).await;
        assert!(code == Some(1) && printed.contains("migration 99"), "{code:?}: {printed}");
    }
}
