//! The history of running instances: what it stores while instances and Postgres die, and what an instance without
//! its database does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livestream_orchestrator::history::{DatabaseAddress, open};
use serde_json::{Value, json};

use crate::support::{
    eventually,
    history_faults::{Deployment, Victim, events_of, log_of, send},
    instance::Instance,
    servers::{Postgres, shared_livekit, shared_postgres_database, shared_redis},
    unique,
};

fn instance(redis: &str, prefix: &str, database: &str) -> Instance {
    Instance::new(redis, shared_livekit(), prefix).with("DATABASE_URL", database)
}

/// The archiving instance, Redis and Postgres are killed at random moments while streams change. Afterwards the rows
/// are the events of the logs and the ended visits: none twice, none missing, each the same JSON.
#[tokio::test]
async fn rows_are_the_events_of_the_logs_after_kills_of_everything() {
    let mut deployment = Deployment::start().await;
    deployment.kill([Victim::ALL, Victim::ALL].concat()).await;
    let outcome = deployment.compare().await;
    assert!(outcome.is_exact() && outcome.events > 0 && outcome.visits > 0, "{outcome:?}");
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
    let expected = log_of(&urls, id).await;
    eventually("the rows", || async { (events_of(&*store, id).await == expected).then_some(()) }).await;
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
