//! Routes of the history: documents, pages, CSV, bounds, and a database that is away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp, TestResponse, participant_webhook},
    eventually,
    servers::{Postgres, shared_livekit, shared_postgres_database, shared_redis},
    unique,
};

/// Seconds since 1970 of the first connection.
const START: i64 = 1_795_000_000;

pub(super) async fn start_with_history(auth: bool) -> TestApp {
    let database = shared_postgres_database().await;
    let setup = Setup::new(shared_redis(), shared_livekit()).with(|arguments| {
        arguments.database_url = Some(database.into());
        if auth {
            arguments.admission.auth = Some("livekit".to_owned());
        }
    });
    setup.start().await
}

/// A session of a participant: its identity, its role, and the seconds of its connection and its end after [`START`].
pub(super) type SessionTimes<'a> = (&'a str, &'a str, i64, i64);

/// Reports the connection and the end of a session.
pub(super) async fn visit(app: &TestApp, stream: &Value, (who, role, joined, left): SessionTimes<'_>) {
    for (event, at) in [("participant_joined", joined), ("participant_left", left)] {
        let mut webhook = participant_webhook(event, stream, who, &format!("PA_{who}_{joined}"));
        webhook["createdAt"] = (START + at).to_string().into();
        webhook["participant"]["joinedAt"] = (START + joined).to_string().into();
        webhook["participant"]["permission"]["canPublish"] = (role == "host").into();
        app.webhook(&webhook).await.expect(StatusCode::OK);
    }
}

/// A stopped stream with these sessions, once it is in the history.
async fn archived(app: &TestApp, room: &str, sessions: &[SessionTimes<'_>]) -> Value {
    let stream = app.create(json!({"roomName": room, "metadata": {"title": "=1"}})).await;
    for session in sessions {
        visit(app, &stream, *session).await;
    }
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    app.delete(&path).await.expect(StatusCode::OK);
    let history = format!("/history{path}");
    eventually("the history", || async {
        let is_stopped = app.get(&history).await.body["status"] == "stopped";
        let visits = app.get(&format!("{history}/visits")).await.body.as_array()?.len();
        (is_stopped && visits == sessions.len()).then_some(())
    })
    .await;
    stream
}

const SESSIONS: [SessionTimes<'static>; 5] = [
    ("ann", "viewer", 0, 10),
    ("bob", "viewer", 20, 50),
    ("ann", "viewer", 60, 90),
    ("cid", "viewer", 100, 200),
    ("eve", "host", 5, 305),
];

#[tokio::test]
async fn summary_has_peak_viewers_and_watch_times_by_person() {
    let app = start_with_history(false).await;
    let room = unique("room");
    let stream = archived(&app, &room, &SESSIONS).await;
    let path = format!("/history/streams/{}", stream["id"].as_str().unwrap());
    let summary = app.get(&path).await.expect(StatusCode::OK);
    for field in ["id", "roomName", "createdAt", "metadata", "audience"] {
        assert_eq!(summary[field], stream[field], "{field}");
    }
    let times = ["peakViewers", "uniqueViewers", "totalWatchSeconds", "medianWatchSeconds"];
    let hosts = ["uniqueHosts", "totalHostSeconds"];
    let found: Vec<_> = times.iter().chain(&hosts).map(|field| summary[*field].as_u64().unwrap()).collect();
    // Ann has watched for 10 s and 30 s.
    assert_eq!(found, [1, 3, 170, 40, 1, 300], "{summary}");
    assert_eq!((&summary["status"], &summary["stopReason"]), (&json!("stopped"), &json!("requested")));
    assert!(summary["startedAt"].is_string() && summary["stoppedAt"].is_string());
    app.stop().await;
}

/// Follows `Link` to the end; returns all entries and the number of pages.
async fn all_pages(app: &TestApp, path: &str) -> (Vec<Value>, usize) {
    let (mut entries, mut pages, mut next) = (Vec::new(), 0, Some(path.to_owned()));
    while let Some(path) = next {
        let answer = app.get(&path).await;
        let link = answer.header("link").map(str::to_owned);
        entries.extend(answer.expect(StatusCode::OK).as_array().unwrap().clone());
        pages += 1;
        next = link.map(|link| link.split(['<', '>']).nth(1).unwrap().to_owned());
    }
    (entries, pages)
}

#[tokio::test]
async fn lists_have_pages_filters_and_csv() {
    let app = start_with_history(false).await;
    let (room, other) = (unique("room"), unique("other"));
    let first = archived(&app, &room, &[]).await;
    archived(&app, &other, &[]).await;
    let last = archived(&app, &room, &SESSIONS).await;
    let (all, pages) = all_pages(&app, "/history/streams?limit=2").await;
    let rooms: Vec<_> = all.iter().map(|stream| stream["roomName"].as_str().unwrap()).collect();
    assert_eq!((rooms, pages), (vec![&*room, &*other, &*room], 2));
    let (of_room, _) = all_pages(&app, &format!("/history/streams?roomName={room}&limit=1")).await;
    assert_eq!(of_room.iter().map(|one| &one["id"]).collect::<Vec<_>>(), [&last["id"], &first["id"]]);
    let created = last["createdAt"].as_str().unwrap();
    assert_eq!(all_pages(&app, &format!("/history/streams?from={created}")).await.0.len(), 1);
    assert_eq!(all_pages(&app, &format!("/history/streams?to={created}")).await.0.len(), 2);
    let path = format!("/history/streams/{}", last["id"].as_str().unwrap());
    let (visits, pages) = all_pages(&app, &format!("{path}/visits?limit=2")).await;
    let order: Vec<_> = visits.iter().map(|visit| visit["identity"].as_str().unwrap()).collect();
    assert_eq!((order, pages), (vec!["ann", "eve", "bob", "ann", "cid"], 3));
    let expected = json!({"identity": "ann", "name": "ann", "role": "viewer", "sid": "PA_ann_0",
        "joinedAt": "2026-11-18T11:06:40.000Z", "leftAt": "2026-11-18T11:06:50.000Z", "seconds": 10});
    assert_eq!(visits[0], expected);
    let csv = csv(&app, &format!("{path}/visits")).await;
    let lines: Vec<_> = csv.text.split("\r\n").collect();
    assert_eq!(lines[0], "identity,name,role,kind,sid,joinedAt,leftAt,seconds");
    let row = "ann,ann,viewer,standard,PA_ann_0,2026-11-18T11:06:40.000Z,2026-11-18T11:06:50.000Z,10";
    assert_eq!((lines[1], lines.len()), (row, 7));
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"visits.csv\""));
    assert!(self::csv(&app, "/history/streams").await.text.contains("\"{\"\"title\"\":\"\"=1\"\"}\""));
    let tag = csv.header("etag").unwrap().to_owned();
    let request = app.request(Method::GET, &format!("{path}/visits")).header("accept", "text/csv");
    assert_eq!(request.header("if-none-match", tag).send().await.unwrap().status(), StatusCode::NOT_MODIFIED);
    app.stop().await;
}

async fn csv(app: &TestApp, path: &str) -> TestResponse {
    let request = app.request(Method::GET, path).header("accept", "text/csv, application/json;q=0.5");
    let answer = TestResponse::read(request.send().await.unwrap()).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::OK, Some("text/csv; charset=utf-8"))
    );
    answer
}

#[tokio::test]
async fn events_are_the_same_json_from_the_first_one_on() {
    let app = start_with_history(false).await;
    let stream = archived(&app, &unique("room"), &SESSIONS).await;
    let id = stream["id"].as_str().unwrap();
    let log = app.get(&format!("/events/{id}?limit=1000")).await;
    let path = format!("/history/streams/{id}/events");
    assert_eq!(app.get(&format!("{path}?limit=1000")).await.text, log.text);
    let (events, pages) = all_pages(&app, &format!("{path}?limit=5")).await;
    assert_eq!(Value::from(events.clone()), log.body);
    assert_eq!(pages, events.len().div_ceil(5));
    let after = events[1]["cursor"].as_str().unwrap();
    let rest = app.get(&format!("{path}?after={after}&limit=1000")).await.expect(StatusCode::OK);
    assert_eq!(rest.as_array().unwrap()[..], events[2..]);
    app.get(&format!("{path}?after=soon")).await.expect_problem(400, "invalid_cursor");
    let table = csv(&app, &path).await.text;
    let mut lines = table.split("\r\n");
    assert_eq!(lines.next(), Some("cursor,timestamp,type,seq,hosts,viewers,event"));
    assert!(lines.next().unwrap().contains(",stream_created,1,0,0,\"{"));
    app.stop().await;
}

#[tokio::test]
async fn chart_has_the_greatest_number_of_viewers_of_each_step() {
    let app = start_with_history(false).await;
    let stream = archived(&app, &unique("room"), &SESSIONS).await;
    let path = format!("/history/streams/{}/viewers", stream["id"].as_str().unwrap());
    let points = app.get(&path).await.expect(StatusCode::OK);
    let viewers: Vec<_> =
        points.as_array().unwrap().iter().map(|point| point["viewers"].as_u64().unwrap()).collect();
    assert_eq!(viewers.iter().max(), Some(&1));
    let hour = app.get(&format!("{path}?step=1h")).await.expect(StatusCode::OK);
    let count = hour.as_array().unwrap().len();
    assert!((1..=2).contains(&count), "{hour}");
    assert!(hour[0]["time"].as_str().unwrap().ends_with(":00:00.000Z"), "{hour}");
    assert!(csv(&app, &format!("{path}?step=1h")).await.text.starts_with("time,viewers\r\n20"));
    for step in ["0s", "1500ms", "soon"] {
        let problem = app.get(&format!("{path}?step={step}")).await.expect_problem(400, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], "step");
    }
    app.stop().await;
}

#[tokio::test]
async fn invalid_parameters_are_named() {
    let app = start_with_history(false).await;
    for (query, field) in [
        ("from=yesterday", "from"),
        ("to=1", "to"),
        ("roomName=", "roomName"),
        ("limit=1001", "limit"),
        ("cursor=x", "cursor"),
        // The list key of another list.
        ("cursor=MTpQQV8x", "cursor"),
    ] {
        let answer = app.get(&format!("/history/streams?{query}")).await;
        let problem = answer.expect_problem(400, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], field, "{query}");
    }
    for id in ["absent", "01960000-0000-7000-8000-000000000001"] {
        for rest in ["", "/visits", "/events", "/viewers"] {
            app.get(&format!("/history/streams/{id}{rest}")).await.expect_problem(404, "stream_not_found");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn history_is_unavailable_while_its_database_is_away() {
    let mut postgres = Postgres::start();
    let database = postgres.create_database().await;
    let setup = Setup::new(shared_redis(), shared_livekit())
        .with(|arguments| arguments.database_url = Some(database.into()));
    let app = setup.start().await;
    let room = unique("room");
    let stream = archived(&app, &room, &[]).await;
    let path = format!("/history/streams/{}", stream["id"].as_str().unwrap());
    postgres.kill();
    let problem = app.get(&path).await;
    assert_eq!(problem.header("retry-after"), Some("1"));
    let problem = problem.expect_problem(503, "history_unavailable");
    assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
    assert!(app.is_ready().await);
    app.create(json!({"roomName": unique("room")})).await;
    postgres.restart();
    eventually("the history", || async { app.get(&path).await.status.is_success().then_some(()) }).await;
    app.stop().await;
}
