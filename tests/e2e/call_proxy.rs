//! Proxy between an instance and LiveKit's API that holds back calls about participants, or LiveKit's answers to them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    future::pending,
    io,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::eventually;

/// Calls that change a participant.
const CALLS: [&str; 3] = ["/RemoveParticipant", "/UpdateParticipant", "/MutePublishedTrack"];

/// What the proxy holds back for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    Nothing,
    /// LiveKit does not get the calls.
    Calls,
    /// LiveKit makes the changes, and the instance gets no answer.
    Answers,
}

struct State {
    livekit: u16,
    hold: Mutex<Hold>,
    /// The calls that are held back, or whose answers are.
    held: Mutex<Vec<String>>,
}

impl State {
    fn holds(&self, hold: Hold) -> bool {
        *self.hold.lock().unwrap() == hold
    }

    async fn hold_back(&self, call: String) -> ! {
        self.held.lock().unwrap().push(call);
        pending().await
    }

    fn holds_call_about(&self, room: &str) -> bool {
        self.held.lock().unwrap().iter().any(|call| call.contains(room))
    }
}

pub struct CallProxy {
    pub url: String,
    state: Arc<State>,
}

impl CallProxy {
    /// Starts a proxy in front of the LiveKit server on a port.
    pub async fn start(livekit: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let state = Arc::new(State { livekit, hold: Mutex::new(Hold::Nothing), held: Mutex::default() });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, shared.clone()));
            }
        });
        Self { url, state }
    }

    pub fn hold(&self, hold: Hold) {
        *self.state.hold.lock().unwrap() = hold;
    }

    /// Waits until a call about each of the rooms, or its answer, is held back. Comparisons may add further calls.
    pub async fn wait_until_held(&self, rooms: &[&str]) {
        eventually("a held call about each room", || async {
            rooms.iter().all(|room| self.state.holds_call_about(room)).then_some(())
        })
        .await;
    }
}

async fn forward(mut client: TcpStream, state: Arc<State>) -> io::Result<()> {
    let mut livekit = TcpStream::connect(("127.0.0.1", state.livekit)).await?;
    let (from_client, to_client) = client.split();
    let (from_livekit, to_livekit) = livekit.split();
    // The instance sends the next request of a connection after the answer to the one before.
    let last_call = Mutex::new(None);
    let held_call = |bytes: &[u8]| {
        let request = String::from_utf8_lossy(bytes).into_owned();
        let call = CALLS.iter().any(|call| request.contains(call)).then_some(request)?;
        if state.holds(Hold::Calls) {
            return Some(call);
        }
        *last_call.lock().unwrap() = Some(call);
        None
    };
    let held_answer = |_: &[u8]| last_call.lock().unwrap().take().filter(|_| state.holds(Hold::Answers));
    tokio::select! {
        end = copy(from_client, to_livekit, &state, held_call) => end,
        end = copy(from_livekit, to_client, &state, held_answer) => end,
    }
}

/// Copies bytes to their end, or up to the first part that is held back.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: &State,
    held: impl Fn(&[u8]) -> Option<String>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        if let Some(call) = held(&buffer[..length]) {
            state.hold_back(call).await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}
