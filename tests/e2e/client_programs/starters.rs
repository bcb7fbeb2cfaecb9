//! Programs that create a stream and request a join token: retries, and refusals that are final.

use std::collections::HashSet;

use livekit_api::access_token::VideoGrants;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    STARTERS, TOKEN_MAKER,
    network::{Fault, FaultyServer},
    program_tests,
    service::{LONG, Service, signed},
};
use crate::{
    participant::{JoinToken, Participant},
    support::{
        servers::{KEY, SECRET},
        within,
    },
};

/// The first response is lost and the next attempts are refused temporarily: one stream and one join token are created.
async fn creates_once(program: &str) {
    let service = Service::start().await;
    let faults = [
        Fault::LostResponse,
        Fault::TemporaryRefusal(409),
        Fault::TemporaryRefusal(429),
        Fault::TemporaryRefusal(503),
    ];
    let network = FaultyServer::start(service.one.address().http, faults).await;
    let mut making = service.folder.command(TOKEN_MAKER);
    making.arg(&service.room).env("LIVEKIT_API_KEY", KEY).env("LIVEKIT_API_SECRET", SECRET);
    let made = within("a token", making.output()).await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let token = String::from_utf8(made.stdout).unwrap();

    let mut starting = service.folder.command(program);
    starting.env("API", &network.server.base).env("TOKEN", token.trim()).args([&service.room, "ann"]);
    let started = within("a join token", starting.output()).await.unwrap();
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let joined: Value = serde_json::from_slice(&started.stdout).unwrap();

    let attempts = network.attempts();
    let (creating, joining) = attempts.split_at(5);
    let keys: HashSet<_> = creating.iter().map(|attempt| attempt.key.as_deref().unwrap()).collect();
    assert!(creating.iter().all(|attempt| attempt.path == "/streams") && keys.len() == 1, "{attempts:?}");
    assert!(!creating[0].replayed && creating[4].replayed, "the lost response is replayed: {attempts:?}");
    assert!(joining.len() == 1 && !keys.contains(joining[0].key.as_deref().unwrap()), "{attempts:?}");
    let streams = service.get("/streams?status=all").await;
    assert_eq!((streams.as_array().unwrap().len(), &streams[0]["roomName"]), (1, &json!(service.room)));
    assert_eq!(joined["streamId"], streams[0]["id"]);

    // The printed join token is accepted by LiveKit and by the service.
    Participant::connect(&JoinToken::from_response(&joined)).await;
    let state =
        format!("{}/streams/{}/state", service.one.address().http, joined["streamId"].as_str().unwrap());
    let read = service.client.get(state).bearer_auth(joined["token"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(read.status(), StatusCode::OK);
}

/// The program does not repeat a request that was refused with 401.
async fn does_not_retry_after_refusal(program: &str) {
    let service = Service::start().await;
    let network = FaultyServer::start(service.one.address().http, []).await;
    let grants = VideoGrants { room_create: true, ..VideoGrants::default() };
    let forged = signed("another secret", "test", LONG, grants);
    let mut starting = service.folder.command(program);
    starting.env("API", &network.server.base).env("TOKEN", forged).args([&service.room, "ann"]);
    let started = within("a refusal", starting.output()).await.unwrap();
    let errors = String::from_utf8_lossy(&started.stderr);
    assert!(!started.status.success() && errors.contains("401"), "{errors}");
    assert_eq!(network.attempts().len(), 1);
}

program_tests! {
    creates_once(STARTERS[0]) as curl_program_after_lost_response_creates_one_stream;
    creates_once(STARTERS[1]) as node_program_after_lost_response_creates_one_stream;
    creates_once(STARTERS[2]) as python_program_after_lost_response_creates_one_stream;
    creates_once(STARTERS[3]) as rust_program_after_lost_response_creates_one_stream;
    does_not_retry_after_refusal(STARTERS[0]) as curl_program_with_refused_token_does_not_retry;
    does_not_retry_after_refusal(STARTERS[1]) as node_program_with_refused_token_does_not_retry;
    does_not_retry_after_refusal(STARTERS[2]) as python_program_with_refused_token_does_not_retry;
    does_not_retry_after_refusal(STARTERS[3]) as rust_program_with_refused_token_does_not_retry;
}
