//! Proxies with faults between a program and the service: lost responses, and connections that end in the middle of an
//! event. Also a web server for pages of another origin.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use reqwest::Method;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A TCP server that handles each connection in its own task until it is dropped.
pub struct Server {
    pub base: String,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    async fn start<F: Future<Output = Option<()>> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection));
            }
        });
        Self { base, accepting }
    }

    /// Starts a web server for the files of a folder.
    pub async fn of_files(folder: PathBuf) -> Self {
        Self::start(move |connection| {
            let folder = folder.clone();
            async move {
                let mut connection = BufReader::new(connection);
                let request = Request::read(&mut connection).await?;
                let name = request.path.trim_start_matches('/');
                let name = if name.is_empty() { "index.html" } else { name };
                let kind = if name.ends_with(".js") { "text/javascript" } else { "text/html" };
                let (status, body) =
                    std::fs::read(folder.join(name)).map_or((404, Vec::new()), |body| (200, body));
                answer(&mut connection, status, &format!("content-type: {kind}\r\n"), &body).await
            }
        })
        .await
    }
}

/// A received HTTP request.
struct Request {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    async fn read(connection: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            connection.read_line(&mut line).await.ok().filter(|&read| read > 0)?;
            if line.trim_end().is_empty() {
                break;
            }
            lines.push(line.trim_end().to_owned());
        }
        let mut words = lines.first()?.split(' ');
        let (method, path) = (words.next()?.parse().ok()?, words.next()?.to_owned());
        let header = |line: &String| {
            line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        };
        let headers = lines[1..].iter().filter_map(header).collect();
        let mut request = Self { method, path, headers, body: Vec::new() };
        request.body =
            vec![0; request.header("content-length").map_or(Some(0), |length| length.parse().ok())?];
        connection.read_exact(&mut request.body).await.ok()?;
        Some(request)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

async fn answer(
    connection: &mut BufReader<TcpStream>,
    status: u16,
    headers: &str,
    body: &[u8],
) -> Option<()> {
    let head = format!(
        "HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(&[head.as_bytes(), body].concat()).await.ok()
}

/// Fault of a request.
#[derive(Clone, Copy)]
pub enum Fault {
    /// The service executes the request, and the response is lost.
    LostResponse,
    /// The request is refused with this status and `Retry-After: 1`.
    TemporaryRefusal(u16),
}

/// One attempt of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub path: String,
    pub key: Option<String>,
    /// True if the service marked the response as a replay.
    pub replayed: bool,
}

/// An HTTP proxy in front of the service with faults for the first requests.
pub struct FaultyServer {
    pub server: Server,
    attempts: Arc<Mutex<Vec<Attempt>>>,
}

impl FaultyServer {
    pub async fn start(base: String, faults: impl IntoIterator<Item = Fault>) -> Self {
        let faults = Arc::new(Mutex::new(faults.into_iter().collect::<VecDeque<_>>()));
        let attempts = Arc::<Mutex<Vec<Attempt>>>::default();
        let recorded = attempts.clone();
        let server = Server::start(move |connection| {
            let fault = faults.lock().unwrap().pop_front();
            forward(connection, base.clone(), fault, recorded.clone())
        })
        .await;
        Self { server, attempts }
    }

    pub fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap().clone()
    }
}

/// Handles one request of a [`FaultyServer`].
async fn forward(
    connection: TcpStream,
    base: String,
    fault: Option<Fault>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
) -> Option<()> {
    let mut connection = BufReader::new(connection);
    let request = Request::read(&mut connection).await?;
    let key = request.header("idempotency-key").map(str::to_owned);
    let mut attempt = Attempt { path: request.path.clone(), key, replayed: false };
    if let Some(Fault::TemporaryRefusal(status)) = fault {
        attempts.lock().unwrap().push(attempt);
        let headers = "retry-after: 1\r\ncontent-type: application/problem+json\r\n";
        return answer(&mut connection, status, headers, b"{\"code\": \"temporary_refusal\"}").await;
    }
    let url = format!("{base}{}", request.path);
    let mut forwarded =
        reqwest::Client::new().request(request.method.clone(), url).body(request.body.clone());
    for name in ["authorization", "content-type", "idempotency-key"] {
        if let Some(value) = request.header(name) {
            forwarded = forwarded.header(name, value);
        }
    }
    let answered = forwarded.send().await.ok()?;
    attempt.replayed = answered.headers().contains_key("idempotency-replayed");
    let (status, body) = (answered.status().as_u16(), answered.bytes().await.ok()?);
    attempts.lock().unwrap().push(attempt);
    if fault.is_some() {
        return None;
    }
    answer(&mut connection, status, "content-type: application/json\r\n", &body).await
}

/// Where a connection ends, in the second event that it delivers.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    InTheCursor,
    BeforeTheData,
    InTheData,
    BeforeTheEmptyLine,
}

impl Cut {
    pub const ALL: [Self; 4] =
        [Self::InTheCursor, Self::BeforeTheData, Self::InTheData, Self::BeforeTheEmptyLine];

    /// Returns how many of the received bytes may be forwarded, and whether the connection ends after them.
    fn position(self, bytes: &[u8]) -> (usize, bool) {
        let find = |needle: &[u8], from: usize| {
            let found = bytes.get(from..)?.windows(needle.len()).position(|window| window == needle)?;
            Some(from + found)
        };
        let Some(event) = find(b"event: ", 0).and_then(|first| find(b"event: ", first + 1)) else {
            return (bytes.len(), false);
        };
        let data = find(b"data: ", event);
        let cut = match self {
            Self::InTheCursor => find(b"id: ", event).map(|id| id + 8),
            Self::BeforeTheData => data,
            Self::InTheData => data.map(|data| data + 40),
            Self::BeforeTheEmptyLine => data.and_then(|data| find(b"\n\n", data)).map(|end| end + 1),
        };
        match cut {
            Some(cut) if cut <= bytes.len() => (cut, true),
            _ => (event, false),
        }
    }
}

/// A TCP proxy in front of the service that cuts its first connections, each at another place.
pub struct CuttingProxy {
    pub server: Server,
    cuts: Arc<Mutex<VecDeque<Cut>>>,
}

impl CuttingProxy {
    pub async fn start(base: &str) -> Self {
        let target = base.trim_start_matches("http://").to_owned();
        let cuts = Arc::new(Mutex::new(VecDeque::from(Cut::ALL)));
        let remaining = cuts.clone();
        let server =
            Server::start(move |connection| forward_until_cut(connection, target.clone(), remaining.clone()))
                .await;
        Self { server, cuts }
    }

    /// Number of cuts that are still to be made.
    pub fn remaining_cuts(&self) -> usize {
        self.cuts.lock().unwrap().len()
    }
}

/// Forwards one connection of a [`CuttingProxy`] up to its cut.
async fn forward_until_cut(client: TcpStream, target: String, cuts: Arc<Mutex<VecDeque<Cut>>>) -> Option<()> {
    let service = TcpStream::connect(target).await.ok()?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_service, mut to_service) = service.into_split();
    let asking = async { tokio::io::copy(&mut from_client, &mut to_service).await.ok().map(|_| ()) };
    let answering = async {
        let (mut all, mut passed, mut chunk) = (Vec::new(), 0, vec![0; 4_096]);
        let cut = cuts.lock().unwrap().front().copied();
        loop {
            let read = from_service.read(&mut chunk).await.ok().filter(|&read| read > 0)?;
            all.extend_from_slice(&chunk[..read]);
            let (end, last) = cut.map_or((all.len(), false), |cut| cut.position(&all));
            to_client.write_all(&all[passed..end]).await.ok()?;
            passed = end;
            if last {
                cuts.lock().unwrap().pop_front();
                return None;
            }
        }
    };
    tokio::select! {
        done = asking => done,
        done = answering => done,
    }
}
