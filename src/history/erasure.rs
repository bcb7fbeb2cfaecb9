//! Erasure of a person from the JSON of an event.

use crate::domain::{
    Identity,
    json::{Json, JsonError, Members},
};

/// Members of `data` whose value is an identity.
const NAMED: [&str; 2] = ["by", "identity"];
/// Members of `data` that describe a person: a participant, that of an ingress, or a recorded one.
const DESCRIBED: [&str; 3] = ["participant", "ingress", "recording"];

/// Replaces an identity in an event, and removes the name, metadata and attributes of its person. The event keeps its
/// shape. Returns `None` if the event does not name the identity.
///
/// # Errors
/// [`JsonError`] for an invalid text.
pub(super) fn erased(
    event: &str,
    identity: &Identity,
    replacement: &Identity,
) -> Result<Option<String>, JsonError> {
    let mut json = Json::parse(event)?;
    let data = member(&mut json, "data");
    let is_changed = data.is_some_and(|data| {
        let described = DESCRIBED
            .map(|name| member(data, name).is_some_and(|one| erase_person(one, identity, replacement)));
        let named =
            NAMED.map(|name| member(data, name).is_some_and(|value| replace(value, identity, replacement)));
        described.contains(&true) || named.contains(&true)
    });
    Ok(is_changed.then(|| json.to_string()))
}

/// As [`erased`], in a recording.
///
/// # Errors
/// [`JsonError`] for an invalid text.
pub(super) fn erased_recording(
    recording: &str,
    identity: &Identity,
    replacement: &Identity,
) -> Result<Option<String>, JsonError> {
    let mut json = Json::parse(recording)?;
    let is_changed = erase_person(&mut json, identity, replacement);
    Ok(is_changed.then(|| json.to_string()))
}

fn erase_person(described: &mut Json, identity: &Identity, replacement: &Identity) -> bool {
    let is_person = member(described, "identity").is_some_and(|value| replace(value, identity, replacement));
    if !is_person {
        return false;
    }
    let empty = || Json::Object(Members::new());
    for (name, value) in [
        ("id", text(replacement)),
        ("name", Json::Scalar("null".to_owned())),
        ("metadata", empty()),
        ("attributes", empty()),
    ] {
        if let Some(known) = member(described, name) {
            *known = value;
        }
    }
    true
}

fn replace(value: &mut Json, identity: &Identity, replacement: &Identity) -> bool {
    let is_person = value.as_string().is_some_and(|text| text == identity.as_str());
    if is_person {
        *value = text(replacement);
    }
    is_person
}

fn text(identity: &Identity) -> Json {
    // A text always serializes.
    Json::Scalar(serde_json::to_string(identity.as_str()).unwrap_or_default())
}

fn member<'a>(json: &'a mut Json, name: &str) -> Option<&'a mut Json> {
    let Json::Object(members) = json else { return None };
    members.iter_mut().find(|(key, _)| key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(text: &str) -> Identity {
        Identity::reported(text).unwrap()
    }

    #[test]
    fn person_is_replaced_and_everything_else_stays_digit_for_digit() {
        let event = |person: &str, name: &str, metadata: &str, attributes: &str| {
            format!(
                r#"{{"seq":7,"data":{{"participant":{{"id":{person},"identity":{person},"name":{name},"role":"viewer","#
            ) + &format!(r#""metadata":{metadata},"attributes":{attributes},"sid":"PA_1"}},"#)
                + r#""stream":{"metadata":{"ann\"":1e2}},"by":"bob"}}"#
        };
        let named = event(r#""ann\"""#, r#""Ann""#, r#"{"a":1.50}"#, r#"{"b":"c"}"#);
        let expected = event(r#""x""#, "null", "{}", "{}");
        let found = erased(&named, &identity("ann\""), &identity("x")).unwrap();
        assert_eq!(found.as_deref(), Some(expected.as_str()));
        assert_eq!(erased(&expected, &identity("ann\""), &identity("y")).unwrap(), None);
    }

    #[test]
    fn identities_of_callers_and_of_blocks_are_replaced() {
        let event = r#"{"data":{"stream":{},"by":"ann","identity":"ann"}}"#;
        let found = erased(event, &identity("ann"), &identity("x")).unwrap();
        assert_eq!(found.as_deref(), Some(r#"{"data":{"stream":{},"by":"x","identity":"x"}}"#));
        assert_eq!(erased(event, &identity("an"), &identity("x")).unwrap(), None);
    }

    #[test]
    fn recorded_participant_is_replaced() {
        let event = r#"{"data":{"recording":{"recordingId":"EG_1","layout":null,"identity":"ann"}}}"#;
        let found = erased(event, &identity("ann"), &identity("x")).unwrap();
        assert_eq!(found.as_deref(), Some(event.replace("ann", "x").as_str()));
    }

    #[test]
    fn participant_of_an_ingress_is_replaced() {
        let event = r#"{"data":{"ingress":{"ingressId":"IN_1","identity":"ann","name":"Ann","url":"u"}}}"#;
        let found = erased(event, &identity("ann"), &identity("x")).unwrap();
        let expected = r#"{"data":{"ingress":{"ingressId":"IN_1","identity":"x","name":null,"url":"u"}}}"#;
        assert_eq!(found.as_deref(), Some(expected));
    }
}
