//! A proxy for LiveKit's webhooks, which forwards or drops them. LiveKit gets 200 for dropped webhooks and does not
//! repeat them. The proxy keeps all webhooks for the test.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A received webhook.
#[derive(Clone, Debug)]
pub struct CapturedWebhook {
    pub authorization: String,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl CapturedWebhook {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn event(&self) -> String {
        self.json()["event"].as_str().unwrap().to_owned()
    }
}

#[derive(Default)]
struct State {
    target: Mutex<String>,
    drops: AtomicBool,
    captured: Mutex<Vec<CapturedWebhook>>,
}

pub struct WebhookProxy {
    pub url: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Drop for WebhookProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl WebhookProxy {
    /// Starts the proxy. It drops webhooks until [`Self::forward_to`] is called.
    pub async fn start() -> Self {
        super::install_crypto_provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/livekit", listener.local_addr().unwrap());
        let state = Arc::<State>::default();
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, shared.clone()));
            }
        });
        Self { url, state, accepting }
    }

    /// Forwards webhooks to the instance at this base URL.
    pub fn forward_to(&self, base: &str) {
        *self.state.target.lock().unwrap() = format!("{base}/webhooks/livekit");
    }

    /// Drops webhooks from now on, or forwards them again.
    pub fn drop_webhooks(&self, drops: bool) {
        self.state.drops.store(drops, Ordering::Relaxed);
    }

    pub fn captured(&self) -> Vec<CapturedWebhook> {
        self.state.captured.lock().unwrap().clone()
    }
}

/// Serves one connection.
async fn serve(connection: TcpStream, state: Arc<State>) {
    let mut connection = BufReader::new(connection);
    while let Some(webhook) = read(&mut connection).await {
        state.captured.lock().unwrap().push(webhook.clone());
        let target = state.target.lock().unwrap().clone();
        let status = if state.drops.load(Ordering::Relaxed) || target.is_empty() {
            200
        } else {
            let request = reqwest::Client::new().post(target).header("authorization", webhook.authorization);
            let request = request.header("content-type", webhook.content_type).body(webhook.body);
            request.send().await.map_or(502, |answer| answer.status().as_u16())
        };
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
        if connection.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(connection: &mut BufReader<TcpStream>) -> Option<CapturedWebhook> {
    let (mut length, mut authorization, mut content_type) = (0, String::new(), String::new());
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(": ") else { continue };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => value.clone_into(&mut authorization),
            "content-type" => value.clone_into(&mut content_type),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.ok()?;
    Some(CapturedWebhook { authorization, content_type, body })
}
