//! People meet in the bundled pages, with real video.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    page_fixture::PageFixture,
    support::{instance::Instance, servers::shared_redis},
    webdriver::Browser,
};

/// A camera's tile of somebody, by the beginning of the identity.
fn tile(name: &str) -> String {
    format!("#tiles .tile[data-source=camera][data-identity^='{name}-']")
}

/// Waits for what the list of streams tells of its only stream.
async fn lists(page: &Browser, count: &str) {
    page.text_is("[data-stream-id] .count", |text| text == count).await;
}

/// Somebody who has read nothing: a title, one button, one button, a name, one button.
async fn start(fixture: &PageFixture, host: &Browser) {
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

/// Three people, one tile, and what the host sends.
async fn sees_all_three(page: &Browser) {
    page.text_is("#count", |text| text == "3").await;
    let here = "return document.querySelectorAll('#participants [data-state=active]').length";
    page.until("three people", || async { page.script(here).await == 3 }).await;
    let tiles = "return document.querySelectorAll('#tiles .tile').length";
    page.until("one tile", || async { page.script(tiles).await == 1 }).await;
    page.shown("#participants [data-identity^='ann-'] [data-source=microphone]").await;
    page.shown("#participants [data-identity^='ann-'] [data-source=camera]").await;
}

/// Muted and unmuted, camera off and on again, as the others see it.
async fn switch_off_and_on(host: &Browser, everybody: [&Browser; 3]) {
    host.click("#mic").await;
    for page in everybody {
        page.shown(&format!("{}[data-muted]", tile("ann"))).await;
        page.until_gone("#participants [data-identity^='ann-'] [data-source=microphone]").await;
    }
    host.click("#mic").await;
    host.click("#camera").await;
    for page in everybody {
        page.shown(&format!("{}:not([data-muted])", tile("ann"))).await;
        page.shown(&format!("{} .initial", tile("ann"))).await;
        page.until_gone("#participants [data-identity^='ann-'] [data-source=camera]").await;
    }
    host.click("#camera").await;
    for page in everybody {
        page.more_frames(&format!("{} video", tile("ann")), 10).await;
    }
}

/// No error in the console, and nothing was asked of anybody else but these ports.
async fn is_clean(page: &Browser, ports: &[u16]) {
    assert_eq!(page.console_errors(true).await, Vec::<String>::new());
    for origin in page.origins().await {
        let is_of = |port: &u16| [format!("localhost:{port}"), format!("127.0.0.1:{port}")].contains(&origin);
        assert!(ports.iter().any(is_of), "{origin} is nobody of ours");
    }
}

#[tokio::test]
async fn host_and_two_viewers_complete_a_stream() {
    let fixture = PageFixture::start().await;
    let mut other = Instance::new(shared_redis(), &fixture.livekit.url(), &fixture.prefix);
    other.start().await;
    let elsewhere = other.address().http.replace("127.0.0.1", "localhost");
    let driver = &fixture.driver;
    let (host, first, second, onlooker) =
        (driver.browser().await, driver.browser().await, driver.browser().await, driver.browser().await);

    onlooker.open(&elsewhere).await;
    onlooker.text_is("#part-livekit", |text| text == "LiveKit server").await;
    start(&fixture, &host).await;
    lists(&onlooker, "1").await;
    let stream = fixture.request(Method::GET, "/streams", None).await[0].clone();
    for (page, name) in [(&first, "Bob"), (&second, "Cy")] {
        fixture.join_room(page, &stream, name, "viewer").await;
        page.frames(&format!("{} video", tile("ann")), 10).await;
        // A viewer sends nothing and is offered nothing to send.
        let offered =
            "return [...document.querySelectorAll('.controls .host')].some((button) => !button.hidden)";
        assert_eq!(page.script(offered).await, false);
    }
    lists(&onlooker, "3").await;
    let everybody = [&host, &first, &second];
    for page in everybody {
        sees_all_three(page).await;
    }
    switch_off_and_on(&host, everybody).await;
    // LiveKit tells of the connection's quality every few seconds.
    second.shown(&format!("{}[data-quality] .bars", tile("ann"))).await;

    second.click("#leave").await;
    second.phase("left").await;
    lists(&onlooker, "2").await;
    host.shown("#participants [data-identity^='cy-'][data-state=disconnected] .left-at").await;
    second.click("#again").await;
    second.join("Cy", "viewer").await;
    second.phase("live").await;
    lists(&onlooker, "3").await;

    host.confirm("#stop").await;
    for page in everybody {
        page.phase("stopped").await;
        page.text_is("#end h2", |text| text == "This stream has ended").await;
        page.text_is("#end-message", |text| text == "The host stopped it for everyone.").await;
    }
    let news = "return document.querySelector('#announcement').textContent";
    onlooker
        .until("the news", || async {
            onlooker.script(news).await == "\u{2068}Friday demo\u{2069} has ended."
        })
        .await;
    onlooker.shown(".state.empty").await;
    let stopped =
        fixture.request(Method::GET, &format!("/streams/{}", stream["id"].as_str().unwrap()), None).await;
    assert_eq!((&stopped["status"], &stopped["participantCount"]), (&json!("stopped"), &json!(0)));

    let ours = [fixture.page("/"), elsewhere, fixture.livekit.url()]
        .map(|url| url::Url::parse(&url).unwrap().port().unwrap());
    for page in [host, first, second, onlooker] {
        is_clean(&page, &ours).await;
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
    third.says("This stream is full").await;
    third.phase("lobby").await;
    ann.send("leave").await;
    third.text_is("#count", |text| text == "1").await;
    third.click("#join button[type=submit]").await;
    third.phase("live").await;
    third.text_is("#count", |text| text == "2").await;
    // Who only goes to another page has left as well, and does not wait for LiveKit to miss them.
    third.open(&fixture.page("/")).await;
    lists(&third, "1").await;
    third.close().await;
}

/// The sequence numbers in the log, oldest first, and in between what it says about the connection.
const LOG: &str = "return [...document.querySelectorAll('#log li')].reverse().map((row) => row.dataset.seq ? Number(row.dataset.seq) : row.dataset.note)";

/// Through the other instance, while nobody tells these pages: one stream more, one less, one changed three times.
async fn change_meanwhile(other: &Instance, kept: &Value, stopped: &Value) -> Value {
    let client = reqwest::Client::new();
    let streams = format!("{}/streams", other.address().http);
    let wanted = json!({"metadata": {"title": "Started meanwhile"}});
    let started = client.post(&streams).json(&wanted).send().await.unwrap().json().await.unwrap();
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
    let kept = fixture.create(json!({"metadata": {"title": "Kept"}})).await;
    let stopped = fixture.create(json!({"metadata": {"title": "Stopped meanwhile"}})).await;
    let (list, room) = (fixture.driver.browser().await, fixture.driver.browser().await);
    list.open(&fixture.page("/")).await;
    let rows = "return [...document.querySelectorAll('#streams > li:not([data-ended])')].map((row) => row.querySelector('h3').textContent)";
    list.until("the rows", || async { list.script(rows).await == json!(["Stopped meanwhile", "Kept"]) })
        .await;
    fixture.join_room(&room, &kept, "Ann", "host").await;
    list.text_is(&format!("[data-stream-id='{}'] .count", kept["id"].as_str().unwrap()), |text| text == "1")
        .await;
    room.frames("#tiles video", 5).await;
    room.click("#events summary").await;

    fixture.instance.kill();
    list.text_is("#connection", |text| text.contains("Reconnecting")).await;
    room.says("Reconnecting").await;
    room.shown("#log [data-note=lost]").await;
    let started = change_meanwhile(&other, &kept, &stopped).await;
    fixture.instance.start().await;

    list.has_said("Connected again. Nothing was missed.").await;
    list.until("the rows", || async { list.script(rows).await == json!(["Started meanwhile", "Kept 2"]) })
        .await;
    list.text_is("#totals", |text| text == "2 streams, 1 person here").await;
    room.has_said("Connected again. Nothing was missed.").await;
    room.text_is("#title", |text| text == "Kept 2").await;
    room.text_is("#count", |text| text == "1").await;
    room.more_frames("#tiles video", 10).await;

    // And on: the feeds are as alive as before.
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

    // The log shows the break, and every event once and in order around it.
    let log: Vec<Value> = serde_json::from_value(room.script(LOG).await).unwrap();
    let seqs: Vec<u64> = log.iter().filter_map(Value::as_u64).collect();
    assert_eq!(seqs, (1..=last["version"].as_u64().unwrap()).collect::<Vec<_>>());
    let notes: Vec<&str> = log.iter().filter_map(Value::as_str).collect();
    assert_eq!(notes, ["lost", "resumed"]);
    let after: Vec<_> = log.iter().skip_while(|entry| *entry != "resumed").skip(1).collect();
    assert!(after.len() >= 4, "what happened meanwhile, and afterwards, comes after the word: {log:?}");
    room.text_is("#log", |text| text.contains("nothing was missed")).await;
    for page in [list, room] {
        assert_eq!(page.console_errors(false).await, Vec::<String>::new());
        page.close().await;
    }
}
