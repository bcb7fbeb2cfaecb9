//! The pages with `AUTH=livekit`: the prompt for a token, missing grants, expiry.
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

/// A token that is signed with `secret`.
fn token_signed_with(secret: &str, identity: &str, grants: VideoGrants) -> String {
    AccessToken::with_api_key(KEY, secret).with_identity(identity).with_grants(grants).to_jwt().unwrap()
}

pub fn token(identity: &str, grants: VideoGrants) -> String {
    token_signed_with(SECRET, identity, grants)
}

/// Grants of an operator.
fn operator_grants() -> VideoGrants {
    VideoGrants { room_create: true, room_list: true, ..VideoGrants::default() }
}

/// Grants of a participant.
pub fn join_grants(room: &Value) -> VideoGrants {
    VideoGrants { room_join: true, room: room.as_str().unwrap().to_owned(), ..VideoGrants::default() }
}

pub async fn start_with_auth() -> PageFixture {
    PageFixture::start_with(|instance| instance.with("AUTH", "livekit")).await
}

pub async fn create(fixture: &PageFixture, title: &str) -> Value {
    let url = format!("{}/streams", fixture.instance.address().http);
    let request = Client::new().post(url).bearer_auth(token("operator", operator_grants()));
    let created = request.json(&json!({"metadata": {"title": title}})).send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    created.json().await.unwrap()
}

/// Enters a token in the prompt.
pub async fn enter_token(page: &Browser, token: &str) {
    page.fill("#token textarea", token).await;
    page.click("#token .primary").await;
}

#[tokio::test]
async fn list_page_with_tokens_of_different_grants_shows_missing_grants() {
    let fixture = start_with_auth().await;
    create(&fixture, "Friday demo").await;
    assert_eq!(fixture.get("/streams").await.status(), StatusCode::UNAUTHORIZED, "authentication is on");
    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/")).await;
    page.text_is("#token", |text| text.contains("lk token create")).await;
    enter_token(&page, &token_signed_with("another-secret", "forger", operator_grants())).await;
    page.text_is("#token .error", |text| text.contains("did not accept your token")).await;
    enter_token(&page, &token("operator", operator_grants())).await;
    page.text_is("[data-stream-id] h3", |text| text == "Friday demo").await;
    page.text_is("#feed", |text| text == "Up to date").await;

    // The feed is live with a token, too.
    create(&fixture, "Another").await;
    page.text_is("#totals", |text| text.starts_with("2 streams")).await;
    page.fill("#search", "Another").await;
    page.confirm("[data-stream-id]:not([hidden]) .stop").await;
    page.text_is("#totals", |text| text.starts_with("1 stream,")).await;

    page.click("#account").await;
    enter_token(&page, &token("reader", VideoGrants { room_list: true, ..VideoGrants::default() })).await;
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
    enter_token(&guest, &token("guest", join_grants(&json!("some-room")))).await;
    guest
        .text_is("#list-error", |text| {
            text == "Your token does not allow this: to list streams, the token needs roomList."
        })
        .await;
    guest.close().await;
}

#[tokio::test]
async fn room_page_with_token_of_its_room_joins_and_of_another_fails() {
    let fixture = start_with_auth().await;
    let stream = create(&fixture, "Friday demo").await;
    let room = &stream["roomName"];
    let (host, guest, outsider) =
        (fixture.driver.browser().await, fixture.driver.browser().await, fixture.driver.browser().await);

    // An admin of the room gets a join token from the service and may stop the stream.
    host.open(&fixture.room(&stream)).await;
    let admin =
        VideoGrants { room_admin: true, room: room.as_str().unwrap().to_owned(), ..VideoGrants::default() };
    enter_token(&host, &token("ann", admin)).await;
    host.join("Ann", "host").await;
    host.phase("live").await;

    // A participant joins with its own token.
    guest.open(&fixture.room(&stream)).await;
    enter_token(&guest, &token("sam", VideoGrants { can_publish: Some(false), ..join_grants(room) })).await;
    guest.phase("lobby").await;
    guest.click("#join button[type=submit]").await;
    guest.phase("live").await;
    guest.frames("#tiles video", 10).await;
    host.shown("#participants [data-identity=sam][data-state=active]").await;
    guest.click("#leave").await;
    host.shown("#participants [data-identity=sam][data-state=disconnected]").await;

    // A token for another room shows the same error as an unknown stream.
    outsider.open(&fixture.room(&stream)).await;
    enter_token(&outsider, &token("mallory", join_grants(&json!("another-room")))).await;
    outsider.phase("error").await;
    outsider.shown("#account").await;

    host.confirm("#stop").await;
    host.phase("stopped").await;
    for page in [host, guest, outsider] {
        assert_eq!(page.console_errors(false).await, Vec::<String>::new());
        page.close().await;
    }
}

/// Checks that the token is in the tab's `sessionStorage` only.
async fn assert_token_is_in_session_only(page: &Browser, token: &str) {
    let readable = "return JSON.stringify([location.href, document.cookie, Object.values(localStorage), \
                    document.documentElement.outerHTML])";
    assert!(!page.script(readable).await.to_string().contains(token));
    assert_eq!(page.script("return sessionStorage.getItem('token')").await, token);
}

#[tokio::test]
async fn list_page_without_token_asks_for_one_and_keeps_it_for_the_tab() {
    let fixture = start_with_auth().await;
    let operator = token("operator", operator_grants());
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
    assert_token_is_in_session_only(&page, &operator).await;

    // The token survives a reload and allows the creation of a stream.
    page.open(&fixture.page("/")).await;
    page.fill("#start input[name=title]", "Started").await;
    page.click("#start button[type=submit]").await;
    page.shown("#started").await;
    // With a token of fewer grants the page names the missing grant.
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

    // Another browser is asked for a token. Without one, the page offers a retry.
    let outsider = fixture.driver.browser().await;
    outsider.open(&fixture.page("/")).await;
    outsider.click("#token button[value=no]").await;
    outsider
        .until("the failure", || async {
            outsider.script("return document.body.dataset.list").await == "failed"
        })
        .await;
    outsider.click("#retry").await;
    outsider.fill("#token textarea", &operator).await;
    outsider.click("#token .primary").await;
    outsider.text_is("#totals", |text| text.starts_with("2 streams")).await;
    outsider.close().await;
}

#[tokio::test]
async fn room_page_with_join_token_takes_name_and_role_from_it() {
    let fixture = start_with_auth().await;
    let stream = create(&fixture, "Friday demo").await;
    let own_token =
        token("sam", VideoGrants { can_publish: Some(false), ..join_grants(&stream["roomName"]) });
    let page = fixture.driver.browser().await;
    page.open(&fixture.room(&stream)).await;
    page.fill("#token textarea", &own_token).await;
    page.click("#token .primary").await;
    page.phase("lobby").await;
    // Name and role come from the token.
    let fields = "const {name, role} = document.querySelector('#join').elements; \
                  return [name.value, name.readOnly, role.value, role.disabled]";
    assert_eq!(page.script(fields).await, json!(["sam", true, "viewer", true]));
    page.click("#join button[type=submit]").await;
    page.phase("live").await;
    page.shown("#participants [data-identity=sam][data-state=active]").await;
    assert_token_is_in_session_only(&page, &own_token).await;
    page.click("#leave").await;
    page.phase("left").await;
    page.close().await;
}

#[tokio::test]
async fn list_page_after_token_expiry_asks_again_and_misses_no_event() {
    let fixture = start_with_auth().await;
    let stream = create(&fixture, "Friday demo").await;
    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/")).await;
    page.shown("#token textarea").await;
    enter_token(&page, &accepted_for(Duration::from_secs(15), "brief", &operator_grants())).await;
    page.text_is("[data-stream-id] h3", |text| text == "Friday demo").await;
    // The service closes the feed and refuses the expired token.
    page.text_is("#token .error", |text| text.contains("did not accept your token")).await;
    let url = format!("{}/streams/{}", fixture.instance.address().http, stream["id"].as_str().unwrap());
    let stopped =
        Client::new().delete(url).bearer_auth(token("operator", operator_grants())).send().await.unwrap();
    assert_eq!(stopped.status(), StatusCode::OK);
    create(&fixture, "Monday demo").await;
    enter_token(&page, &token("operator", operator_grants())).await;
    let rows = "return [...document.querySelectorAll('#streams > li:not([data-ended]) h3')] \
                .map((title) => title.textContent)";
    page.until("the rows", || async { page.script(rows).await == json!(["Monday demo"]) }).await;
    page.text_is("#feed", |text| text == "Up to date").await;
    page.close().await;
}
