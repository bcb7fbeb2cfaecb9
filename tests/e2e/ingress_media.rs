//! Media that an encoder pushes: ffmpeg, an RTMP server, and workers that stand in for LiveKit's ingress program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livekit_protocol::ingress_state::Status;
use serde_json::json;

use crate::{
    broadcast_fixture::BroadcastFixture,
    support::{eventually, ffmpeg::push_to, servers::ChildProcess},
};

async fn wait_for_exit(mut push: ChildProcess) {
    let failed = |push: &mut ChildProcess| push.exit_status().map(|status| !status.success());
    let refused = eventually("the end of a push", || std::future::ready(failed(&mut push))).await;
    assert!(refused, "the encoder reports an error");
}

#[tokio::test]
async fn pushed_video_moves_on_page_of_viewer_until_ingress_is_deleted() {
    let fixture = BroadcastFixture::start().await;
    let stream = fixture.page.create(json!({"metadata": {"title": "Concert"}})).await;
    let livekit = fixture.livekit_of(&stream);
    let created = livekit.create_rtmp_ingress("obs").await;
    assert_eq!(created.url, fixture.rtmp.ingest());
    wait_for_exit(push_to(&format!("{}/another-key", created.url))).await;
    let address = format!("{}/{}", created.url, created.stream_key);
    let push = push_to(&address);
    assert_eq!(fixture.wait_for_media(&stream, "obs").await["kind"], "ingress");
    let publishing = livekit.wait_for_ingress(&created.ingress_id, Status::EndpointPublishing).await;
    assert_eq!(publishing.state.unwrap().tracks.len(), 2);
    let viewer = fixture.page.driver.browser().await;
    fixture.page.join_room(&viewer, &stream, "Vera", "viewer").await;
    viewer.shown("#tiles .tile[data-source=camera][data-identity=obs] video").await;
    viewer.more_frames("#tiles .tile[data-source=camera][data-identity=obs] video", 20).await;

    livekit.ingress().delete_ingress(&created.ingress_id).await.unwrap();
    wait_for_exit(push).await;
    viewer.until_gone("#tiles .tile[data-identity=obs]").await;
    livekit.wait_until_left("obs").await;
    wait_for_exit(push_to(&address)).await;
    viewer.close().await;
}

#[tokio::test]
async fn encoder_that_reconnects_publishes_again() {
    let fixture = BroadcastFixture::start().await;
    let stream = fixture.page.create(json!({})).await;
    let livekit = fixture.livekit_of(&stream);
    let created = livekit.create_rtmp_ingress("obs").await;
    let address = format!("{}/{}", created.url, created.stream_key);
    for _ in 0..2 {
        let push = push_to(&address);
        livekit.wait_for_ingress(&created.ingress_id, Status::EndpointPublishing).await;
        livekit.wait_for_participant("obs").await;
        push.kill();
        livekit.wait_for_ingress(&created.ingress_id, Status::EndpointInactive).await;
        livekit.wait_until_left("obs").await;
    }
}
