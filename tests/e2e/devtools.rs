//! What a developer would look at in a browser: its console, its network, its emulation of other screens, and axe.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use fantoccini::wd::WebDriverCompatibleCommand;
use serde_json::{Value, json};
use url::Url;

use crate::webdriver::Browser;

/// A command of chromedriver's own.
#[derive(Debug)]
struct Command {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Command {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.expect("a session"), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub name: &'static str,
    width: u32,
    height: u32,
    dark: bool,
}

const fn look(name: &'static str, width: u32, height: u32, dark: bool) -> Look {
    Look { name, width, height, dark }
}

pub const DESKTOP: Look = look("desktop", 1280, 800, false);

pub const LOOKS: [Look; 4] = [
    DESKTOP,
    look("desktop-dark", 1280, 800, true),
    look("phone", 390, 844, false),
    look("phone-dark", 390, 844, true),
];

impl Browser {
    /// A command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.client.issue_cmd(Command { path: "goog/cdp/execute", body }).await.unwrap()
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let answer =
            self.client.issue_cmd(Command { path: "se/log", body: json!({"type": kind}) }).await.unwrap();
        answer.as_array().unwrap().clone()
    }

    /// The errors in the console since the last time. With `network`, also those of requests that were refused.
    pub async fn console_errors(&self, network: bool) -> Vec<String> {
        let entries = self.log("browser").await;
        let is_error =
            |entry: &&Value| entry["level"] == "SEVERE" && (network || entry["source"] != "network");
        entries.iter().filter(is_error).map(|entry| entry["message"].to_string()).collect()
    }

    /// Every origin that anything was asked of since the browser started, whether it came or not; WebSockets too.
    pub async fn origins(&self) -> BTreeSet<String> {
        let mut origins = BTreeSet::new();
        for entry in self.log("performance").await {
            let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            let parameters = &message["message"]["params"];
            let url = match message["message"]["method"].as_str().unwrap() {
                "Network.requestWillBeSent" => &parameters["request"]["url"],
                "Network.webSocketCreated" => &parameters["url"],
                _ => continue,
            };
            let url = Url::parse(url.as_str().unwrap()).unwrap();
            if ["http", "https", "ws", "wss"].contains(&url.scheme()) {
                let port = url.port_or_known_default().unwrap();
                origins.insert(format!("{}:{port}", url.host_str().unwrap()));
            }
        }
        origins
    }

    /// Runs a script before those of every page that is opened from now on.
    pub async fn before_pages(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await;
    }

    /// Has requests to these addresses fail, as if the network did.
    pub async fn block(&self, patterns: &[&str]) {
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.setBlockedURLs", json!({"urls": patterns})).await;
    }

    /// Keeps requests to these addresses waiting, until the browser ends.
    pub async fn hold(&self, patterns: &[&str]) {
        let patterns: Vec<_> = patterns.iter().map(|pattern| json!({"urlPattern": pattern})).collect();
        self.devtools("Fetch.enable", json!({"patterns": patterns})).await;
    }

    pub async fn look_as(&self, look: Look) {
        let size = json!({"width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": look.width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if look.dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// What axe-core finds on the page as it is now.
    pub async fn findings(&self) -> Vec<String> {
        let script = format!(
            "const done = arguments[arguments.length - 1]; if (!window.axe) {{ {} }} \
             axe.run(document, {{resultTypes: ['violations'], preload: false}}).then(({{violations}}) => done(violations.map( \
             ({{id, impact, nodes}}) => `${{id}} (${{impact}}): ` + nodes.map((node) => node.html.slice(0, 160)).join(' | '))), \
             (error) => done([String(error)]))",
            axe()
        );
        let found = self.client.execute_async(&script, Vec::new()).await.unwrap();
        serde_json::from_value(found).unwrap()
    }

    /// Looks at the page in every way that it is looked at: axe finds nothing, and nothing sticks out to the side.
    /// Screenshots are kept in the folder that `SCREENSHOTS` names, which is made where it is missing.
    pub async fn inspect(&self, state: &str) {
        for look in LOOKS {
            self.look_as(look).await;
            // Sizes follow the window a frame later.
            let settled = "const done = arguments[arguments.length - 1]; \
                           requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))";
            self.client.execute_async(settled, Vec::new()).await.unwrap();
            let wide = format!(
                "const page = document.documentElement; return page.scrollWidth - Math.min(page.clientWidth, {})",
                look.width
            );
            let wide = self.script(&wide).await;
            if let Some(folder) = std::env::var_os("SCREENSHOTS") {
                let name = format!("{state}-{}.png", look.name);
                keep(&PathBuf::from(folder), &name, &self.client.screenshot().await.unwrap());
            }
            assert!(wide.as_i64().unwrap() <= 0, "{state} as {}: {wide} pixels too wide", look.name);
            let findings = self.findings().await;
            assert!(findings.is_empty(), "{state} as {}: {findings:#?}", look.name);
        }
        self.look_as(DESKTOP).await;
    }
}

/// Writes a file into a folder, which is made with its parents where it is missing.
fn keep(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(name), bytes).unwrap();
}

#[test]
fn screenshot_in_missing_folder_creates_folder() {
    let root = std::env::temp_dir().join(crate::support::unique("screenshots"));
    for name in ["one.png", "two.png"] {
        keep(&root.join("new"), name, name.as_bytes());
        assert_eq!(std::fs::read(root.join("new").join(name)).unwrap(), name.as_bytes());
    }
    std::fs::remove_dir_all(root).unwrap();
}

/// axe-core's source, which the set-up has fetched.
fn axe() -> &'static str {
    static SOURCE: OnceLock<String> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let file = std::env::var_os("AXE_CORE").expect("scripts/test sets AXE_CORE");
        std::fs::read_to_string(file).expect("axe-core is where AXE_CORE says")
    })
}
