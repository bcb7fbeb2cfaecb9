//! The reason of a refused token, in the responses of every transport, in metrics and for webhooks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite::Error};

use super::{Pair, auth_fixture, auth_fixture::start_with_auth, token_rules::now, webhooks::body_hash};
use crate::support::{
    app::{TestResponse, participant_webhook},
    grpc,
    servers::{KEY, SECRET},
    tokens::jwt,
};

#[tokio::test]
async fn refused_token_has_reason_on_every_transport_and_in_metrics() {
    let Pair(app, _other) = start_with_auth().await;
    let now = now();
    let token = |iss: &str, exp: i64, secret: &str| jwt(&json!({"iss": iss, "exp": exp}), "HS256", secret);
    let cases = [
        ("malformed", "x.y.z".to_owned(), "the token is not a JSON Web Token"),
        ("signature", token(KEY, now, "another"), "signature is wrong"),
        ("expired", token(KEY, now - 90, SECRET), "the token has expired"),
        ("issuer_unknown", token("other", now, SECRET), "issuer is not an API key"),
        ("issuer_missing", token("", now, SECRET), "no issuer"),
        ("algorithm", jwt(&json!({"iss": KEY}), "HS512", SECRET), "HS256"),
        ("not_yet_valid", jwt(&json!({"iss": KEY, "nbf": now + 600}), "HS256", SECRET), "not valid yet"),
    ];
    for (reason, bearer, detail) in &cases {
        let problem = auth_fixture::send(&app, bearer, Method::GET, "/streams", None).await;
        let problem = problem.expect_problem(401, "unauthenticated");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{reason}: {problem}");
        let status = grpc::Client::of(&app).await.with_token(bearer).state("x").await.unwrap_err();
        assert!(
            status.code() == tonic::Code::Unauthenticated && status.message().contains(detail),
            "{status:?}"
        );
        let url = format!("{}/ws?access_token={bearer}", app.base.replacen("http", "ws", 1));
        let Err(Error::Http(refused)) = connect_async(url).await else { panic!("{reason}: WebSocket") };
        let refused = String::from_utf8_lossy(refused.body().as_deref().unwrap_or_default()).into_owned();
        assert!(refused.contains(detail) && !refused.contains(bearer.as_str()), "{reason}: {refused}");
    }
    let missing = app.get("/streams").await.expect_problem(401, "unauthenticated");
    assert_eq!(missing["detail"], "an access token is required");
    let metrics = app.get("/metrics").await.text;
    for (reason, count) in cases.iter().map(|(reason, ..)| (*reason, 3)).chain([("missing", 1)]) {
        let line = format!("lso_requests_refused_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[tokio::test]
async fn webhook_tokens_follow_same_rules() {
    let Pair(app, _other) = Pair::start().await;
    let stream = app.create(json!({})).await;
    let now = now();
    let body = participant_webhook("participant_joined", &stream, "ann", "PA_1").to_string();
    let claims = json!({"iss": KEY, "nbf": now, "exp": now + 300, "sha256": body_hash(&body)});
    let signed = |more: Value| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        jwt(&claims, "HS256", SECRET)
    };
    let post = async |authorization: &str| {
        let request = app.request(Method::POST, "/webhook").header("authorization", authorization);
        TestResponse::read(request.body(body.clone()).send().await.unwrap()).await
    };
    for (reason, token, detail) in [
        ("missing", String::new(), "no token"),
        ("malformed", "nonsense".to_owned(), "not a JSON Web Token"),
        ("malformed", signed(json!({"sha256": 5})), "`sha256` has the wrong type"),
        ("algorithm", jwt(&claims, "none", SECRET), "HS256"),
        ("issuer_missing", signed(json!({"iss": null})), "no issuer"),
        ("issuer_unknown", signed(json!({"iss": "other"})), "issuer is not an API key"),
        ("signature", jwt(&claims, "HS256", "another"), "signature is wrong"),
        ("expired", signed(json!({"exp": now - 90})), "has expired"),
        ("not_yet_valid", signed(json!({"nbf": now + 600})), "not valid yet"),
        ("body_hash_missing", signed(json!({"sha256": null})), "has no `sha256`"),
        ("body_hash_mismatch", signed(json!({"sha256": body_hash("other")})), "does not match"),
    ] {
        let problem = post(&token).await.expect_problem(401, "invalid_signature");
        let found = problem["detail"].as_str().unwrap();
        assert!(found.contains(detail) && (token.is_empty() || !found.contains(&token)), "{reason}: {found}");
        let line = format!("lso_webhooks_refused_total{{reason=\"{reason}\"}}");
        assert!(app.get("/metrics").await.text.contains(&line), "{reason}");
    }
    for (more, outcome) in [
        (json!({"aud": ["x"], "sub": null, "video": null, "roomConfig": null, "future": [1]}), "applied"),
        (json!({"exp": now as f64 + 0.5, "nbf": now as f64 - 0.5}), "duplicate"),
        (json!({"exp": now - 30, "nbf": now + 30}), "duplicate"),
    ] {
        assert_eq!(post(&signed(more.clone())).await.expect(StatusCode::OK)["outcome"], outcome, "{more}");
    }
}
