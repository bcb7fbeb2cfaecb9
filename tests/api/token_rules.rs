//! Rules of token verification, compared with a real LiveKit server, and the texts of refusals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::{collection::vec, prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::{Pair, auth_fixture, auth_fixture::start_with_auth};
use crate::support::{
    app::{TestApp, TestResponse},
    servers::{KEY, SECRET, shared_livekit},
    tokens::{jwt, sign},
    unique,
};

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// Number of random tokens.
const CASES: usize = 300;

/// A server's decision about a token and a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TokenDecision {
    /// True if the token is valid.
    accepted: bool,
    /// True if the token is valid and grants the call.
    granted: bool,
}

/// The servers that are compared: LiveKit and this service.
struct Servers {
    livekit: String,
    client: Client,
    app: TestApp,
    room: String,
}

impl Servers {
    async fn start() -> Self {
        let Pair(app, _other) = start_with_auth().await;
        let room = unique("room");
        auth_fixture::create(&app, &room).await;
        let livekit = shared_livekit().replacen("ws", "http", 1);
        Self { livekit, client: Client::new(), app, room }
    }

    /// Claims that grant listing and joining, overridden and extended by `more`.
    fn claims(&self, more: &Value) -> Value {
        let now = now();
        let mut claims = json!({"iss": KEY, "sub": "ann", "nbf": now, "exp": now + 60,
            "video": {"roomList": true, "roomJoin": true, "room": self.room}});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    }

    async fn livekit_decisions(&self, token: &str) -> [TokenDecision; 2] {
        let list = self.client.post(format!("{}/twirp/livekit.RoomService/ListRooms", self.livekit));
        let list = list.bearer_auth(token).json(&json!({}));
        let join =
            self.client.get(format!("{}/rtc/validate", self.livekit)).query(&[("access_token", token)]);
        let mut decisions = Vec::new();
        for request in [list, join] {
            let answer = request.send().await.unwrap();
            let granted = answer.status().is_success();
            let text = answer.text().await.unwrap();
            // LiveKit returns 401 for both refusals. This text means that the token was valid.
            decisions
                .push(TokenDecision { accepted: granted || text.contains("permissions denied"), granted });
        }
        decisions.try_into().unwrap()
    }

    async fn answers(&self, token: &str) -> [TestResponse; 2] {
        let state = format!("/streams/{}/state", self.room);
        let list = auth_fixture::send(&self.app, token, Method::GET, "/streams", None).await;
        [list, auth_fixture::send(&self.app, token, Method::GET, &state, None).await]
    }

    /// Checks that both servers decide alike; returns the detail of this service's refusal.
    async fn compare(&self, what: &str, token: &str) -> Option<String> {
        let (livekit, answers) = (self.livekit_decisions(token).await, self.answers(token).await);
        let found = answers.each_ref().map(decision);
        assert_eq!(found, livekit, "{what}: this service and LiveKit");
        let [list, _] = answers;
        (list.status == StatusCode::UNAUTHORIZED).then(|| list.body["detail"].as_str().unwrap().to_owned())
    }
}

fn decision(answer: &TestResponse) -> TokenDecision {
    TokenDecision { accepted: answer.status != StatusCode::UNAUTHORIZED, granted: answer.status.is_success() }
}

pub fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

#[tokio::test]
async fn claims_that_livekit_accepts_are_accepted() {
    let servers = Servers::start().await;
    let now = now();
    let optional = [
        "name",
        "kind",
        "kindDetails",
        "metadata",
        "attributes",
        "roomConfig",
        "roomPreset",
        "sha256",
        "sip",
    ];
    let nulls: Value = optional.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    let room = servers.room.as_str();
    let video = json!({"roomList": true, "roomJoin": true, "room": room, "canPublish": null, "hidden": null,
        "canPublishSources": null, "roomAdmin": null, "future": {"a": []}});
    for (what, more) in [
        ("ordinary", json!({})),
        ("aud text", json!({"aud": "app"})),
        ("aud array", json!({"aud": ["app", "other"]})),
        ("null claims", nulls),
        ("null registered claims", json!({"aud": null, "exp": null, "nbf": null, "iat": null, "jti": null})),
        ("null and unknown grants", json!({"video": video})),
        ("grants in another case", json!({"video": {"ROOMLIST": true, "roomjoin": true, "Room": room}})),
        ("fractional times", json!({"exp": now as f64 + 9.75, "nbf": now as f64 - 0.25, "iat": 1.5})),
        ("times in strings", json!({"exp": (now + 60).to_string(), "nbf": "1e3"})),
        ("exp 30 s ago", json!({"exp": now - 30})),
        ("nbf in 30 s", json!({"nbf": now + 30})),
        ("iat in an hour", json!({"iat": now + 3600})),
        (
            "unknown enums in roomConfig",
            json!({"roomConfig": {"name": "x", "future": 1, "egress": {"participant":
            {"preset": "FROM_THE_FUTURE", "fileOutputs": [{"fileType": "FUTURE", "filepath": "x"}]}}}}),
        ),
        ("unknown kind", json!({"kind": "future", "kindDetails": ["future"]})),
        ("unknown claims", json!({"future": {"deep": [1, null]}, "sid": 5, "scope": ["a"]})),
        ("identity in jti", json!({"sub": null, "jti": "ann"})),
        ("attributes", json!({"attributes": {"a": "b"}, "metadata": "{}", "name": "Ann"})),
    ] {
        let refused = servers.compare(what, &jwt(&servers.claims(&more), "HS256", SECRET)).await;
        assert_eq!(refused, None, "{what}");
    }
    let lasting =
        json!({"iss": KEY, "sub": "ann", "video": {"roomList": true, "roomJoin": true, "room": room}});
    assert_eq!(servers.compare("no exp", &jwt(&lasting, "HS256", SECRET)).await, None);
    for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":5,"typ":null,"crit":["x"],"jku":[]}"#] {
        let token = sign(header, &servers.claims(&json!({})).to_string(), SECRET);
        assert_eq!(servers.compare(header, &token).await, None);
    }
}

#[tokio::test]
async fn tokens_that_livekit_refuses_are_refused_with_reason() {
    let servers = Servers::start().await;
    let now = now();
    let unusual = |more: Value| jwt(&servers.claims(&more), "HS256", SECRET);
    let valid = servers.claims(&json!({}));
    let expired = servers.claims(&json!({"exp": now - 90}));
    let head = unsigned(&valid);
    for (what, token, detail) in [
        ("no JWT", "nonsense".to_owned(), "not a JSON Web Token"),
        ("claims that are no object", sign(HEADER, "[]", SECRET), "not a JSON Web Token"),
        ("iss missing", jwt(&without_issuer(&valid), "HS256", SECRET), "no issuer"),
        ("iss null", unusual(json!({"iss": null})), "no issuer"),
        ("iss empty", unusual(json!({"iss": ""})), "no issuer"),
        ("unknown iss", unusual(json!({"iss": "other"})), "issuer is not an API key"),
        ("another secret", jwt(&valid, "HS256", "another"), "signature is wrong"),
        ("no signature", format!("{head}."), "signature is wrong"),
        ("expired with another secret", jwt(&expired, "HS256", "another"), "signature is wrong"),
        ("exp 90 s ago", jwt(&expired, "HS256", SECRET), "has expired"),
        ("exp zero", unusual(json!({"exp": 0})), "has expired"),
        ("nbf in 90 s", unusual(json!({"nbf": now + 90, "exp": now + 600})), "not valid yet"),
        ("exp of another type", unusual(json!({"exp": true})), "`exp` has the wrong type"),
        ("exp that is no number", unusual(json!({"exp": "soon"})), "`exp` has the wrong type"),
        ("iss of another type", unusual(json!({"iss": [KEY]})), "`iss` has the wrong type"),
        ("video of another type", unusual(json!({"video": "roomList"})), "`video` has the wrong type"),
        (
            "grant of another type",
            unusual(json!({"video": {"roomList": "true"}})),
            "`roomList` has the wrong type",
        ),
        ("HS384", jwt(&valid, "HS384", SECRET), "not signed with HS256"),
        ("HS512", jwt(&valid, "HS512", SECRET), "not signed with HS256"),
        ("RS256", jwt(&valid, "RS256", SECRET), "not signed with HS256"),
        ("none", jwt(&valid, "none", SECRET), "not signed with HS256"),
        ("no algorithm", sign("{}", &valid.to_string(), SECRET), "not signed with HS256"),
    ] {
        let refused = servers.compare(what, &token).await.unwrap_or_else(|| panic!("{what} is accepted"));
        assert!(refused.contains(detail) && !refused.contains(&token), "{what}: {refused}");
    }
    // A valid token without the grant.
    let no_grant = unusual(json!({"video": {"roomList": null, "roomJoin": false, "room": null}}));
    assert_eq!(servers.compare("null grants", &no_grant).await, None);
    // Without `video`, the response of /rtc/validate does not show that the token is valid.
    let no_video = unusual(json!({"video": null}));
    let ([livekit, _], [answer, _]) =
        (servers.livekit_decisions(&no_video).await, servers.answers(&no_video).await);
    assert_eq!((livekit.accepted, decision(&answer)), (true, livekit));
}

/// Header and claims of a valid token, without the signature.
fn unsigned(claims: &Value) -> String {
    jwt(claims, "HS256", SECRET).rsplit_once('.').unwrap().0.to_owned()
}

fn without_issuer(claims: &Value) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove("iss");
    claims
}

#[tokio::test]
async fn unused_claims_may_have_any_type() {
    let servers = Servers::start().await;
    // LiveKit parses these claims and refuses wrong types. This service does not read them.
    for more in [json!({"aud": 5}), json!({"iat": "x"}), json!({"name": 5}), json!({"roomConfig": "x"})] {
        let token = jwt(&servers.claims(&more), "HS256", SECRET);
        assert!(servers.livekit_decisions(&token).await.iter().all(|decision| !decision.accepted), "{more}");
        assert!(servers.answers(&token).await.iter().all(|answer| decision(answer).granted), "{more}");
    }
}

/// Members of a claims object as text, which allows duplicate names.
fn members() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let names = vec![
        "iss",
        "ISS",
        "sub",
        "jti",
        "exp",
        "Exp",
        "nbf",
        "iat",
        "aud",
        "video",
        "Video",
        "name",
        "sha256",
        "roomConfig",
        "future",
    ];
    let texts = vec![
        "null",
        "true",
        "0",
        "-1.5",
        "1.5e9",
        "2e9",
        "\"2e9\"",
        "\" 2e9\"",
        "\"\"",
        "\"x\"",
        "\"devkey\"",
        "\"\\ud800\"",
        "[]",
        "[null]",
        "[\"x\"]",
        "{}",
        "{\"roomList\":true}",
        "{\"ROOMLIST\":null}",
        "{\"roomList\":1}",
        "{\"roomList\":false,\"room\":null,\"future\":[]}",
        "1e999",
    ];
    let value = prop_oneof![
        3 => select(texts).prop_map(str::to_owned),
        1 => select(vec![-90, -30, 30, 90]).prop_map(|seconds| (now() + seconds).to_string()),
    ];
    vec((select(names), value), 0..6)
}

#[tokio::test]
async fn random_claims_are_accepted_if_livekit_accepts_them() {
    let servers = Servers::start().await;
    let (mut runner, mut accepted) = (TestRunner::default(), 0);
    for _ in 0..CASES {
        let members = members().new_tree(&mut runner).unwrap().current();
        let more: String = members.iter().map(|(name, value)| format!(",{}:{value}", json!(name))).collect();
        let claims = format!(r#"{{"iss":"{KEY}","sub":"ann","video":{{"roomList":true}}{more}}}"#);
        let token = sign(HEADER, &claims, SECRET);
        let [livekit, _] = servers.livekit_decisions(&token).await;
        let [list, _] = servers.answers(&token).await;
        let found = decision(&list);
        let unread = ["jti", "iat", "aud", "name", "roomConfig"];
        if livekit.accepted || !members.iter().any(|(name, _)| unread.contains(name)) {
            assert_eq!(found, livekit, "this service and LiveKit: {claims}: {}", list.text);
        }
        accepted += usize::from(livekit.accepted);
    }
    assert!((CASES / 20..CASES).contains(&accepted), "accepted and refused tokens both occur: {accepted}");
}
