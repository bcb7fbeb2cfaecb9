//! A service that wants a token, as the pages meet it. The service's refusals are played in the browser: what it grants to
//! whom is tested with the service.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use livekit_api::access_token::{AccessToken, VideoGrants};
use serde_json::json;

use crate::{
    scene::Scene,
    support::servers::{KEY, SECRET},
    webdriver::Browser,
};

/// A token with these grants, as LiveKit's own tools make them.
fn token(identity: &str, grants: VideoGrants) -> String {
    AccessToken::with_api_key(KEY, SECRET).with_identity(identity).with_grants(grants).to_jwt().unwrap()
}

fn operator() -> String {
    token("operator", VideoGrants { room_create: true, room_list: true, ..VideoGrants::default() })
}

/// Answers requests of the API as the service would: 401 without a good token, 403 where it grants something else.
const REFUSALS: &str = r#"
    const isApi = (url) => /^\/(streams|events)/.test(url.pathname);
    const grantsOf = (token) => {
        try { return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).video; } catch { return null; }
    };
    const problem = (status, code, detail) => new Response(JSON.stringify({ status, code, detail, title: code, type: "about:blank" }),
        { status, headers: { "content-type": "application/problem+json" } });
    const judge = (url, method, token) => {
        if (!isApi(url)) return null;
        const grants = token && grantsOf(token);
        if (!grants) return problem(401, "unauthenticated", token ? "the token is not a token" : "there is no token");
        if (method === "POST" && url.pathname === "/streams" && !grants.roomCreate) return problem(403, "forbidden", "no");
        return null;
    };
    window.asked = [];
    const before = window.fetch;
    window.fetch = async (input, options = {}) => {
        const url = new URL(input, location.href);
        const bearer = options.headers?.authorization?.replace("Bearer ", "") ?? url.searchParams.get("access_token");
        window.asked.push([url.pathname, Boolean(bearer)]);
        return judge(url, options.method ?? "GET", bearer) ?? before(input, options);
    };
    const Source = window.EventSource;
    window.EventSource = class extends Source {
        constructor(input) {
            const url = new URL(input, location.href);
            super(judge(url, "GET", url.searchParams.get("access_token")) ? "/no-such-route" : input);
        }
    };
"#;

/// The token is nowhere but in the memory of this tab.
async fn keeps_it_to_itself(page: &Browser, token: &str) {
    let told = "return JSON.stringify([location.href, document.cookie, Object.values(localStorage), document.documentElement.outerHTML])";
    assert!(!page.script(told).await.to_string().contains(token));
    assert_eq!(page.script("return sessionStorage.getItem('token')").await, token);
}

#[tokio::test]
async fn the_list_asks_for_a_token_and_goes_on_with_it() {
    let scene = Scene::set().await;
    let operator = operator();
    scene.create(json!({"metadata": {"title": "Friday demo"}})).await;
    let page = scene.driver.browser().await;
    page.before_pages(REFUSALS).await;
    page.open(&scene.page("/")).await;
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
    page.open(&scene.page("/")).await;
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
    page.text_is("#start-error", |text| text == "Your token does not allow this. It needs roomCreate.").await;
    page.text_is("#feed", |text| text == "Up to date").await;
    page.inspect("index-forbidden").await;
    page.close().await;

    // Another browser is asked again; who has none is not left with nothing.
    let stranger = scene.driver.browser().await;
    stranger.before_pages(REFUSALS).await;
    stranger.open(&scene.page("/")).await;
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
async fn a_token_for_one_room_is_the_way_into_it() {
    let scene = Scene::set().await;
    let stream = scene.create(json!({})).await;
    let grants = VideoGrants {
        room_join: true,
        room: stream["roomName"].as_str().unwrap().to_owned(),
        can_publish: Some(false),
        can_subscribe: Some(true),
        ..VideoGrants::default()
    };
    let mine = token("sam", grants);
    let page = scene.driver.browser().await;
    page.before_pages(REFUSALS).await;
    page.open(&scene.room(&stream)).await;
    page.fill("#token textarea", &mine).await;
    page.click("#token .primary").await;
    page.phase("lobby").await;
    // Who comes in, and as what, is in the token.
    assert_eq!(page.script("const {name, role} = document.querySelector('#join').elements; return [name.value, name.readOnly, role.value, role.disabled]").await,
        json!(["sam", true, "viewer", true]));
    page.click("#join button[type=submit]").await;
    page.phase("live").await;
    page.shown("#participants [data-identity=sam][data-state=active]").await;
    assert_eq!(page.script("return asked.some(([path]) => path.endsWith('/join'))").await, false);
    keeps_it_to_itself(&page, &mine).await;
    page.click("#leave").await;
    page.phase("left").await;
    page.close().await;
}
