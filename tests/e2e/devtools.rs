//! Chromium's developer tools: console, network, emulated screens; and accessibility checks by axe.
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

/// A command that is specific to chromedriver.
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

/// An emulated screen.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    pub name: &'static str,
    width: u32,
    height: u32,
    dark: bool,
}

const fn screen(name: &'static str, width: u32, height: u32, dark: bool) -> Screen {
    Screen { name, width, height, dark }
}

pub const DESKTOP: Screen = screen("desktop", 1280, 800, false);

pub const SCREENS: [Screen; 4] = [
    DESKTOP,
    screen("desktop-dark", 1280, 800, true),
    screen("phone", 390, 844, false),
    screen("phone-dark", 390, 844, true),
];

impl Browser {
    /// Executes a command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.client.issue_cmd(Command { path: "goog/cdp/execute", body }).await.unwrap()
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let answer =
            self.client.issue_cmd(Command { path: "se/log", body: json!({"type": kind}) }).await.unwrap();
        answer.as_array().unwrap().clone()
    }

    /// Returns new console errors. With `network`, they include failed requests.
    pub async fn console_errors(&self, network: bool) -> Vec<String> {
        let entries = self.log("browser").await;
        let is_error =
            |entry: &&Value| entry["level"] == "SEVERE" && (network || entry["source"] != "network");
        entries.iter().filter(is_error).map(|entry| entry["message"].to_string()).collect()
    }

    /// Returns all origins that the browser has sent requests to, WebSockets and failed requests included.
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

    /// Runs a script before the scripts of every page that is opened later.
    pub async fn before_pages(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await;
    }

    /// Fails requests to these URLs with a network error.
    pub async fn block(&self, patterns: &[&str]) {
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.setBlockedURLs", json!({"urls": patterns})).await;
    }

    /// Holds back requests to these URLs.
    pub async fn hold(&self, patterns: &[&str]) {
        let patterns: Vec<_> = patterns.iter().map(|pattern| json!({"urlPattern": pattern})).collect();
        self.devtools("Fetch.enable", json!({"patterns": patterns})).await;
    }

    pub async fn emulate(&self, screen: Screen) {
        let (width, height, is_mobile) = (screen.width, screen.height, screen.width < 600);
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_mobile});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if screen.dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Runs axe-core and returns its violations.
    pub async fn accessibility_violations(&self) -> Vec<String> {
        let script = format!(
            "const done = arguments[arguments.length - 1]; if (!window.axe) {{ {} }} \
             axe.run(document, {{resultTypes: ['violations'], preload: false}}).then( \
             ({{violations}}) => done(violations.map(({{id, impact, nodes}}) => \
             `${{id}} (${{impact}}): ` + nodes.map((node) => node.html.slice(0, 160)).join(' | '))), \
             (error) => done([String(error)]))",
            axe()
        );
        let found = self.client.execute_async(&script, Vec::new()).await.unwrap();
        serde_json::from_value(found).unwrap()
    }

    /// Checks the page on every emulated screen: no violation of axe, no horizontal overflow.
    ///
    /// Saves screenshots in the folder `SCREENSHOTS` if it is set.
    pub async fn inspect(&self, state: &str) {
        for screen in SCREENS {
            self.emulate(screen).await;
            // The layout follows the window size one frame later.
            let settled = "const done = arguments[arguments.length - 1]; \
                           requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))";
            self.client.execute_async(settled, Vec::new()).await.unwrap();
            let overflow = format!(
                "const page = document.documentElement; return page.scrollWidth - Math.min(page.clientWidth, {})",
                screen.width
            );
            let overflow = self.script(&overflow).await;
            if let Some(folder) = std::env::var_os("SCREENSHOTS") {
                let name = format!("{state}-{}.png", screen.name);
                save(&PathBuf::from(folder), &name, &self.client.screenshot().await.unwrap());
            }
            assert!(
                overflow.as_i64().unwrap() <= 0,
                "{state} as {}: {overflow} pixels too wide",
                screen.name
            );
            let violations = self.accessibility_violations().await;
            assert!(violations.is_empty(), "{state} as {}: {violations:#?}", screen.name);
        }
        self.emulate(DESKTOP).await;
    }
}

/// Writes a file and creates its folder if it is missing.
fn save(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(name), bytes).unwrap();
}

#[test]
fn screenshot_in_missing_folder_creates_folder() {
    let root = std::env::temp_dir().join(crate::support::unique("screenshots"));
    for name in ["one.png", "two.png"] {
        save(&root.join("new"), name, name.as_bytes());
        assert_eq!(std::fs::read(root.join("new").join(name)).unwrap(), name.as_bytes());
    }
    std::fs::remove_dir_all(root).unwrap();
}

/// Source of axe-core, which scripts/test downloads.
fn axe() -> &'static str {
    static SOURCE: OnceLock<String> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let file = std::env::var_os("AXE_CORE").expect("scripts/test sets AXE_CORE");
        std::fs::read_to_string(file).expect("axe-core at the path in AXE_CORE")
    })
}
