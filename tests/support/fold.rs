//! Folding, as a client does it by the rules of docs/CLIENTS.md: a document and the events after it are the next one.

use std::cmp::Reverse;

use serde_json::Value;

/// Folds an event into the document of its stream.
pub fn fold(document: &mut Value, event: &Value) {
    let data = &event["data"];
    let fields = data["stream"].as_object().unwrap().clone();
    document.as_object_mut().unwrap().extend(fields);
    let is_counted = document["audience"] == "counted";
    let participants = document["participants"].as_array_mut().unwrap();
    if let Some(entry) = data.get("participant") {
        participants.retain(|known| known["identity"] != entry["identity"]);
        if data["removed"] != true {
            participants.push(entry.clone());
        }
    }
    let is_on_stage = |known: &Value| known["role"] == "host" || known.get("handRaisedAt").is_some();
    participants.retain(|known| !is_counted || is_on_stage(known));
    participants.sort_by_cached_key(|entry| {
        let text = |field: &str| entry[field].as_str().unwrap().to_owned();
        (text("role"), entry.get("handRaisedAt").is_none(), Reverse(text("joinedAt")), text("identity"))
    });
    assert_eq!(data["counts"], document["participantCounts"]);
}
