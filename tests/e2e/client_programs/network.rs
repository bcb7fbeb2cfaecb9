//! What is between a client and the service, and how it fails: answers that are lost, connections that are cut in the
//! middle of a message. And a web server for pages that come from elsewhere.

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

/// Serves every connection by itself, until it is dropped.
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

    /// A web server with the files of a folder.
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

/// A request as it came.
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

/// What becomes of a request.
#[derive(Clone, Copy)]
pub enum Fate {
    /// It is carried out, and the answer is lost.
    Lost,
    /// It is not carried out; come back in a second.
    NotNow(u16),
}

/// One attempt at a request, as the service would have seen it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub path: String,
    pub key: Option<String>,
    /// Whether the service said that it gave this answer before.
    pub replayed: bool,
}

/// A way to the service on which the first requests fare badly.
pub struct Lossy {
    pub server: Server,
    attempts: Arc<Mutex<Vec<Attempt>>>,
}

impl Lossy {
    pub async fn to(base: String, fates: impl IntoIterator<Item = Fate>) -> Self {
        let fates = Arc::new(Mutex::new(fates.into_iter().collect::<VecDeque<_>>()));
        let attempts = Arc::<Mutex<Vec<Attempt>>>::default();
        let noted = attempts.clone();
        let server = Server::start(move |connection| {
            let fate = fates.lock().unwrap().pop_front();
            pass(connection, base.clone(), fate, noted.clone())
        })
        .await;
        Self { server, attempts }
    }

    pub fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap().clone()
    }
}

async fn pass(
    connection: TcpStream,
    base: String,
    fate: Option<Fate>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
) -> Option<()> {
    let mut connection = BufReader::new(connection);
    let request = Request::read(&mut connection).await?;
    let key = request.header("idempotency-key").map(str::to_owned);
    let mut attempt = Attempt { path: request.path.clone(), key, replayed: false };
    if let Some(Fate::NotNow(status)) = fate {
        attempts.lock().unwrap().push(attempt);
        let headers = "retry-after: 1\r\ncontent-type: application/problem+json\r\n";
        return answer(&mut connection, status, headers, b"{\"code\": \"not_now\"}").await;
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
    if fate.is_some() {
        return None;
    }
    answer(&mut connection, status, "content-type: application/json\r\n", &body).await
}

/// Where a connection is cut, in the second event that it brings.
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

    /// How much of what came may pass now, and whether that is all.
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

/// A way to the service whose first connections are cut, each at another place.
pub struct Scissors {
    pub server: Server,
    cuts: Arc<Mutex<VecDeque<Cut>>>,
}

impl Scissors {
    pub async fn before(base: &str) -> Self {
        let target = base.trim_start_matches("http://").to_owned();
        let cuts = Arc::new(Mutex::new(VecDeque::from(Cut::ALL)));
        let left = cuts.clone();
        let server = Server::start(move |connection| connect(connection, target.clone(), left.clone())).await;
        Self { server, cuts }
    }

    /// The cuts that were not made.
    pub fn left(&self) -> usize {
        self.cuts.lock().unwrap().len()
    }
}

async fn connect(client: TcpStream, target: String, cuts: Arc<Mutex<VecDeque<Cut>>>) -> Option<()> {
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
