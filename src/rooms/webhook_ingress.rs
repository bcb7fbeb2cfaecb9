//! Tolerant parser of the ingress in LiveKit's webhooks. The stream key, which the webhook has, is read only to
//! mask it in the error.

use serde_json::Value;

use super::protojson::{integer, text};
use crate::domain::{
    DisplayName, ErrorSecrets, Identity, IngressKind, IngressReport, IngressState, IngressStatus, MaskedUrl,
    Timestamp, ingress::StateTime,
};

/// Parses an ingress; `None` without an id or an identity.
pub(super) fn report(ingress: &Value) -> Option<IngressReport> {
    let kind = kind(&ingress["inputType"]);
    Some(IngressReport {
        id: text(&ingress["ingressId"])?.into(),
        mark: text(&ingress["name"]).and_then(|name| name.parse().ok()),
        kind,
        identity: Identity::reported(text(&ingress["participantIdentity"])?)?,
        name: text(&ingress["participantName"]).and_then(DisplayName::reported),
        url: text(&ingress["url"]).map(|url| address(kind, url)),
        state: state(&ingress["state"], &secrets(ingress)),
    })
}

fn secrets(ingress: &Value) -> ErrorSecrets {
    let text = |name: &str| ingress[name].as_str().unwrap_or_default();
    ErrorSecrets::of_ingress(text("streamKey"), text("url"))
}

/// Protojson omits the first value of an enum, `RTMP_INPUT`.
fn kind(input: &Value) -> IngressKind {
    match input.as_str() {
        None | Some("RTMP_INPUT") => IngressKind::Rtmp,
        Some("WHIP_INPUT") => IngressKind::Whip,
        Some("URL_INPUT") => IngressKind::Url,
        Some(_) => IngressKind::Unknown,
    }
}

/// The operator publishes the addresses of RTMP and WHIP. Any other address may have a password.
fn address(kind: IngressKind, url: String) -> MaskedUrl {
    match kind {
        IngressKind::Rtmp | IngressKind::Whip => MaskedUrl::public(url),
        IngressKind::Url | IngressKind::Unknown => MaskedUrl::of(&url),
    }
}

/// Protojson omits the first value of an enum, `ENDPOINT_INACTIVE`. A new value counts as that.
fn status(state: &Value) -> IngressStatus {
    match state["status"].as_str().unwrap_or_default() {
        "ENDPOINT_BUFFERING" => IngressStatus::Buffering,
        "ENDPOINT_PUBLISHING" => IngressStatus::Publishing,
        "ENDPOINT_ERROR" => IngressStatus::Error,
        "ENDPOINT_COMPLETE" => IngressStatus::Complete,
        _ => IngressStatus::Inactive,
    }
}

fn state(state: &Value, secrets: &ErrorSecrets) -> IngressState {
    let nanos = |name: &str| integer(&state[name]);
    let time = |name: &str| nanos(name).map(|nanos| Timestamp::from_millis(nanos / 1_000_000));
    let micros = |name: &str| nanos(name).unwrap_or_default() / 1_000;
    IngressState {
        status: status(state),
        error: secrets.mask(state["error"].as_str().unwrap_or_default()),
        started_at: time("startedAt"),
        ended_at: time("endedAt"),
        time: StateTime { session: micros("startedAt"), report: micros("updatedAt") },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn omitted_values_are_the_first_of_their_enums() {
        let ended = json!({"ingressId": "IN_1", "streamKey": "secret", "participantIdentity": "obs",
            "url": "rtmp://a.example/live", "roomName": "room", "state": {"startedAt": "1795000000123456789"}});
        let report = report(&ended).unwrap();
        assert_eq!((report.kind, report.state.status), (IngressKind::Rtmp, IngressStatus::Inactive));
        assert_eq!(report.state.started_at, Some(Timestamp::from_millis(1_795_000_000_123)));
        assert_eq!(report.state.time, StateTime { session: 1_795_000_000_123_456, report: 0 });
        assert!(!format!("{report:?}").contains("secret"));
    }

    #[test]
    fn unknown_values_are_accepted_and_a_pulled_address_is_masked() {
        let future = json!({"ingressId": "IN_1", "inputType": "NEW_INPUT", "participantIdentity": "obs",
            "url": "new://bob:pass@a.example/x?key=1", "state": {"status": "ENDPOINT_NEW", "error": 1}});
        let report = report(&future).unwrap();
        assert_eq!((report.kind, report.state.status), (IngressKind::Unknown, IngressStatus::Inactive));
        assert_eq!(report.url.unwrap().as_str(), "new://***@a.example/x?***");
        assert_eq!(super::report(&json!({"ingressId": "IN_1"})), None);
    }

    #[test]
    fn error_has_neither_the_stream_key_nor_a_password_of_an_address() {
        let failed = json!({"ingressId": "IN_1", "inputType": "URL_INPUT", "participantIdentity": "obs",
            "streamKey": "unique-key", "state": {"status": "ENDPOINT_ERROR",
                "error": "Get \"https://bob:pass@a.example/x?key=1\": refused, stream unique-key"}});
        let error = report(&failed).unwrap().state.error.unwrap();
        assert_eq!(error, "Get \"https://***@a.example/***?***\": refused, stream ***");
    }
}
