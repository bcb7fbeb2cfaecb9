//! Browser modules in a page of another origin.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    PAGES,
    document::Folder,
    network::Server,
    service::{LONG, Service, expiring_participant, participant},
};
use crate::webdriver::{Browser, Driver};

/// A page of another origin in a browser, which runs a module of the document.
struct Page {
    service: Service,
    browser: Browser,
    _driver: Driver,
    _site: Server,
}

impl Page {
    async fn open() -> Self {
        // The service needs the origin of the site, so the site starts first.
        let files = Folder::new();
        let site = Server::of_files(files.path("")).await;
        let mut service = Service::start_with_origin(&site.base).await;
        service.folder = files;
        let driver = Driver::start();
        let browser = driver.browser().await;
        browser.open(&site.base).await;
        Self { service, browser, _driver: driver, _site: site }
    }

    /// Calls `watch` of a module. `token` is a JavaScript expression.
    async fn watch(&self, module: &str, id: &str, token: &str) {
        let base = json!(self.service.one.address().http);
        let script = format!(
            "window.received = []; window.resets = 0; window.ended = 0; \
             import('/{module}').then(({{ watch }}) => watch({base}, '{id}', {token}, {{ \
             onEvent: (event) => received.push(event.seq), onReset: () => resets++, onEnd: () => ended++ }}))"
        );
        self.browser.script(&script).await;
        self.service.wait_for_subscriber().await;
    }

    async fn wait_until(&self, what: &str, script: &str, wanted: impl Into<Value>) {
        let wanted = wanted.into();
        self.browser.until(what, || async { self.browser.script(script).await == wanted }).await;
    }

    async fn wait_for_event(&self, seq: u64) {
        self.wait_until("an event", "return received.at(-1)", seq).await;
    }

    /// Restarts the instance twice and stops the stream; checks that the page received every event once and in order.
    async fn assert_resumes(mut self, id: &str, first: u64, mut version: u64) {
        for crash in [true, false] {
            self.service.change(id, 2).await;
            version += 2;
            self.wait_for_event(version).await;
            self.service.end_first_instance(crash).await;
            self.service.change(id, 3).await;
            self.service.one.start().await;
            version += 3;
            self.wait_for_event(version).await;
        }
        let (last, _) = self.service.stop(id).await;
        self.wait_until("the end", "return ended", 1).await;
        let all: Vec<_> = (first..=last).collect();
        assert_eq!(self.browser.script("return received").await, json!(all), "every event, once, in order");
        assert_eq!(self.browser.script("return resets").await, 0);
        self.browser.close().await;
    }
}

#[tokio::test]
async fn watch_module_after_instance_restarts_resumes_without_loss() {
    let page = Page::open().await;
    let (id, _, version) = page.service.create().await;
    let token = json!(participant(&page.service.room, LONG)).to_string();
    page.watch(PAGES[0], &id, &token).await;
    page.assert_resumes(&id, version + 1, version).await;
}

#[tokio::test]
async fn page_module_after_token_expiry_resumes_with_new_token() {
    let page = Page::open().await;
    let (id, _, version) = page.service.create().await;
    let short = expiring_participant(&page.service.room, Duration::from_secs(17));
    let long = participant(&page.service.room, LONG);
    // The first token is available at once, the second one only when the test provides it.
    page.browser.script(&format!("window.tokens = [{}]; window.provideToken = null", json!(short))).await;
    page.watch(
        PAGES[1],
        &id,
        "async () => tokens.shift() ?? new Promise((resolve) => (provideToken = resolve))",
    )
    .await;
    page.service.change(&id, 2).await;
    page.wait_for_event(version + 2).await;
    page.wait_until("the request for a second token", "return provideToken !== null", true).await;
    page.service.change(&id, 2).await;
    page.browser.script(&format!("provideToken({})", json!(long))).await;
    page.wait_for_event(version + 4).await;
    page.assert_resumes(&id, version + 1, version + 4).await;
}
