//! Failures that participants see, and the texts that the pages show.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::Method;
use serde_json::json;

use crate::{
    page_fixture::PageFixture,
    participant::{JoinToken, Participant},
    support::servers::{LiveKit, free_port},
};

const FAKE_DEVICES: &str = "--use-fake-device-for-media-stream";
/// Grants all device permissions.
const GRANT_PERMISSIONS: &str = "--use-fake-ui-for-media-stream";
/// Denies all device permissions.
const DENY_PERMISSIONS: &str = "--use-fake-ui-for-media-stream=deny";

#[tokio::test]
async fn host_without_device_permission_joins_with_notices() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({})).await;
    let page = fixture.driver.browser_with(&[FAKE_DEVICES, DENY_PERMISSIONS]).await;
    page.open(&fixture.room(&stream)).await;
    page.shows_notice("Your camera was refused").await;
    page.shows_notice("Your microphone was refused").await;
    page.shows_notice("You can join without").await;
    page.join("Ann", "host").await;
    page.phase("live").await;
    page.shows_notice("Others cannot see you").await;
    page.shows_notice("Others cannot hear you").await;
    page.text_is("#count", |text| text == "1").await;
    page.text_is("#screen .label", |text| text == "Share screen").await;
    page.click("#screen").await;
    page.shows_notice("Your screen is not shared").await;
    page.text_is("#screen .label", |text| text == "Share screen").await;
    // A second refusal does not add a second notice.
    page.click("#mic").await;
    page.until("the button", || async {
        page.script("return document.querySelector('#mic').disabled").await == false
    })
    .await;
    assert_eq!(
        page.script("return document.querySelectorAll('#notices [data-topic=microphone]').length").await,
        1
    );
    assert_eq!(page.console_errors(false).await, Vec::<String>::new());
    page.close().await;
}

#[tokio::test]
async fn host_without_devices_joins_with_notices() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({})).await;
    let page = fixture.driver.browser_with(&[GRANT_PERMISSIONS]).await;
    page.open(&fixture.room(&stream)).await;
    page.shows_notice("No camera was found").await;
    page.shows_notice("No microphone was found").await;
    page.join("Ann", "host").await;
    page.phase("live").await;
    page.shows_notice("No camera was found. Others cannot see you.").await;
    page.shown("#tiles .tile .initial").await;
    // Devices that are switched off before joining cause no notice.
    page.click("#leave").await;
    page.click("#again").await;
    page.shows_notice("No camera was found").await;
    page.click("#camera-switch").await;
    page.click("#microphone-switch").await;
    page.join("Ann", "host").await;
    page.phase("live").await;
    page.text_is("#count", |text| text == "1").await;
    assert_eq!(page.script("return document.querySelector('#notices').textContent").await, "");
    page.close().await;
}

#[tokio::test]
async fn disconnected_participant_sees_reason() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({})).await;
    let path = format!("/streams/{}", stream["id"].as_str().unwrap());
    let page = fixture.driver.browser().await;
    fixture.join_room(&page, &stream, "Ann", "host").await;
    page.frames("#tiles video", 5).await;
    let identity = page.script("return document.querySelector('#tiles .tile').dataset.identity").await;
    fixture.request(Method::POST, &format!("{path}/leave"), Some(json!({"identity": identity}))).await;
    page.phase("left").await;
    page.text_is("#end-message", |text| text == "You were removed from this stream.").await;

    page.click("#again").await;
    page.join("Ann", "host").await;
    page.phase("live").await;
    page.frames("#tiles video", 5).await;
    let joined =
        fixture.request(Method::POST, &format!("{path}/join"), Some(json!({"identity": identity}))).await;
    let _second_session = Participant::connect(&JoinToken::from_response(&joined)).await;
    page.phase("left").await;
    page.text_is("#end-message", |text| text.contains("from another place")).await;

    fixture.request(Method::DELETE, &path, None).await;
    page.phase("stopped").await;
    page.text_is("#end-message", |text| text == "The host stopped it for everyone.").await;
    // A late visitor sees the same text.
    page.open(&fixture.room(&stream)).await;
    page.phase("stopped").await;
    page.text_is("#end-message", |text| text == "The host stopped it for everyone.").await;
    page.shown("#end a[href='/']").await;
    page.open(&fixture.page("/room.html")).await;
    page.phase("error").await;
    page.text_is("#end-message", |text| text.contains("There is no such stream")).await;
    page.close().await;
}

#[tokio::test]
async fn failed_livekit_connection_shows_reason_and_frees_place() {
    let refusing = LiveKit::start_with_other_secret();
    for (url, notice) in [
        (refusing.url(), "The video server refused the token"),
        (format!("ws://localhost:{}", free_port()), "The video server cannot be reached from this browser"),
    ] {
        let fixture = PageFixture::start_with(|instance| instance.with("LIVEKIT_PUBLIC_URL", &url)).await;
        let stream = fixture.create(json!({})).await;
        let page = fixture.driver.browser().await;
        page.open(&fixture.room(&stream)).await;
        page.join("Ann", "viewer").await;
        page.shows_notice(notice).await;
        page.phase("lobby").await;
        // The participant's place is released, and joining is possible again.
        page.until_gone("#participants [data-state=joining]").await;
        page.until("the button", || async {
            page.script("return document.querySelector('#join [type=submit]').disabled").await == false
        })
        .await;
        page.close().await;
    }
}

#[tokio::test]
async fn room_page_during_outage_offers_retry() {
    let mut fixture = PageFixture::start().await;
    let stream = fixture.create(json!({})).await;
    let page = fixture.driver.browser().await;
    page.block(&["*/streams/*"]).await;
    page.open(&fixture.room(&stream)).await;
    page.phase("error").await;
    page.text_is("#end-message", |text| text.contains("The server does not answer")).await;
    page.block(&[]).await;
    page.click("#retry").await;
    page.phase("lobby").await;

    // The instance is killed while the participant joins.
    fixture.instance.kill();
    page.shows_notice("Reconnecting").await;
    page.join("Ann", "viewer").await;
    page.shows_notice("The server does not answer. Please try again in a moment.").await;
    page.shows_notice("Reconnecting").await;
    fixture.instance.start().await;
    page.has_shown_notice("Nothing was missed").await;
    page.click("#join button[type=submit]").await;
    page.phase("live").await;
    page.close().await;
}
