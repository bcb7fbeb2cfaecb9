//! Keyboard operation, reduced motion, time zone and locale of the pages; markup as text, and the content security
//! policy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fantoccini::key::Key;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{page_fixture::PageFixture, support::unique, webdriver::Browser};

/// Text with markup, script, template and bidirectional control characters.
fn hostile_text(field: &str) -> String {
    format!(
        "</script>\"'><img src=x onerror=\"hacked='{field}'\"><svg onload=hacked=1>${{7*7}}{{{{7*7}}}} \u{202e}{field}"
    )
}

#[tokio::test]
async fn markup_in_every_field_is_shown_as_text() {
    let fixture = PageFixture::start().await;
    // A room name has a maximum length.
    let room = format!("<img src=x onerror=hacked=2> {}", unique("room"));
    let metadata = json!({"title": hostile_text("title"), hostile_text("key"): hostile_text("value")});
    let body = json!({"roomName": room, "metadata": metadata});
    let stream = fixture.create(body).await;
    let path = format!("/streams/{}/join", stream["id"].as_str().unwrap());
    let (identity, name) = (hostile_text("identity"), hostile_text("name"));
    let join =
        json!({"identity": identity, "name": name, "metadata": {hostile_text("key"): hostile_text("value")}});
    fixture.request(Method::POST, &path, Some(join)).await;

    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/")).await;
    page.text_is("[data-stream-id] h3", |text| text.contains("onerror=\"hacked='title'\"")).await;
    page.text_is("[data-stream-id] .room", |text| text == room).await;
    // The server's error text repeats the invalid value.
    page.fill("#start input[name=title]", &hostile_text("start")).await;
    page.click("#start summary").await;
    page.fill("#start input[name=roomName]", &hostile_text("room").repeat(3)).await;
    page.click("#start button[type=submit]").await;
    page.shown("#start-error").await;
    page.fill("#search", &hostile_text("search")).await;
    assert_no_injection(&page).await;

    page.open(&fixture.room(&stream)).await;
    page.phase("lobby").await;
    page.text_is("#title", |text| text.contains("onerror=\"hacked='title'\"")).await;
    page.text_is("#participants .name", |text| text.contains("onerror=\"hacked='name'\"")).await;
    page.join("\"><img src=x onerror=hacked=3>", "host").await;
    page.phase("live").await;
    page.text_is("#tiles .tile .name", |text| text.contains("onerror=hacked=3") && text.contains("(you)"))
        .await;
    let mut publisher = fixture.participant(&stream, &hostile_text("talker"), "host").await;
    publisher.send("publish").await;
    page.frames("#tiles .tile:nth-child(2) video", 5).await;
    page.click("#events summary").await;
    // A bidirectional override affects the name only.
    page.text_is("#log", |text| text.contains("talker\u{2069} joined")).await;
    page.click("#stop").await;
    page.shown("dialog").await;
    assert_no_injection(&page).await;
    page.open(
        &fixture
            .page(&format!("/room.html?streamId={}&role=%3Cimg%20src=x%3E", urlencoded(&hostile_text("id")))),
    )
    .await;
    page.phase("error").await;
    assert_no_injection(&page).await;
    page.close().await;
}

fn urlencoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Checks that no markup became an element and no script ran.
async fn assert_no_injection(page: &Browser) {
    let injected = "return [typeof window.hacked, \
                    document.querySelectorAll('img[src=x], svg[onload], [onerror]').length]";
    assert_eq!(page.script(injected).await, json!(["undefined", 0]));
    assert_eq!(page.console_errors(false).await, Vec::<String>::new());
}

#[tokio::test]
async fn times_and_numbers_use_browser_time_zone_and_locale() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({"maxParticipants": 1234})).await;
    let _bob = fixture.participant(&stream, "Bob", "viewer").await;
    let page = fixture.driver.browser().await;
    page.devtools("Emulation.setTimezoneOverride", json!({"timezoneId": "Asia/Kathmandu"})).await;
    page.devtools("Emulation.setLocaleOverride", json!({"locale": "de-DE"})).await;
    page.open(&fixture.page("/")).await;
    page.text_is("[data-stream-id] .of", |text| text == "of 1.234 here").await;
    page.open(&fixture.room(&stream)).await;
    page.text_is("#limit", |text| text.trim() == "of 1.234").await;
    page.text_is("#participants .joined-at", |text| !text.is_empty()).await;
    let time = "const time = document.querySelector('#participants .joined-at'); \
                return [time.textContent, time.dateTime]";
    let [shown, moment]: [String; 2] = serde_json::from_value(page.script(time).await).unwrap();
    let moment = chrono::DateTime::parse_from_rfc3339(&moment).unwrap();
    let kathmandu = chrono::FixedOffset::east_opt((5 * 60 + 45) * 60).unwrap();
    assert_eq!(shown, moment.with_timezone(&kathmandu).format("%H:%M").to_string());
    page.close().await;
}

#[tokio::test]
async fn reduced_motion_preference_stops_animations() {
    let fixture = PageFixture::start().await;
    let page = fixture.driver.browser().await;
    let running = "return document.getAnimations().filter((one) => one.playState === 'running').length";
    for (preference, expected) in [("no-preference", true), ("reduce", false)] {
        let features = json!({"features": [{"name": "prefers-reduced-motion", "value": preference}]});
        page.devtools("Emulation.setEmulatedMedia", features).await;
        page.hold(&["*/streams*", "*/events*"]).await;
        page.open(&fixture.page("/")).await;
        page.shown(".loading i").await;
        page.until("the animations", || async {
            (page.script(running).await.as_u64().unwrap() > 0) == expected
        })
        .await;
    }
    page.close().await;
}

/// Presses Tab until an element has the focus. Checks that every focused element on the way has a visible outline,
/// except elements with a negative `tabIndex`, which only scripts focus.
async fn tab_to(page: &Browser, css: &str) {
    for _ in 0..40 {
        let focus = format!(
            "const at = document.activeElement; \
             return [at.matches({}), at.tabIndex < 0 || getComputedStyle(at).outlineStyle !== 'none']",
            json!(css)
        );
        match page.script(&focus).await {
            Value::Array(answer) if answer[0] == true => return,
            Value::Array(answer) => {
                assert_eq!(answer[1], true, "an element before {css} does not show its focus");
            }
            other => panic!("{other}"),
        }
        press(page, Key::Tab).await;
    }
    panic!("Tab does not reach {css}");
}

async fn press(page: &Browser, key: Key) {
    type_in(page, &String::from(char::from(key))).await;
}

async fn type_in(page: &Browser, text: &str) {
    page.client.active_element().await.unwrap().send_keys(text).await.unwrap();
}

#[tokio::test]
async fn keyboard_alone_completes_a_stream() {
    let fixture = PageFixture::start().await;
    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/")).await;
    page.shown(".state.empty").await;
    tab_to(&page, "#start [name=title]").await;
    type_in(&page, "Friday demo").await;
    press(&page, Key::Enter).await;
    page.shown("#started").await;
    tab_to(&page, "#started a.primary").await;
    press(&page, Key::Enter).await;
    page.phase("lobby").await;
    tab_to(&page, "#join [name=name]").await;
    type_in(&page, "Ann").await;
    press(&page, Key::Enter).await;
    page.phase("live").await;
    page.frames("#tiles video", 5).await;
    tab_to(&page, "#mic").await;
    press(&page, Key::Enter).await;
    page.text_is("#mic .label", |text| text == "Unmute").await;
    tab_to(&page, "#stop").await;
    press(&page, Key::Enter).await;
    page.shown("dialog").await;
    // Cancel has the initial focus, and Escape cancels.
    assert_eq!(page.script("return document.activeElement.value").await, "no");
    press(&page, Key::Escape).await;
    page.until_gone("dialog").await;
    page.phase("live").await;
    assert_eq!(page.script("return document.activeElement.id").await, "stop");
    press(&page, Key::Enter).await;
    tab_to(&page, "dialog [value=yes]").await;
    press(&page, Key::Enter).await;
    page.phase("stopped").await;
    assert_eq!(page.script("return document.activeElement.id").await, "end");
    tab_to(&page, "#end a").await;
    press(&page, Key::Enter).await;
    page.shown(".state.empty").await;
    page.close().await;
}

#[tokio::test]
async fn pages_have_strict_policy_and_no_dead_links() {
    let fixture = PageFixture::start().await;
    for path in ["/", "/index.html", "/room.html?streamId=x", "/history.html"] {
        let response = fixture.get(path).await;
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(response.headers()["referrer-policy"], "no-referrer");
        let html = response.text().await.unwrap();
        assert!(!html.contains(" style=") && !html.contains("<style"), "{path}");
        let is_handler =
            |rest: &str| rest.split_once('=').is_some_and(|(name, _)| name.chars().all(char::is_alphabetic));
        assert!(!html.split(" on").skip(1).any(is_handler), "{path}");
        assert_eq!(
            html.matches("<script").count(),
            html.matches("<script type=\"module\" src=\"/assets/").count()
        );
    }
    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/")).await;
    page.shown("#links a").await;
    let links = page
        .script("return [...document.querySelectorAll('#links a')].map((link) => link.getAttribute('href'))")
        .await;
    for link in links.as_array().unwrap() {
        assert_eq!(fixture.get(link.as_str().unwrap()).await.status(), 200, "{link}");
    }
    // The policy blocks nothing that the page itself uses.
    assert_eq!(page.console_errors(true).await, Vec::<String>::new());
    page.close().await;
}
