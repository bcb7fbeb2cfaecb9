//! Routes of webhook endpoints.

use livekit_api::access_token::VideoGrants;
use livestream_orchestrator::{access::Grant, settings::Arguments};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{create_endpoint, setup};
use crate::{
    auth_fixture::{only_grant, send, token},
    support::{
        app::{TestApp, TestResponse},
        endpoint::TestEndpoint,
        eventually,
        servers::shared_redis,
        unique,
    },
};

const PATH: &str = "/webhook-endpoints";

async fn repeated(app: &TestApp, method: Method, path: &str, key: &str, body: Value) -> TestResponse {
    let request = app.request(method, path).header("idempotency-key", key).json(&body);
    TestResponse::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn endpoint_is_created_read_changed_and_deleted() {
    let (app, receiver) = (setup().start().await, TestEndpoint::start().await);
    let body = json!({"url": receiver.url, "events": ["stream_created"], "metadata": {"team": "crm"}});
    let response = app.post(PATH, body).await;
    let location = response.header("location").unwrap().to_owned();
    let created = response.expect(StatusCode::CREATED);
    assert_eq!(location, format!("{PATH}/{}", created["id"].as_str().unwrap()));
    assert!(created["secret"].as_str().unwrap().starts_with("whsec_"));
    let read = app.get(&location).await.expect(StatusCode::OK);
    assert_eq!(read["secret"], Value::Null);
    assert_eq!((&read["url"], &read["events"]), (&json!(receiver.url), &json!(["stream_created"])));
    assert_eq!((&read["metadata"], &read["disabled"]), (&json!({"team": "crm"}), &json!(false)));
    assert_eq!((&read["lag"]["events"], &read["lastAnswer"]), (&json!(0), &Value::Null));
    assert_eq!(app.get(PATH).await.expect(StatusCode::OK), json!([read]));
    let patched =
        app.patch(&location, json!({"disabled": true, "metadata": {}})).await.expect(StatusCode::OK);
    assert_eq!((&patched["disabled"], &patched["disabledReason"]), (&json!(true), &json!("requested")));
    let all = json!({"disabled": false, "events": null, "metadata": null});
    let patched = app.patch(&location, all).await.expect(StatusCode::OK);
    assert_eq!(patched["events"], Value::Null, "all types");
    assert_eq!((&patched["disabled"], &patched["metadata"]), (&json!(false), &json!({})));
    let rotated = app.post(&format!("{location}/rotate-secret"), json!({})).await.expect(StatusCode::OK);
    assert_ne!(rotated["secret"], created["secret"]);
    assert_eq!(app.delete(&location).await.status, StatusCode::NO_CONTENT);
    app.get(&location).await.expect_problem(404, "endpoint_not_found");
    app.delete(&location).await.expect_problem(404, "endpoint_not_found");
    app.stop().await;
}

#[tokio::test]
async fn invalid_endpoint_is_refused_and_the_field_is_named() {
    let app = setup().start().await;
    for (body, field) in [
        (json!({}), "url"),
        (json!({"url": "ftp://example.com"}), "url"),
        (json!({"url": "https://user@example.com/"}), "url"),
        (json!({"url": "http://169.254.169.254/latest"}), "url"),
        (json!({"url": "http://[fd00:ec2::254]/"}), "url"),
        (json!({"url": "http://0x7f.1/", "events": ["no_such_type"]}), "events"),
        (json!({"url": "http://127.0.0.1/", "events": []}), "events"),
        (json!({"url": "http://127.0.0.1/", "metadata": {"a": "x".repeat(4_096)}}), "metadata"),
    ] {
        let problem = app.post(PATH, body.clone()).await.expect_problem(400, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], field, "{body}");
    }
    let unknown = json!({"url": "http://127.0.0.1/", "streamId": "no-such-stream"});
    app.post(PATH, unknown).await.expect_problem(404, "stream_not_found");
    let strict = setup().with(|arguments| arguments.webhook_allow_private = None).start().await;
    for url in ["http://127.0.0.1:9/", "http://localhost/", "http://[::1]/", "http://10.0.0.1/"] {
        let problem = strict.post(PATH, json!({"url": url})).await.expect_problem(400, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], "url", "{url}");
    }
    app.stop().await;
    strict.stop().await;
}

#[tokio::test]
async fn repeated_requests_change_once_and_show_no_secret() {
    let (app, receiver) = (setup().start().await, TestEndpoint::start().await);
    let create = || repeated(&app, Method::POST, PATH, "create", json!({"url": receiver.url}));
    let created = create().await.expect(StatusCode::CREATED);
    let again = create().await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let again = again.expect(StatusCode::CREATED);
    assert_eq!((&again["id"], &again["secret"]), (&created["id"], &Value::Null));
    assert_eq!(app.get(PATH).await.body.as_array().unwrap().len(), 1);
    let path = format!("{PATH}/{}", created["id"].as_str().unwrap());
    let rotate_path = format!("{path}/rotate-secret");
    let rotate = || repeated(&app, Method::POST, &rotate_path, "rotate", json!({}));
    assert!(rotate().await.expect(StatusCode::OK)["secret"].is_string());
    assert_eq!(rotate().await.expect(StatusCode::OK), json!({}));
    for _ in 0..2 {
        let deleted = repeated(&app, Method::DELETE, &path, "delete", json!({})).await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    }
    app.stop().await;
}

#[tokio::test]
async fn endpoint_beyond_the_maximum_is_refused_and_leaves_no_position() {
    let prefix = unique("maximum");
    let with_prefix = |arguments: &mut Arguments| arguments.redis_prefix = Some(prefix.clone());
    let (app, receiver) = (setup().with(with_prefix).start().await, TestEndpoint::start().await);
    for _ in 0..100 {
        create_endpoint(&app, json!({"url": receiver.url})).await;
    }
    let problem = app.post(PATH, json!({"url": receiver.url})).await;
    problem.expect_problem(409, "too_many_endpoints");
    assert_eq!(app.get(PATH).await.expect(StatusCode::OK).as_array().unwrap().len(), 100);
    let client = redis::Client::open(shared_redis()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> =
        redis::cmd("KEYS").arg(format!("*{prefix}*followers")).query_async(&mut connection).await.unwrap();
    assert!(!keys.is_empty());
    for key in keys {
        let count: usize = redis::cmd("HLEN").arg(key).query_async(&mut connection).await.unwrap();
        assert_eq!(count, 100);
    }
    app.stop().await;
}

#[tokio::test]
async fn endpoints_need_both_grants() {
    let app = setup().with(|arguments| arguments.admission.auth = Some("livekit".to_owned())).start().await;
    for grant in Grant::ALL {
        let refused = send(&app, &token(only_grant(grant, "room")), Method::GET, PATH, None).await;
        let problem = refused.expect_problem(403, "forbidden");
        assert!(problem["detail"].as_str().unwrap().contains("roomCreate and roomList"), "{problem}");
    }
    let both = VideoGrants { room_create: true, room_list: true, ..VideoGrants::default() };
    let listed = send(&app, &token(both), Method::GET, PATH, None).await.expect(StatusCode::OK);
    assert_eq!(listed, json!([]));
    app.stop().await;
}

#[tokio::test]
async fn test_is_delivered_at_once_and_its_answer_returned() {
    let (app, receiver) = (setup().start().await, TestEndpoint::start().await);
    let endpoint = create_endpoint(&app, json!({"url": receiver.url, "events": ["stream_stopped"]})).await;
    let path = format!("{PATH}/{}/test", endpoint["id"].as_str().unwrap());
    let tested = app.post(&path, json!({})).await.expect(StatusCode::OK);
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(true), &json!(200)));
    let received = receiver.received();
    assert_eq!((received.len(), received[0].kind().as_str()), (1, "test"));
    assert!(received[0].is_signed_by(endpoint["secret"].as_str().unwrap()));
    receiver
        .decide(|_| crate::support::endpoint::Reply::Status(302, "location: http://169.254.169.254/\r\n"));
    let tested = app.post(&path, json!({})).await.expect(StatusCode::OK);
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(false), &json!(302)));
    app.stop().await;
}

#[tokio::test]
async fn endpoint_of_the_file_gets_events_and_cannot_be_changed() {
    let receiver = TestEndpoint::start().await;
    let file = std::env::temp_dir().join(unique("endpoints"));
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let endpoints = json!([{"id": "crm", "url": receiver.url, "secret": secret}]);
    std::fs::write(&file, endpoints.to_string()).unwrap();
    let app = setup()
        .with(|arguments| arguments.webhook_endpoints_file = Some(file.to_str().unwrap().to_owned()))
        .start()
        .await;
    std::fs::remove_file(&file).unwrap();
    let path = format!("{PATH}/crm");
    app.delete(&path).await.expect_problem(409, "endpoint_from_file");
    app.patch(&path, json!({"url": receiver.url})).await.expect_problem(409, "endpoint_from_file");
    // The file's endpoint begins when an instance delivers for the first time.
    eventually("an event", || async {
        super::change_stream(&app, 0).await;
        receiver.received().first().map(|one| assert!(one.is_signed_by(secret)))
    })
    .await;
    let disabled = app.patch(&path, json!({"disabled": true})).await.expect(StatusCode::OK);
    assert_eq!(disabled["disabled"], true);
    app.stop().await;
}
