#![allow(clippy::print_stdout)] // Not in CLIENTS.md.
//! Prints the events that a webhook endpoint gets: `receive`

use std::{
    collections::HashSet,
    env,
    sync::{Arc, Mutex},
};

use anyhow::{Context, anyhow};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

struct Receiver {
    webhook: Webhook,
    processed: Mutex<HashSet<String>>,
}

impl Receiver {
    /// Processes a delivery, once.
    fn receive(&self, headers: &HeaderMap, body: &[u8]) -> anyhow::Result<()> {
        self.webhook.verify(body, headers)?;
        let id = headers.get("webhook-id").context("no id")?.to_str()?;
        let event: Value = serde_json::from_slice(body)?;
        let kind = event["type"].as_str().context("no type")?;
        let mut processed = self.processed.lock().map_err(|_| anyhow!("an earlier delivery has panicked"))?;
        if !processed.contains(id) {
            println!("{kind} {event}");
            processed.insert(id.to_owned());
        }
        Ok(())
    }
}

/// Answers a delivery. axum refuses bodies above 2 MB.
async fn answer(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    match receiver.receive(&headers, &body) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(error) => {
            eprintln!("refused: {error}");
            StatusCode::UNAUTHORIZED
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let webhook = Webhook::new(&env::var("WEBHOOK_SECRET")?)?;
    let receiver = Receiver { webhook, processed: Mutex::default() };
    let address = format!("0.0.0.0:{}", env::var("PORT")?);
    let router = Router::new().fallback(post(answer)).with_state(Arc::new(receiver));
    axum::serve(TcpListener::bind(address).await?, router).await?;
    Ok(())
}
