//! Participants meet in the bundled pages, with real video.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    page_fixture::PageFixture,
    support::{instance::Instance, servers::shared_redis},
    webdriver::Browser,
};

/// Selector of a participant's camera tile, by the start of the identity.
fn tile(name: &str) -> String {
    format!("#tiles .tile[data-source=camera][data-identity^='{name}-']")
}

/// Waits until the list page shows this count for its only stream.
async fn wait_for_listed_count(page: &Browser, count: &str) {
    page.text_is("[data-stream-id] .count", |text| text == count).await;
}

/// Creates a stream on the list page and joins it as host.
async fn start_as_host(fixture: &PageFixture, host: &Browser) {
    host.open(&fixture.page("/")).await;
    host.fill("#start input[name=title]", "Friday demo").await;
    host.click("#start button[type=submit]").await;
    host.click("#started a.primary").await;
    host.phase("lobby").await;
    host.frames("#preview", 5).await;
    host.fill("#join input[name=name]", "Ann").await;
    host.click("#join button[type=submit]").await;
    host.phase("live").await;
    host.frames(&format!("{} video", tile("ann")), 10).await;
}

/// Waits for three participants, one tile, and the host's camera and microphone.
async fn wait_for_all_three(page: &Browser) {
    page.text_is("#count", |text| text == "3").await;
    let here = "return document.querySelectorAll('#participants [data-state=active]').length";
    page.until("three participants", || async { page.script(here).await == 3 }).await;
    let tiles = "return document.querySelectorAll('#tiles .tile').length";
    page.until("one tile", || async { page.script(tiles).await == 1 }).await;
    page.shown("#participants [data-identity^='ann-'] [data-source=microphone]").await;
    page.shown("#participants [data-identity^='ann-'] [data-source=camera]").await;
}

/// Switches microphone and camera off and on, and waits until every page shows it.
async fn switch_devices_off_and_on(host: &Browser, all_pages: [&Browser; 3]) {
    host.click("#mic").await;
    for page in all_pages {
        page.shown(&format!("{}[data-muted]", tile("ann"))).await;
        page.until_gone("#participants [data-identity^='ann-'] [data-source=microphone]").await;
    }
    host.click("#mic").await;
    host.click("#camera").await;
    for page in all_pages {
        page.shown(&format!("{}:not([data-muted])", tile("ann"))).await;
        page.shown(&format!("{} .initial", tile("ann"))).await;
        page.until_gone("#participants [data-identity^='ann-'] [data-source=camera]").await;
    }
    host.click("#camera").await;
    for page in all_pages {
        page.more_frames(&format!("{} video", tile("ann")), 10).await;
    }
}

/// Checks that the console has no error and that all requests went to these ports.
async fn assert_clean(page: &Browser, ports: &[u16]) {
    assert_eq!(page.console_errors(true).await, Vec::<String>::new());
    for origin in page.origins().await {
        let has_port =
            |port: &u16| [format!("localhost:{port}"), format!("127.0.0.1:{port}")].contains(&origin);
        assert!(ports.iter().any(has_port), "unexpected request to {origin}");
    }
}

#[tokio::test]
async fn host_and_two_viewers_complete_a_stream() {
    let fixture = PageFixture::start().await;
    let mut other = Instance::new(shared_redis(), &fixture.livekit.url(), &fixture.prefix);
    other.start().await;
    let other_url = other.address().http.replace("127.0.0.1", "localhost");
    let driver = &fixture.driver;
    let (host, first, second, observer) =
        (driver.browser().await, driver.browser().await, driver.browser().await, driver.browser().await);

    observer.open(&other_url).await;
    observer.text_is("#part-livekit", |text| text == "LiveKit server").await;
    start_as_host(&fixture, &host).await;
    wait_for_listed_count(&observer, "1").await;
    let stream = fixture.request(Method::GET, "/streams", None).await[0].clone();
    for (page, name) in [(&first, "Bob"), (&second, "Cy")] {
        fixture.join_room(page, &stream, name, "viewer").await;
        page.frames(&format!("{} video", tile("ann")), 10).await;
        // A viewer has no controls for publishing.
        let offered =
            "return [...document.querySelectorAll('.controls .host')].some((button) => !button.hidden)";
        assert_eq!(page.script(offered).await, false);
    }
    wait_for_listed_count(&observer, "3").await;
    let all_pages = [&host, &first, &second];
    for page in all_pages {
        wait_for_all_three(page).await;
    }
    switch_devices_off_and_on(&host, all_pages).await;
    // LiveKit reports the connection quality every few seconds.
    second.shown(&format!("{}[data-quality] .bars", tile("ann"))).await;

    second.click("#leave").await;
    second.phase("left").await;
    wait_for_listed_count(&observer, "2").await;
    host.shown("#participants [data-identity^='cy-'][data-state=disconnected] .left-at").await;
    second.click("#again").await;
    second.join("Cy", "viewer").await;
    second.phase("live").await;
    wait_for_listed_count(&observer, "3").await;

    host.confirm("#stop").await;
    for page in all_pages {
        page.phase("stopped").await;
        page.text_is("#end h2", |text| text == "This stream has ended").await;
        page.text_is("#end-message", |text| text == "The host stopped it for everyone.").await;
    }
    let news = "return document.querySelector('#announcement').textContent";
    observer
        .until("the news", || async {
            observer.script(news).await == "\u{2068}Friday demo\u{2069} has ended."
        })
        .await;
    observer.shown(".state.empty").await;
    let stopped =
        fixture.request(Method::GET, &format!("/streams/{}", stream["id"].as_str().unwrap()), None).await;
    assert_eq!((&stopped["status"], &stopped["participantCount"]), (&json!("stopped"), &json!(0)));

    let ports = [fixture.page("/"), other_url, fixture.livekit.url()]
        .map(|url| url::Url::parse(&url).unwrap().port().unwrap());
    for page in [host, first, second, observer] {
        assert_clean(&page, &ports).await;
        page.close().await;
    }
}

#[tokio::test]
async fn third_participant_of_full_stream_joins_after_a_departure() {
    let fixture = PageFixture::start().await;
    let stream = fixture.create(json!({"maxParticipants": 2})).await;
    let mut ann = fixture.participant(&stream, "Ann", "host").await;
    let _bob = fixture.participant(&stream, "Bob", "viewer").await;
    let third = fixture.driver.browser().await;
    third.open(&fixture.room(&stream)).await;
    third.text_is("#count", |text| text == "2").await;
    third.join("Cy", "viewer").await;
    third.shows_notice("This stream is full").await;
    third.phase("lobby").await;
    ann.send("leave").await;
    third.text_is("#count", |text| text == "1").await;
    third.click("#join button[type=submit]").await;
    third.phase("live").await;
    third.text_is("#count", |text| text == "2").await;
    // Navigation to another page also leaves the room at once.
    third.open(&fixture.page("/")).await;
    wait_for_listed_count(&third, "1").await;
    third.close().await;
}

/// Sequence numbers and connection notes of the page's event log, oldest first.
const LOG: &str = "return [...document.querySelectorAll('#log li')].reverse() \
                   .map((row) => row.dataset.seq ? Number(row.dataset.seq) : row.dataset.note)";

/// Through the other instance: creates a stream, stops one, and changes one three times.
async fn change_through(other: &Instance, kept: &Value, stopped: &Value) -> Value {
    let client = reqwest::Client::new();
    let streams = format!("{}/streams", other.address().http);
    let body = json!({"metadata": {"title": "Started meanwhile"}});
    let started = client.post(&streams).json(&body).send().await.unwrap().json().await.unwrap();
    let path = |stream: &Value| format!("{streams}/{}", stream["id"].as_str().unwrap());
    assert!(client.delete(path(stopped)).send().await.unwrap().status().is_success());
    for n in 0..3 {
        let patch = json!({"metadata": {"title": format!("Kept {n}")}});
        assert!(client.patch(path(kept)).json(&patch).send().await.unwrap().status().is_success());
    }
    started
}

#[tokio::test]
async fn pages_after_instance_restart_show_missed_events() {
    let mut fixture = PageFixture::start().await;
    let mut other = Instance::new(shared_redis(), &fixture.livekit.url(), &fixture.prefix);
    other.start().await;
    // Events that do not change large metadata omit it.
    let kept = fixture.create(json!({"metadata": {"title": "Kept", "notes": "x".repeat(2_000)}})).await;
    let stopped = fixture.create(json!({"metadata": {"title": "Stopped meanwhile"}})).await;
    let (list, room) = (fixture.driver.browser().await, fixture.driver.browser().await);
    list.open(&fixture.page("/")).await;
    let rows = "return [...document.querySelectorAll('#streams > li:not([data-ended])')] \
                .map((row) => row.querySelector('h3').textContent)";
    list.until("the rows", || async { list.script(rows).await == json!(["Stopped meanwhile", "Kept"]) })
        .await;
    fixture.join_room(&room, &kept, "Ann", "host").await;
    list.text_is(&format!("[data-stream-id='{}'] .count", kept["id"].as_str().unwrap()), |text| text == "1")
        .await;
    assert_eq!(list.script(rows).await, json!(["Stopped meanwhile", "Kept"]), "titles stay");
    room.frames("#tiles video", 5).await;
    room.click("#events summary").await;

    fixture.instance.kill();
    list.text_is("#connection", |text| text.contains("Reconnecting")).await;
    room.shows_notice("Reconnecting").await;
    room.shown("#log [data-note=lost]").await;
    let started = change_through(&other, &kept, &stopped).await;
    fixture.instance.start().await;

    list.has_shown_notice("Connected again. Nothing was missed.").await;
    list.until("the rows", || async { list.script(rows).await == json!(["Started meanwhile", "Kept 2"]) })
        .await;
    list.text_is("#totals", |text| text == "2 streams, 1 person here").await;
    room.has_shown_notice("Connected again. Nothing was missed.").await;
    room.text_is("#title", |text| text == "Kept 2").await;
    room.text_is("#count", |text| text == "1").await;
    room.more_frames("#tiles video", 10).await;

    // Later events arrive as before.
    let joined = fixture.participant(&started, "Bob", "viewer").await;
    list.text_is("#totals", |text| text == "2 streams, 2 people here").await;
    drop(joined);
    let last = fixture
        .request(
            Method::PATCH,
            &format!("/streams/{}", kept["id"].as_str().unwrap()),
            Some(json!({"metadata": {"title": "Kept at last"}})),
        )
        .await;
    room.text_is("#title", |text| text == "Kept at last").await;
    list.until("the rows", || async {
        list.script(rows).await == json!(["Started meanwhile", "Kept at last"])
    })
    .await;

    // The page's log shows the interruption, and every event once and in order.
    let log: Vec<Value> = serde_json::from_value(room.script(LOG).await).unwrap();
    let seqs: Vec<u64> = log.iter().filter_map(Value::as_u64).collect();
    assert_eq!(seqs, (1..=last["version"].as_u64().unwrap()).collect::<Vec<_>>());
    let notes: Vec<&str> = log.iter().filter_map(Value::as_str).collect();
    assert_eq!(notes, ["lost", "resumed"]);
    let after: Vec<_> = log.iter().skip_while(|entry| *entry != "resumed").skip(1).collect();
    assert!(after.len() >= 4, "missed and later events follow the note: {log:?}");
    room.text_is("#log", |text| text.contains("nothing was missed")).await;
    for page in [list, room] {
        assert_eq!(page.console_errors(false).await, Vec::<String>::new());
        page.close().await;
    }
}
