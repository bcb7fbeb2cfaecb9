//! JSON Merge Patch (RFC 7396).

use std::collections::HashMap;

use super::json::{Json, Members};

/// Applies a patch to the members of an object, neither of which may repeat a key.
///
/// A `null` member removes, an object merges, and any other value replaces. Members keep their order; new ones come
/// last.
pub fn merge(target: Members, patch: &Members) -> Members {
    let mut positions: HashMap<String, usize> = HashMap::new();
    let mut members: Vec<Option<(String, Json)>> = Vec::with_capacity(target.len());
    for (position, (key, value)) in target.into_iter().enumerate() {
        positions.insert(key.clone(), position);
        members.push(Some((key, value)));
    }
    for (key, change) in patch {
        let position = positions.get(key).copied();
        let known = position.and_then(|position| members.get_mut(position)?.take()).map(|(_, value)| value);
        let Some(value) = patched(known, change) else { continue };
        let member = Some((key.clone(), value));
        match position.and_then(|position| members.get_mut(position)) {
            Some(slot) => *slot = member,
            None => members.push(member),
        }
    }
    members.into_iter().flatten().collect()
}

/// Returns the value of a member after a patch; `None` if the patch removes it.
fn patched(known: Option<Json>, change: &Json) -> Option<Json> {
    match (known, change) {
        (_, change) if change.is_null() => None,
        (Some(Json::Object(members)), Json::Object(inner)) => Some(Json::Object(merge(members, inner))),
        (_, Json::Object(inner)) => Some(Json::Object(merge(Vec::new(), inner))),
        (_, other) => Some(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{super::json::tests::json, *};

    /// RFC 7396, section 2, on `serde_json` values: the reference for [`merge`].
    fn merged(target: &Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut members = target.as_object().cloned().unwrap_or_default();
        for (key, change) in patch {
            if change.is_null() {
                members.remove(key);
            } else {
                let known = members.get(key).cloned().unwrap_or_default();
                members.insert(key.clone(), merged(&known, change));
            }
        }
        Value::Object(members)
    }

    proptest! {
        #[test]
        fn merge_equals_the_algorithm_of_the_rfc(target in json(), patch in json()) {
            let (Ok(Json::Object(members)), Ok(Json::Object(change))) =
                (Json::parse(&target.to_string()), Json::parse(&patch.to_string())) else { return Ok(()) };
            let text = Json::Object(merge(members, &change)).to_string();
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), merged(&target, &patch));
        }
    }
}
