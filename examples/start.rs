#![allow(clippy::print_stdout)] // Here only.
//! Creates a stream and makes a join token: `start my-stream ann`

use std::{env, time::Duration};

use anyhow::{Context, bail};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use uuid::Uuid;

/// Sends until there is an answer. All attempts have one key: whatever gets lost, it is carried out once.
async fn send(request: RequestBuilder) -> anyhow::Result<Value> {
    let request = request.header("idempotency-key", Uuid::new_v4().to_string());
    let mut pause = Duration::from_millis(200);
    for _ in 0..6 {
        let attempt = request.try_clone().context("a body that can be sent again")?;
        let mut told = None;
        match attempt.send().await {
            Ok(answer) if answer.status().is_success() => match answer.json().await {
                Ok(document) => return Ok(document),
                Err(lost) => eprintln!("the answer was lost: {lost}"),
            },
            Ok(answer) => {
                told = retry_after(&answer);
                let (status, problem) = (answer.status(), answer.text().await.unwrap_or_default());
                if told.is_none() && !status.is_server_error() {
                    bail!("refused with {status}: {problem}");
                }
                eprintln!("not now: {status}: {problem}");
            }
            Err(lost) => eprintln!("no answer: {lost}"),
        }
        tokio::time::sleep(told.unwrap_or(pause)).await;
        pause *= 2;
    }
    bail!("tried often enough");
}

fn retry_after(answer: &Response) -> Option<Duration> {
    answer.headers().get("retry-after")?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (api, token) = (env::var("API")?, env::var("TOKEN")?);
    let mut arguments = env::args().skip(1);
    let room = arguments.next().context("a room name")?;
    let identity = arguments.next().context("an identity")?;

    let _ = rustls::crypto::ring::default_provider().install_default(); // Here only.
    let client = Client::builder().timeout(Duration::from_secs(10)).build()?;
    let post = |path: &str, body: &Value| client.post(format!("{api}{path}")).bearer_auth(&token).json(body);

    let stream = send(post("/streams", &json!({"roomName": room, "metadata": {"title": "A walk"}}))).await?;
    let id = stream["id"].as_str().context("an id")?;
    let wanted = json!({"identity": identity, "role": "host"});
    println!("{}", send(post(&format!("/streams/{id}/join"), &wanted)).await?);
    Ok(())
}
