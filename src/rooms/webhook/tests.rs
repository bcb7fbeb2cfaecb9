use base64::{Engine, engine::general_purpose::STANDARD};
use livekit_api::access_token::AccessToken;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::{
    access::token::{ApiKey, TokenError, TokenVerifier, WebhookError},
    domain::Role,
};

const BODY: &[u8] = br#"{"event":"participant_joined","id":"EV_1","createdAt":"1768384800","future":[1],
    "room":{"sid":"RM_1","name":"room","turnPassword":"x"},
    "participant":{"sid":"PA_1","identity":"ann","state":"NEW_STATE","joinedAt":"1768384799",
    "joinedAtMs":"1768384799123","permission":{"canSubscribe":true},"metadata":"plain words"}}"#;

fn verify_and_parse(authorization: &str, body: &[u8]) -> Result<Webhook, WebhookError> {
    let verifier = TokenVerifier::new([&ApiKey { key: "devkey".to_owned(), secret: "secret".into() }]);
    let now = Timestamp::from_millis(chrono::Utc::now().timestamp_millis());
    verifier.verify_webhook(authorization, now)?.verify(&Sha256::digest(body)).map(|()| parse(body))
}

fn signed(key: &str, secret: &str, body: &[u8]) -> String {
    let hash = STANDARD.encode(Sha256::digest(body));
    AccessToken::with_api_key(key, secret).with_sha256(&hash).to_jwt().unwrap()
}

#[test]
fn signed_body_with_unknown_content_is_parsed() {
    for prefix in ["", "Bearer "] {
        let webhook =
            verify_and_parse(&format!("{prefix}{}", signed("devkey", "secret", BODY)), BODY).unwrap();
        assert_eq!(webhook.name, "participant_joined");
        let event = webhook.event.unwrap();
        assert_eq!((event.id.as_deref(), event.room.as_str()), (Some("EV_1"), "room"));
        let RoomEventKind::Joined(session) = event.kind else { panic!("not a join") };
        assert_eq!((session.sid.as_str(), session.role), ("PA_1", Some(Role::Viewer)));
        assert_eq!(session.joined_at, Some(Timestamp::from_millis(1_768_384_799_123)));
        assert_eq!(serde_json::to_string(&session.metadata.unwrap()).unwrap(), "\"plain words\"");
    }
}

#[test]
fn webhook_with_bad_signature_is_refused_with_its_reason() {
    let good = signed("devkey", "secret", BODY);
    let mut changed = BODY.to_vec();
    changed[10] ^= 1;
    let unhashed = AccessToken::with_api_key("devkey", "secret").to_jwt().unwrap();
    for (authorization, body, expected) in [
        ("", BODY, WebhookError::Missing),
        ("Bearer ", BODY, WebhookError::Missing),
        ("nonsense", BODY, TokenError::Malformed.into()),
        (good.as_str(), &changed[..], WebhookError::BodyHashMismatch),
        (signed("devkey", "wrong", BODY).as_str(), BODY, TokenError::Signature.into()),
        (signed("other", "secret", BODY).as_str(), BODY, TokenError::UnknownIssuer.into()),
        (unhashed.as_str(), BODY, WebhookError::BodyHashMissing),
    ] {
        assert_eq!(verify_and_parse(authorization, body).err(), Some(expected));
    }
}

proptest! {
    #[test]
    fn signed_body_of_any_bytes_is_accepted_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(verify_and_parse(&signed("devkey", "secret", &body), &body).is_ok());
    }
}
