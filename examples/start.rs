#![allow(clippy::print_stdout)] // Not in CLIENTS.md.
//! Creates a stream and prints a join token: `start my-stream ann`

use std::{env, time::Duration};

use anyhow::{Context, bail};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use uuid::Uuid;

const ATTEMPTS: u32 = 6;

/// Sends a request until it succeeds or is refused. All attempts have the same idempotency key, so the service carries
/// the operation out once, even if a response is lost.
async fn send(request: RequestBuilder) -> anyhow::Result<Value> {
    let request = request.header("idempotency-key", Uuid::new_v4().to_string());
    let mut pause = Duration::from_millis(200);
    for _ in 0..ATTEMPTS {
        let attempt = request.try_clone().context("a body that can be sent again")?;
        let mut retry_after = None;
        match attempt.send().await {
            Ok(response) if response.status().is_success() => match response.json().await {
                Ok(document) => return Ok(document),
                Err(error) => eprintln!("incomplete response: {error}"),
            },
            Ok(response) => {
                retry_after = parse_retry_after(&response);
                let (status, problem) = (response.status(), response.text().await.unwrap_or_default());
                if retry_after.is_none() && !status.is_server_error() {
                    bail!("refused with {status}: {problem}");
                }
                eprintln!("retrying after {status}: {problem}");
            }
            Err(error) => eprintln!("no response: {error}"),
        }
        tokio::time::sleep(retry_after.unwrap_or(pause)).await;
        pause *= 2;
    }
    bail!("no success in {ATTEMPTS} attempts");
}

fn parse_retry_after(response: &Response) -> Option<Duration> {
    response.headers().get("retry-after")?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (api, token) = (env::var("API")?, env::var("TOKEN")?);
    let mut arguments = env::args().skip(1);
    let room_name = arguments.next().context("a room name")?;
    let identity = arguments.next().context("an identity")?;

    let _ = rustls::crypto::ring::default_provider().install_default(); // Not in CLIENTS.md.
    let client = Client::builder().timeout(Duration::from_secs(10)).build()?;
    let post = |path: &str, body: &Value| client.post(format!("{api}{path}")).bearer_auth(&token).json(body);

    let stream = json!({"roomName": room_name, "metadata": {"title": "Demo"}});
    let stream = send(post("/streams", &stream)).await?;
    let id = stream["id"].as_str().context("an id")?;
    let participant = json!({"identity": identity, "role": "host"});
    println!("{}", send(post(&format!("/streams/{id}/join"), &participant)).await?);
    Ok(())
}
