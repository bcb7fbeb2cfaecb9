//! The Broadcast panel of the room page: addresses and keys of encoders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fantoccini::key::Key;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    page_fixture::PageFixture,
    page_tokens::create,
    panel_fixture::{COLLECT_COPIES, PanelFixture},
};

/// Selector of a row's second field, which has the key or the token.
const SECRET: &str = "#sources .jobs .copy-field:nth-of-type(3)";
const SERVER: &str = "#sources .jobs .copy-field:nth-of-type(2)";

#[tokio::test]
async fn host_gets_address_and_key_for_encoder_until_it_is_deleted() {
    let fixture = PanelFixture::start().await;
    let stream = create(&fixture.page, "Product launch").await;
    let (host, viewer) = (fixture.host(&stream).await, fixture.viewer(&stream).await);
    viewer.until_gone("#broadcast").await;
    host.press_on("#broadcast > summary", Key::Enter).await;
    host.inspect("room-broadcast").await;
    host.fill("#add-source [name=name]", "Studio").await;
    host.press_on("#add-source [type=submit]", Key::Enter).await;
    host.text_is("#sources .jobs .name", |text| text == "Studio").await;
    host.text_is("#sources .jobs .state", |text| text == "RTMP · waiting for the encoder").await;
    host.announces("Address of \u{2068}Studio\u{2069} created.").await;

    let listed = fixture.request(Method::GET, &stream, "/ingresses").await;
    let id = listed[0]["ingressId"].as_str().unwrap();
    let ingress = fixture.request(Method::GET, &stream, &format!("/ingresses/{id}")).await;
    let [url, key] = ["url", "streamKey"].map(|field| ingress[field].as_str().unwrap());
    assert_eq!(host.value(&format!("{SERVER} input")).await, url);
    host.hides(key).await;
    host.press_on(&format!("{SERVER} [data-verb=copy]"), Key::Enter).await;
    host.announces("Server copied.").await;
    host.press_on(&format!("{SECRET} [data-verb=copy]"), Key::Enter).await;
    host.has_copied(json!([url, key])).await;
    host.announces("Stream key copied.").await;
    host.text_is(&format!("{SECRET} [data-verb=copy] .label"), |text| text == "Copied").await;
    host.hides(key).await;
    host.press_on(&format!("{SECRET} [data-verb=show]"), Key::Enter).await;
    host.text_is(&format!("{SECRET} [data-verb=show] .label"), |text| text == "Hide").await;
    assert_eq!(host.value(&format!("{SECRET} input")).await, key);
    host.inspect("room-broadcast-source").await;
    host.press_on(&format!("{SECRET} [data-verb=show]"), Key::Enter).await;
    host.text_is(&format!("{SECRET} [data-verb=show] .label"), |text| text == "Show").await;

    assert_eq!(fixture.workers.push(key).await, StatusCode::OK);
    host.text_is("#sources .jobs .state", |text| text == "RTMP · sending").await;
    for page in [&host, &viewer] {
        page.click("#events > summary").await;
        page.text_is("#log", |text| text.contains("publishing")).await;
        page.hides(key).await;
    }
    host.click("#sources .remove").await;
    host.click("dialog button[value=yes]").await;
    host.until_gone("#sources .jobs li").await;
    assert_eq!(host.script("return document.activeElement.id").await, "sources-heading");
    assert_eq!(fixture.request(Method::GET, &stream, "/ingresses").await, json!([]));
    assert_eq!(fixture.workers.push(key).await, StatusCode::FORBIDDEN);
    for page in [host, viewer] {
        assert_eq!(page.console_errors(false).await, Vec::<String>::new());
        page.close().await;
    }
}

/// LiveKit's own endpoint needs neither Redis nor an ingress service.
#[tokio::test]
async fn host_gets_whip_address_and_token_of_livekit_without_redis() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({})).await;
    let host = fixture.driver.browser().await;
    host.before_pages(COLLECT_COPIES).await;
    fixture.join_room(&host, &stream, "Ann", "host").await;
    host.click("#broadcast > summary").await;
    host.click("#add-source [type=submit]").await;
    host.text_is("#sources > .error", |text| text.contains("WHIP directly to LiveKit needs neither")).await;
    host.inspect("room-broadcast-unavailable").await;
    host.choose("#add-source [name=type]", "direct").await;
    host.text_is("#add-source [data-type=direct]", |text| text.contains("bframes=0")).await;
    host.click("#add-source [type=submit]").await;
    host.text_is("#sources .jobs .state", |text| text.starts_with("WHIP to LiveKit · use it until")).await;
    host.text_is("#sources > .error", str::is_empty).await;
    let address = format!("{}/whip/v1", fixture.livekit.url().replacen("ws", "http", 1));
    assert_eq!(host.value(&format!("{SERVER} input")).await, address);
    host.click(&format!("{SECRET} [data-verb=copy]")).await;
    host.announces("Bearer token copied.").await;
    let copied = host.script("return copied[0]").await;
    let bearer = copied.as_str().unwrap();
    host.hides(bearer).await;
    assert!(bearer.starts_with("eyJ"), "a token");
    host.click("#sources .remove").await;
    host.until_gone("#sources .jobs li").await;
    host.close().await;
}

/// Without access to the clipboard, the value is selected.
#[tokio::test]
async fn field_without_clipboard_shows_and_selects_its_value() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({})).await;
    let host = fixture.driver.browser().await;
    host.before_pages("Object.defineProperty(navigator, 'clipboard', {value: undefined})").await;
    fixture.join_room(&host, &stream, "Ann", "host").await;
    host.click("#broadcast > summary").await;
    host.choose("#add-source [name=type]", "direct").await;
    host.click("#add-source [type=submit]").await;
    host.click(&format!("{SECRET} [data-verb=copy]")).await;
    host.announces("Bearer token: press Ctrl+C to copy.").await;
    let selected = "return getSelection().toString()";
    assert_eq!(host.script(selected).await, host.value(&format!("{SECRET} input")).await);
    host.text_is(&format!("{SECRET} [data-verb=show] .label"), |text| text == "Hide").await;
    host.close().await;
}
