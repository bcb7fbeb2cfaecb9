//! Proxies between an instance and its servers that stop at one step of a request: they hold back a call, or the answer
//! to it, for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    future::pending,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::eventually;

/// What is held back of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The server does not get the call.
    Call,
    /// The server makes the change, and the instance gets no answer.
    Answer,
}

/// The call that is held back.
struct Awaited {
    /// Calls that contain one of these texts are steps.
    marks: Vec<String>,
    /// Number of steps before it.
    before: usize,
    held: Held,
}

#[derive(Default)]
struct State {
    awaited: Mutex<Option<Awaited>>,
    is_held: AtomicBool,
}

impl State {
    /// Returns what is to be held back of a call.
    fn held_of(&self, call: &[u8]) -> Option<Held> {
        let mut awaited = self.awaited.lock().unwrap();
        let step = awaited.as_mut()?;
        let text = String::from_utf8_lossy(call);
        if !step.marks.iter().any(|mark| text.contains(mark)) {
            return None;
        }
        if step.before > 0 {
            step.before -= 1;
            return None;
        }
        awaited.take().map(|step| step.held)
    }

    async fn hold_back(&self) -> ! {
        self.is_held.store(true, Ordering::Relaxed);
        pending().await
    }
}

/// Proxies that count the steps of a request together.
#[derive(Default)]
pub struct StepProxy(Arc<State>);

impl StepProxy {
    /// Starts a proxy in front of a server; returns its port.
    pub async fn in_front_of(&self, server: u16) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, state) = (listener.local_addr().unwrap().port(), self.0.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server, state.clone()));
            }
        });
        port
    }

    /// Holds back a call from now on: the one after `before` others that contain one of the texts too.
    pub fn hold(&self, held: Held, before: usize, marks: &[&str]) {
        let marks = marks.iter().map(|mark| (*mark).to_owned()).collect();
        self.0.is_held.store(false, Ordering::Relaxed);
        *self.0.awaited.lock().unwrap() = Some(Awaited { marks, before, held });
    }

    pub fn hold_nothing(&self) {
        *self.0.awaited.lock().unwrap() = None;
    }

    /// Waits until the call or its answer is held back.
    pub async fn wait_until_held(&self) {
        eventually("the held step", || async { self.0.is_held.load(Ordering::Relaxed).then_some(()) }).await;
    }
}

async fn forward(mut client: TcpStream, server: u16, state: Arc<State>) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut calls, mut answers) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut calls) => {
                let call = &calls[..read?];
                if call.is_empty() {
                    return Ok(());
                }
                let held = state.held_of(call);
                if held != Some(Held::Call) {
                    server.write_all(call).await?;
                }
                if held == Some(Held::Answer) && server.read(&mut answers).await? == 0 {
                    return Ok(());
                }
                if held.is_some() {
                    state.hold_back().await;
                }
            }
            read = server.read(&mut answers) => {
                let answer = &answers[..read?];
                if answer.is_empty() {
                    return Ok(());
                }
                client.write_all(answer).await?;
            }
        }
    }
}
