//! Recordings in the history, with LiveKit and scripted workers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::egress_fixture::{MediaApps, complete, end_slowly, path, wait_for_status};
use crate::support::{eventually, servers::shared_postgres_database, unique};

#[tokio::test]
async fn summary_has_recordings_with_results_of_after_the_end() {
    let database = shared_postgres_database().await;
    let servers = MediaApps::with(|arguments| arguments.database_url = Some(database.into())).await;
    let app = &servers.app;
    let stream = app.create(json!({"roomName": unique("room")})).await;
    let made = app.post(&path(&stream, "recordings"), json!({})).await.expect(StatusCode::CREATED);
    let id = made["recordingId"].as_str().unwrap();
    let recording = path(&stream, &format!("recordings/{id}"));
    wait_for_status(app, &recording, "active").await;
    end_slowly(&servers.workers, id).await;
    app.delete(&path(&stream, "")).await.expect(StatusCode::OK);

    let history = format!("/history{}", path(&stream, ""));
    let in_status = async |status: &str| {
        eventually("the recording in the history", || async {
            let summary = servers.other.get(&history).await.body;
            let found = summary["recordings"].as_array()?.first()?.clone();
            (summary["status"] == "stopped" && found["status"] == status).then_some(found)
        })
        .await
    };
    in_status("ending").await;
    complete(&servers.workers, id).await;
    let found = in_status("complete").await;
    let mut expected = app.get(&recording).await.expect(StatusCode::OK);
    let location = expected["files"][0].as_object_mut().unwrap().remove("location");
    assert!(location.as_ref().is_some_and(Value::is_string), "{expected}");
    assert_eq!(found, expected);
    let log = app.get(&format!("{history}/events?limit=1000")).await.expect(StatusCode::OK);
    assert_eq!(log.as_array().unwrap().last().unwrap()["type"], "stream_stopped");
}
