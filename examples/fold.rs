#![allow(clippy::print_stdout)] // Not in CLIENTS.md.
//! Prints the state of a stream after each message of its feed: `follow my-stream snapshot | fold`

use std::io;

use anyhow::Context;
use serde_json::Value;

/// Applies an event's `data` to the state of its stream.
fn fold(state: &mut Value, event: &Value) -> anyhow::Result<()> {
    let fields = event["stream"].as_object().context("a stream")?.clone();
    state.as_object_mut().context("a state")?.extend(fields);
    let is_counted = state["audience"] == "counted";
    let participants = state["participants"].as_array_mut().context("participants")?;
    if let Some(participant) = event.get("participant") {
        participants.retain(|known| known["identity"] != participant["identity"]);
        if event["removed"] != true {
            participants.push(participant.clone());
        }
    }
    // The viewers of a counted stream are only counted while their hands are down.
    let is_on_stage = |known: &Value| known["role"] == "host" || known.get("handRaisedAt").is_some();
    participants.retain(|known| !is_counted || is_on_stage(known));
    Ok(())
}

/// Applies a message of the feed. The first message of a reset has the state, further parts have more participants.
fn apply(state: &mut Value, kind: &str, message: &Value) -> anyhow::Result<()> {
    match (kind, &message["snapshot"]) {
        ("reset", Value::Array(further)) => {
            state["participants"].as_array_mut().context("participants")?.extend_from_slice(further);
        }
        ("reset", snapshot) => *state = snapshot.clone(),
        _ => fold(state, &message["data"])?,
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let mut state = Value::Null;
    for line in io::stdin().lines() {
        let line = line?;
        let (kind, json) = line.split_once(' ').context("a type and JSON")?;
        let message: Value = serde_json::from_str(json)?;
        apply(&mut state, kind, &message)?;
        // Of a reset in parts, only the last one has a cursor.
        if message.get("cursor").is_some() {
            println!("{state}");
        }
    }
    Ok(())
}
