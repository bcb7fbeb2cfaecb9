//! A gate between LiveKit's webhooks and an instance: they pass, or are lost without LiveKit's knowledge. What comes is
//! kept, so that tests see what a real server sends.

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

/// A webhook as it came.
#[derive(Clone, Debug)]
pub struct Captured {
    pub authorization: String,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Captured {
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
    loses: AtomicBool,
    captured: Mutex<Vec<Captured>>,
}

pub struct Gate {
    pub url: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Gate {
    /// A gate that leads nowhere yet.
    pub async fn open() -> Self {
        super::choose_crypto();
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

    /// Webhooks that pass go to the instance at this address.
    pub fn lead_to(&self, base: &str) {
        *self.state.target.lock().unwrap() = format!("{base}/webhooks/livekit");
    }

    /// From now on webhooks are lost, or not.
    pub fn lose(&self, loses: bool) {
        self.state.loses.store(loses, Ordering::Relaxed);
    }

    pub fn captured(&self) -> Vec<Captured> {
        self.state.captured.lock().unwrap().clone()
    }
}

/// Answers requests on one connection until it ends.
async fn serve(connection: TcpStream, state: Arc<State>) {
    let mut connection = BufReader::new(connection);
    while let Some(webhook) = read(&mut connection).await {
        state.captured.lock().unwrap().push(webhook.clone());
        let target = state.target.lock().unwrap().clone();
        let status = if state.loses.load(Ordering::Relaxed) || target.is_empty() {
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

async fn read(connection: &mut BufReader<TcpStream>) -> Option<Captured> {
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
    Some(Captured { authorization, content_type, body })
}
