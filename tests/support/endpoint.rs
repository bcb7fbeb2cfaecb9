//! A webhook endpoint: a receiver of outbound webhooks, whose answers a test decides.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, sleep},
};

/// A received request.
#[derive(Clone, Debug)]
pub struct Received {
    pub id: String,
    pub timestamp: i64,
    pub signature: String,
    pub body: String,
    pub at: Instant,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// Verifies the signature, independently of the code of the service.
    pub fn is_signed_by(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.{}", self.id, self.timestamp, self.body).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.signature.split(' ').any(|signature| signature == expected)
    }
}

/// What the endpoint does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers with a status and further headers, each ending with CRLF.
    Status(u16, &'static str),
    /// Answers 200 after a time.
    Late(Duration),
    /// Never answers.
    Hang,
}

type Decide = dyn Fn(&Received) -> Reply + Send + Sync;

struct State {
    received: Mutex<Vec<Received>>,
    decide: Mutex<Arc<Decide>>,
}

pub struct TestEndpoint {
    pub url: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Drop for TestEndpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl TestEndpoint {
    /// Starts an endpoint that answers 200.
    pub async fn start() -> Self {
        Self::with(|_| Reply::Status(200, "")).await
    }

    pub async fn with(decide: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let decide: Arc<Decide> = Arc::new(decide);
        let state = Arc::new(State { received: Mutex::default(), decide: Mutex::new(decide) });
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, shared.clone()));
            }
        });
        Self { url, state, accepting }
    }

    /// Decides differently from now on.
    pub fn decide(&self, decide: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *self.state.decide.lock().unwrap() = Arc::new(decide);
    }

    /// Returns all requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// Waits until the received requests fulfil a condition, and returns them.
    pub async fn wait_for(&self, what: &str, is_met: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        super::eventually(what, || async { Some(self.received()).filter(|received| is_met(received)) }).await
    }

    pub async fn wait_for_kind(&self, kind: &str) -> Received {
        let has_kind = |received: &[Received]| received.iter().any(|one| one.kind() == kind);
        let received = self.wait_for(kind, has_kind).await;
        received.into_iter().find(|one| one.kind() == kind).unwrap()
    }
}

async fn serve(connection: TcpStream, state: Arc<State>) {
    let mut connection = BufReader::new(connection);
    while let Some(received) = read(&mut connection).await {
        let decide = state.decide.lock().unwrap().clone();
        state.received.lock().unwrap().push(received.clone());
        let (status, headers) = match decide(&received) {
            Reply::Status(status, headers) => (status, headers),
            Reply::Late(time) => {
                sleep(time).await;
                (200, "")
            }
            Reply::Hang => std::future::pending().await,
        };
        let answer = format!("HTTP/1.1 {status} x\r\n{headers}content-length: 0\r\n\r\n");
        if connection.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(connection: &mut BufReader<TcpStream>) -> Option<Received> {
    let (mut length, mut id, mut timestamp, mut signature) = (0, String::new(), 0, String::new());
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
            "webhook-id" => value.clone_into(&mut id),
            "webhook-timestamp" => timestamp = value.parse().ok()?,
            "webhook-signature" => value.clone_into(&mut signature),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.ok()?;
    let body = String::from_utf8(body).ok()?;
    Some(Received { id, timestamp, signature, body, at: Instant::now() })
}
