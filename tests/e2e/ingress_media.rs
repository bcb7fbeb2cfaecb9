//! Media that an encoder pushes: ffmpeg, an RTMP server, and workers that stand in for LiveKit's ingress program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{convert::Infallible, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    broadcast_fixture::BroadcastFixture,
    support::{eventually, ffmpeg::push_to, servers::ChildProcess},
};

async fn wait_for_exit(mut push: ChildProcess) {
    let failed = |push: &mut ChildProcess| push.exit_status().map(|status| !status.success());
    let refused = eventually("the end of a push", || std::future::ready(failed(&mut push))).await;
    assert!(refused, "the encoder reports an error");
}

/// Pushes to an address, again whenever the connection ends, as OBS does.
async fn keep_pushing(address: &str) -> Infallible {
    loop {
        let mut push = push_to(address);
        while push.exit_status().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Waits until the stream shows that a participant has left.
async fn wait_until_disconnected(fixture: &BroadcastFixture, stream: &Value, identity: &str) {
    let path = format!("/streams/{}/participants/{identity}", stream["id"].as_str().unwrap());
    fixture.wait_for_field(&path, "state", "disconnected").await;
}

#[tokio::test]
async fn pushed_video_moves_on_page_of_viewer_until_ingress_is_deleted() {
    let fixture = BroadcastFixture::start().await;
    let stream = fixture.page.create(json!({"metadata": {"title": "Concert"}})).await;
    let ingress = fixture.create_rtmp_ingress(&stream, "obs").await;
    assert_eq!(ingress.document["url"], fixture.rtmp.ingest());
    wait_for_exit(push_to(&format!("{}/another-key", fixture.rtmp.ingest()))).await;
    let push = push_to(&ingress.address);
    assert_eq!(fixture.wait_for_media(&stream, "obs").await["kind"], "ingress");
    let publishing = fixture.wait_for_status(&ingress.path, "publishing").await;
    assert!(publishing["startedAt"].is_string(), "{publishing}");
    let viewer = fixture.page.driver.browser().await;
    fixture.page.join_room(&viewer, &stream, "Vera", "viewer").await;
    viewer.shown("#tiles .tile[data-source=camera][data-identity=obs] video").await;
    viewer.more_frames("#tiles .tile[data-source=camera][data-identity=obs] video", 20).await;

    assert_eq!(fixture.page.delete(&ingress.path).await, StatusCode::NO_CONTENT);
    wait_for_exit(push).await;
    viewer.until_gone("#tiles .tile[data-identity=obs]").await;
    fixture.livekit_of(&stream).wait_until_left("obs").await;
    wait_until_disconnected(&fixture, &stream, "obs").await;
    assert_eq!(fixture.page.get(&ingress.path).await.status(), StatusCode::NOT_FOUND);
    wait_for_exit(push_to(&ingress.address)).await;
    viewer.close().await;
}

#[tokio::test]
async fn encoder_that_reconnects_publishes_again() {
    let fixture = BroadcastFixture::start().await;
    let stream = fixture.page.create(json!({})).await;
    let ingress = fixture.create_rtmp_ingress(&stream, "obs").await;
    for _ in 0..2 {
        let push = push_to(&ingress.address);
        fixture.wait_for_media(&stream, "obs").await;
        fixture.wait_for_status(&ingress.path, "publishing").await;
        push.kill();
        fixture.wait_for_status(&ingress.path, "inactive").await;
        wait_until_disconnected(&fixture, &stream, "obs").await;
    }
}

#[tokio::test]
async fn encoder_that_reconnects_does_not_bring_stopped_stream_back() {
    let fixture = BroadcastFixture::start().await;
    let stream = fixture.page.create(json!({})).await;
    let ingress = fixture.create_rtmp_ingress(&stream, "obs").await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    let stop = async {
        fixture.wait_for_media(&stream, "obs").await;
        fixture.page.request(Method::DELETE, &path, None).await
    };
    let stopped = tokio::select! {
        stopped = stop => stopped,
        never = keep_pushing(&ingress.address) => match never {},
    };
    assert_eq!((&stopped["status"], &stopped["ingresses"]), (&json!("stopped"), &json!(0)));

    let livekit = fixture.livekit_of(&stream);
    livekit.wait_until_closed().await;
    for _ in 0..3 {
        wait_for_exit(push_to(&ingress.address)).await;
        assert!(!livekit.has_room().await, "the push has opened the room again");
    }
    assert_eq!(livekit.ingresses().await, [""; 0]);
    let state = fixture.wait_for_status(&format!("{path}/state"), "stopped").await;
    assert_eq!(state["participantCount"], 0, "{state}");
    let log: Value = fixture
        .page
        .get(&format!("/events/{}?limit=1000", stream["id"].as_str().unwrap()))
        .await
        .json()
        .await
        .unwrap();
    let log = log.as_array().unwrap();
    let deleted = log.iter().filter(|event| event["data"]["ingress"]["deleted"] == true).count();
    assert_eq!((deleted, log.last().unwrap()["type"].as_str()), (1, Some("stream_stopped")));
}
