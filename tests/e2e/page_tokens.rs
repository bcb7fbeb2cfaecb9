//! The pages against a service that wants tokens (`AUTH=livekit`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use livekit_api::access_token::{AccessToken, VideoGrants};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::{
    page_fixture::PageFixture,
    support::{
        servers::{KEY, SECRET},
        tokens::accepted_for,
    },
    webdriver::Browser,
};

fn token_by(secret: &str, identity: &str, grants: VideoGrants) -> String {
    AccessToken::with_api_key(KEY, secret).with_identity(identity).with_grants(grants).to_jwt().unwrap()
}

fn token(identity: &str, grants: VideoGrants) -> String {
    token_by(SECRET, identity, grants)
}

fn operating() -> VideoGrants {
    VideoGrants { room_create: true, room_list: true, ..VideoGrants::default() }
}

fn joining(room: &Value) -> VideoGrants {
    VideoGrants { room_join: true, room: room.as_str().unwrap().to_owned(), ..VideoGrants::default() }
}

async fn guarded() -> PageFixture {
    PageFixture::start_with(|instance| instance.with("AUTH", "livekit")).await
}

async fn create(fixture: &PageFixture, title: &str) -> Value {
    let url = format!("{}/streams", fixture.instance.address().http);
    let request = Client::new().post(url).bearer_auth(token("operator", operating()));
    let created = request.json(&json!({"metadata": {"title": title}})).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    created.json().await.unwrap()
}

async fn give(page: &Browser, token: &str) {
    page.fill("#token textarea", token).await;
    page.click("#token .primary").await;
}

#[tokio::test]
async fn list_page_with_tokens_of_different_grants_shows_missing_grants() {
    let fixture = guarded().await;
    create(&fixture, "Friday demo").await;
    assert_eq!(fixture.get("/streams").await.status(), StatusCode::UNAUTHORIZED, "else this shows nothing");
    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/")).await;
    page.text_is("#token", |text| text.contains("lk token create")).await;
    give(&page, &token_by("another-secret", "forger", operating())).await;
    page.text_is("#token .error", |text| text.contains("did not accept your token")).await;
    give(&page, &token("operator", operating())).await;
    page.text_is("[data-stream-id] h3", |text| text == "Friday demo").await;
    page.text_is("#feed", |text| text == "Up to date").await;

    // A feed that is followed with a token is as live as any.
    create(&fixture, "Another").await;
    page.text_is("#totals", |text| text.starts_with("2 streams")).await;
    page.fill("#search", "Another").await;
    page.confirm("[data-stream-id]:not([hidden]) .stop").await;
    page.text_is("#totals", |text| text.starts_with("1 stream,")).await;

    page.click("#account").await;
    give(&page, &token("reader", VideoGrants { room_list: true, ..VideoGrants::default() })).await;
    page.text_is("#account .label", |text| text == "reader").await;
    page.fill("#start input[name=title]", "Refused").await;
    page.click("#start button[type=submit]").await;
    page.text_is("#start-error", |text| {
        text == "Your token does not allow this: to create a stream, the token needs roomCreate."
    })
    .await;
    page.close().await;

    let guest = fixture.driver.browser().await;
    guest.open(&fixture.page("/")).await;
    give(&guest, &token("guest", joining(&json!("some-room")))).await;
    guest
        .text_is("#list-error", |text| {
            text == "Your token does not allow this: to list streams, the token needs roomList."
        })
        .await;
    guest.close().await;
}

#[tokio::test]
async fn room_page_with_token_of_its_room_joins_and_of_another_fails() {
    let fixture = guarded().await;
    let stream = create(&fixture, "Friday demo").await;
    let room = &stream["roomName"];
    let (host, guest, stranger) =
        (fixture.driver.browser().await, fixture.driver.browser().await, fixture.driver.browser().await);

    // Who may administer the room has a token made by the service, and may stop it.
    host.open(&fixture.room(&stream)).await;
    let admin =
        VideoGrants { room_admin: true, room: room.as_str().unwrap().to_owned(), ..VideoGrants::default() };
    give(&host, &token("ann", admin)).await;
    host.join("Ann", "host").await;
    host.phase("live").await;

    // Who may join it needs nothing else.
    guest.open(&fixture.room(&stream)).await;
    give(&guest, &token("sam", VideoGrants { can_publish: Some(false), ..joining(room) })).await;
    guest.phase("lobby").await;
    guest.click("#join button[type=submit]").await;
    guest.phase("live").await;
    guest.frames("#tiles video", 10).await;
    host.shown("#participants [data-identity=sam][data-state=active]").await;
    guest.click("#leave").await;
    host.shown("#participants [data-identity=sam][data-state=disconnected]").await;

    // Who may join another sees no more than who guesses.
    stranger.open(&fixture.room(&stream)).await;
    give(&stranger, &token("mallory", joining(&json!("another-room")))).await;
    stranger.phase("error").await;
    stranger.shown("#account").await;

    host.confirm("#stop").await;
    host.phase("stopped").await;
    for page in [host, guest, stranger] {
        assert_eq!(page.console_errors(false).await, Vec::<String>::new());
        page.close().await;
    }
}

/// The token is nowhere but in the memory of this tab.
async fn keeps_it_to_itself(page: &Browser, token: &str) {
    let told = "return JSON.stringify([location.href, document.cookie, Object.values(localStorage), document.documentElement.outerHTML])";
    assert!(!page.script(told).await.to_string().contains(token));
    assert_eq!(page.script("return sessionStorage.getItem('token')").await, token);
}

#[tokio::test]
async fn list_page_without_token_asks_for_one_and_keeps_it_for_the_tab() {
    let fixture = guarded().await;
    let operator = token("operator", operating());
    create(&fixture, "Friday demo").await;
    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/")).await;
    page.shown("dialog#token").await;
    page.text_is("dialog#token", |text| text.contains("lk token create") && text.contains("--create --list"))
        .await;
    page.inspect("index-token").await;
    page.fill("#token textarea", "nonsense").await;
    page.click("#token .primary").await;
    page.text_is("#token .error", |text| text.contains("did not accept your token")).await;
    page.inspect("index-token-refused").await;
    page.fill("#token textarea", &operator).await;
    page.click("#token .primary").await;
    page.text_is("[data-stream-id] h3", |text| text == "Friday demo").await;
    page.text_is("#feed", |text| text == "Up to date").await;
    page.text_is("#account .label", |text| text == "operator").await;
    keeps_it_to_itself(&page, &operator).await;

    // It outlives a reload, and a stream can be started with it.
    page.open(&fixture.page("/")).await;
    page.fill("#start input[name=title]", "Started").await;
    page.click("#start button[type=submit]").await;
    page.shown("#started").await;
    // A token that may do less: the page says what is missing, and takes another one.
    page.click("#account").await;
    page.fill("#token textarea", &token("reader", VideoGrants { room_list: true, ..VideoGrants::default() }))
        .await;
    page.click("#token .primary").await;
    page.text_is("#account .label", |text| text == "reader").await;
    page.click("#start button[type=submit]").await;
    page.text_is("#start-error", |text| {
        text == "Your token does not allow this: to create a stream, the token needs roomCreate."
    })
    .await;
    page.text_is("#feed", |text| text == "Up to date").await;
    page.inspect("index-forbidden").await;
    page.close().await;

    // Another browser is asked again; who has none is not left with nothing.
    let stranger = fixture.driver.browser().await;
    stranger.open(&fixture.page("/")).await;
    stranger.click("#token button[value=no]").await;
    stranger
        .until("the failure", || async {
            stranger.script("return document.body.dataset.list").await == "failed"
        })
        .await;
    stranger.click("#retry").await;
    stranger.fill("#token textarea", &operator).await;
    stranger.click("#token .primary").await;
    stranger.text_is("#totals", |text| text.starts_with("2 streams")).await;
    stranger.close().await;
}

#[tokio::test]
async fn room_page_with_join_token_takes_name_and_role_from_it() {
    let fixture = guarded().await;
    let stream = create(&fixture, "Friday demo").await;
    let mine = token("sam", VideoGrants { can_publish: Some(false), ..joining(&stream["roomName"]) });
    let page = fixture.driver.browser().await;
    page.open(&fixture.room(&stream)).await;
    page.fill("#token textarea", &mine).await;
    page.click("#token .primary").await;
    page.phase("lobby").await;
    // Who comes in, and as what, is in the token.
    assert_eq!(page.script("const {name, role} = document.querySelector('#join').elements; return [name.value, name.readOnly, role.value, role.disabled]").await,
        json!(["sam", true, "viewer", true]));
    page.click("#join button[type=submit]").await;
    page.phase("live").await;
    page.shown("#participants [data-identity=sam][data-state=active]").await;
    keeps_it_to_itself(&page, &mine).await;
    page.click("#leave").await;
    page.phase("left").await;
    page.close().await;
}

#[tokio::test]
async fn list_page_after_token_expiry_asks_again_and_misses_no_event() {
    let fixture = guarded().await;
    let stream = create(&fixture, "Friday demo").await;
    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/")).await;
    page.shown("#token textarea").await;
    give(&page, &accepted_for(Duration::from_secs(15), "brief", &operating())).await;
    page.text_is("[data-stream-id] h3", |text| text == "Friday demo").await;
    // The service closes the feed, and does not open it again for this token.
    page.text_is("#token .error", |text| text.contains("did not accept your token")).await;
    let url = format!("{}/streams/{}", fixture.instance.address().http, stream["id"].as_str().unwrap());
    let stopped = Client::new().delete(url).bearer_auth(token("operator", operating())).send().await.unwrap();
    assert_eq!(stopped.status(), StatusCode::OK);
    create(&fixture, "Monday demo").await;
    give(&page, &token("operator", operating())).await;
    let rows = "return [...document.querySelectorAll('#streams > li:not([data-ended]) h3')].map((title) => title.textContent)";
    page.until("the rows", || async { page.script(rows).await == json!(["Monday demo"]) }).await;
    page.text_is("#feed", |text| text == "Up to date").await;
    page.close().await;
}
