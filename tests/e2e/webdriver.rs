//! Chromium with fake media devices, controlled through chromedriver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    future::Future,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::support::{
    eventually, eventually_or_none,
    servers::{ChildProcess, free_port, start, wait_for_port},
};

/// A chromedriver process.
pub struct Driver {
    port: u16,
    _running: ChildProcess,
}

impl Drop for Driver {
    /// Shuts the driver down, which ends its browsers. SIGKILL would leave them behind.
    fn drop(&mut self) {
        let Ok(mut connection) = TcpStream::connect(("127.0.0.1", self.port)) else { return };
        let _ = connection.set_read_timeout(Some(Duration::from_secs(10)));
        let _ =
            connection.write_all(b"GET /shutdown HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let _ = connection.read_to_end(&mut Vec::new());
    }
}

impl Driver {
    pub fn start() -> Self {
        let port = free_port();
        let running = start("chromedriver", &[&format!("--port={port}")]);
        wait_for_port(port);
        Self { port, _running: running }
    }

    /// Starts a browser with an empty profile, a fake camera and a fake microphone.
    pub async fn browser(&self) -> Browser {
        self.browser_with(&["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]).await
    }

    /// As [`Driver::browser`], with other arguments about media devices.
    pub async fn browser_with(&self, devices: &[&str]) -> Browser {
        let mut arguments = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--lang=en-US",
            "--window-size=1280,900",
            "--autoplay-policy=no-user-gesture-required",
            "--disable-features=WebRtcHideLocalIpsWithMdns",
        ];
        arguments.extend(devices);
        let capabilities = json!({
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "goog:chromeOptions": {"args": arguments, "perfLoggingPrefs": {"enableNetwork": true, "enablePage": false}},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        });
        let Value::Object(capabilities) = capabilities else { panic!("an object") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await
            .unwrap();
        let browser = Browser { client };
        browser.before_pages(KEEP_NOTICES).await;
        browser
    }
}

/// Collects all notices in `window.shownNotices`, because the pages remove some of them after a few seconds.
const KEEP_NOTICES: &str = "window.shownNotices = new Set(); \
    new MutationObserver(() => document.querySelectorAll('.notice') \
        .forEach((one) => shownNotices.add(one.textContent))) \
        .observe(document, {subtree: true, childList: true, characterData: true})";

/// One page in one browser.
pub struct Browser {
    pub client: Client,
}

impl Browser {
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Waits until an element is visible.
    pub async fn shown(&self, css: &str) -> Element {
        eventually(&format!("{css} to show"), || async {
            let element = self.client.find(Locator::Css(css)).await.ok()?;
            element.is_displayed().await.ok()?.then_some(element)
        })
        .await
    }

    /// Waits until no such element is visible.
    pub async fn until_gone(&self, css: &str) {
        let script = format!(
            "return [...document.querySelectorAll({})].every((one) => !one.checkVisibility())",
            json!(css)
        );
        self.until(&format!("{css} to go"), || async { self.script(&script).await == true }).await;
    }

    pub async fn click(&self, css: &str) {
        self.shown(css).await.click().await.unwrap();
    }

    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.shown(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    pub async fn choose(&self, css: &str, value: &str) {
        self.shown(css).await.select_by_value(value).await.unwrap();
    }

    /// Waits until an element's text fulfils a condition.
    pub async fn text_is(&self, css: &str, wanted: impl Fn(&str) -> bool) -> String {
        eventually(&format!("the text of {css}"), || async {
            let text = self.client.find(Locator::Css(css)).await.ok()?.text().await.ok()?;
            wanted(&text).then_some(text)
        })
        .await
    }

    /// Path and query of a link.
    pub async fn path_of(&self, css: &str) -> String {
        let href = self.shown(css).await.prop("href").await.unwrap().unwrap();
        let url = url::Url::parse(&href).unwrap();
        url[url::Position::BeforePath..].to_owned()
    }

    /// Waits until the room page is in this phase.
    pub async fn phase(&self, wanted: &str) {
        let state = "return [document.body.dataset.phase, document.querySelector('#notices')?.textContent]";
        let last = std::cell::RefCell::new(Value::Null);
        let reached = eventually_or_none(|| async {
            let now = self.script(state).await;
            let reached = now[0] == wanted;
            *last.borrow_mut() = now;
            reached.then_some(())
        });
        if reached.await.is_none() {
            panic!(
                "waited too long for the phase {wanted}: {}, {:?}",
                last.take(),
                self.console_errors(true).await
            );
        }
    }

    pub async fn script(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_default()
    }

    /// Waits until a video has shown `wanted` frames.
    pub async fn frames(&self, css: &str, wanted: u64) {
        let script = format!(
            "const video = document.querySelector({}); \
             return video ? video.getVideoPlaybackQuality().totalVideoFrames : 0",
            json!(css)
        );
        self.until("frames", || async { self.script(&script).await.as_u64().unwrap_or_default() >= wanted })
            .await;
    }

    /// Waits until a video has shown `wanted` more frames.
    pub async fn more_frames(&self, css: &str, wanted: u64) {
        let count = format!(
            "const video = document.querySelector({}); video.counted = 0; \
             const count = () => {{ video.counted += 1; video.requestVideoFrameCallback(count); }}; \
             video.requestVideoFrameCallback(count)",
            json!(css)
        );
        self.script(&count).await;
        let counted = format!("return document.querySelector({})?.counted ?? 0", json!(css));
        self.until("more frames", || async {
            self.script(&counted).await.as_u64().unwrap_or_default() >= wanted
        })
        .await;
    }

    pub async fn until<F: Future<Output = bool>>(&self, what: &str, mut condition: impl FnMut() -> F) {
        eventually(what, || {
            let holds = condition();
            async { holds.await.then_some(()) }
        })
        .await;
    }

    pub async fn close(self) {
        let closed = tokio::time::timeout(Duration::from_secs(10), self.client.close()).await;
        closed.unwrap().unwrap();
    }
}
