//! Media that leave a stream: files, HLS and RTMP, by workers that stand in for LiveKit's egress program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    broadcast_fixture::BroadcastFixture,
    support::{
        eventually,
        ffmpeg::{assert_moves, probe, push_to},
    },
};

#[tokio::test]
async fn recording_of_pushed_media_is_playable_in_the_store() {
    let fixture = BroadcastFixture::start().await;
    let stream = fixture.page.create(json!({})).await;
    let ingress = fixture.create_rtmp_ingress(&stream, "obs").await;
    let _push = push_to(&ingress.address);
    fixture.wait_for_media(&stream, "obs").await;

    let wanted = json!({"identity": "obs", "path": "concert/part 1"});
    let (path, _) = fixture.start_egress(&stream, "recording", wanted).await;
    let complete = fixture.stop_after_three_seconds(&path).await;
    let files = complete["files"].as_array().unwrap();
    let [file] = files.as_slice() else { panic!("one file: {complete}") };
    assert_eq!(file["path"], "concert/part 1.mp4");
    assert_eq!(file["location"], fixture.url_of("concert/part 1.mp4"));

    let url = fixture.url_of("concert/part%201.mp4");
    let probed = probe(&url).await;
    assert_eq!(probed["format"]["size"], file["size"].to_string());
    let duration: f64 = probed["format"]["duration"].as_str().unwrap().parse().unwrap();
    let reported = file["duration"].as_f64().unwrap();
    assert!((duration - reported).abs() < 1.0 && reported >= 3.0, "{duration} s, reported {reported} s");
    let codecs: Vec<_> = probed["streams"].as_array().unwrap().iter().map(|one| &one["codec_name"]).collect();
    assert_eq!(codecs, ["h264", "aac"]);
    assert_moves(&url, 20).await;
}

#[tokio::test]
async fn hls_of_running_broadcast_plays_in_browser() {
    let fixture = BroadcastFixture::start().await;
    let stream = fixture.page.create(json!({})).await;
    let _host = fixture.publishing_host(&stream).await;
    let wanted = json!({"hls": {"path": "live/show", "segmentSeconds": 1}});
    let (path, started) = fixture.start_egress(&stream, "broadcast", wanted).await;
    let url = started["hls"]["url"].as_str().unwrap().to_owned();
    assert_eq!(url, fixture.url_of("live/show.m3u8"));
    let live = started["hls"]["livePlaylist"].as_str().unwrap().to_owned();
    assert_eq!(live, fixture.url_of("live/show.live.m3u8"));
    let playlist = async || reqwest::get(&url).await.unwrap().text().await.unwrap();
    let newest = async || reqwest::get(&live).await.unwrap().text().await.unwrap();
    eventually("segments", || async { (playlist().await.matches(".ts").count() >= 3).then_some(()) }).await;

    // LiveKit's program keeps five segments in it.
    eventually("a live playlist without the first segment", || async {
        let newest = newest().await;
        let is_live = !newest.contains("_00000.ts") && !newest.contains("EXT-X-PLAYLIST-TYPE");
        (is_live && newest.matches(".ts").count() == 5).then_some(())
    })
    .await;
    assert_moves(&live, 20).await;
    let browser = fixture.page.driver.browser().await;
    browser.open(&fixture.page.page("/health/live")).await;
    let play = format!(
        "const video = document.createElement('video'); video.muted = true; video.src = {}; \
         document.body.append(video); video.play()",
        json!(url)
    );
    browser.script(&play).await;
    browser.more_frames("video", 20).await;
    browser.close().await;

    let complete = fixture.stop_after_three_seconds(&path).await;
    let playlist = playlist().await;
    assert!(playlist.contains("#EXT-X-ENDLIST"), "{playlist}");
    assert_eq!(playlist.matches(".ts").count(), complete["hls"]["segments"]);
    assert_eq!(complete["hls"]["url"], url);
    assert_moves(&url, 20).await;
}

#[tokio::test]
async fn rtmp_targets_are_added_and_removed_while_the_broadcast_runs() {
    let fixture = BroadcastFixture::start().await;
    let stream = fixture.page.create(json!({})).await;
    let _host = fixture.publishing_host(&stream).await;
    let [first, second] = ["first-key", "other-key"].map(|key| fixture.rtmp.target(key));
    let (path, started) = fixture.start_egress(&stream, "broadcast", json!({"rtmp": [first]})).await;
    fixture.wait_for_status(&path, "active").await;
    assert_moves(&first, 20).await;
    let change = async |change: Value| fixture.page.request(Method::PATCH, &path, Some(change)).await;
    change(json!({"add": [second]})).await;
    assert_moves(&second, 20).await;
    change(json!({"remove": [started["rtmp"][0]["id"]]})).await;
    fixture.rtmp.wait_until_pushed("first-key", false).await;
    assert_moves(&second, 20).await;
    let complete = fixture.stop_after_three_seconds(&path).await;
    let outputs = complete["rtmp"].as_array().unwrap();
    let shown: Vec<_> = outputs.iter().map(|one| (&one["status"], one["url"].as_str().unwrap())).collect();
    let masked = fixture.rtmp.target("***");
    let finished = json!("finished");
    assert_eq!(shown, [(&finished, masked.as_str()), (&finished, masked.as_str())]);
    fixture.rtmp.wait_until_pushed("other-key", false).await;
}
