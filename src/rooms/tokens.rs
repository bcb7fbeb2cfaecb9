//! Join tokens of this service: LiveKit access tokens for one room and identity.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use livekit_api::access_token::VideoGrants;
use secrecy::ExposeSecret;
use serde::Serialize;
use sha2::Sha256;

use super::{JoinToken, RoomsError, TokenRequest};
use crate::{
    access::token::ApiKey,
    domain::{Attributes, DisplayName, Identity, Metadata, Role, removal::MARK_KEY},
};

/// Header of every token.
const HEADER: &str = r#"{"typ":"JWT","alg":"HS256"}"#;

/// Returns the grants of the requested role: a host publishes, a viewer only subscribes.
fn grants(request: &TokenRequest) -> VideoGrants {
    let publishes = request.role == Role::Host;
    VideoGrants {
        room_join: true,
        room: request.room.to_string(),
        can_subscribe: Some(true),
        can_publish: Some(publishes),
        can_publish_data: Some(publishes),
        ..VideoGrants::default()
    }
}

/// Claims of a join token, in an order that makes equal requests equal tokens.
#[derive(Serialize)]
struct Claims<'a> {
    exp: u64,
    nbf: u64,
    iss: &'a str,
    sub: &'a Identity,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a DisplayName>,
    video: VideoGrants,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    attributes: BTreeMap<String, String>,
}

/// Signs a join token with HS256, the only algorithm that LiveKit accepts. Equal requests have equal tokens, which
/// livekit-api's `AccessToken` does not offer: it takes `nbf` from the clock and writes attributes in random order.
///
/// # Errors
/// [`RoomsError::Refused`] for an empty key or secret.
pub fn sign(key: &ApiKey, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
    let secret = key.secret.expose_secret();
    if key.key.is_empty() || secret.is_empty() {
        return Err(RoomsError::Refused("the API key or its secret is empty".to_owned()));
    }
    let refused = |error: String| RoomsError::Refused(error);
    let claims = serde_json::to_vec(&claims(key, request)).map_err(|error| refused(error.to_string()))?;
    let mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|error| refused(error.to_string()))?;
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
    let signature = mac.chain_update(&signed).finalize().into_bytes();
    let jwt = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    Ok(JoinToken { jwt, validity: request.validity })
}

fn claims<'a>(key: &'a ApiKey, request: &'a TokenRequest) -> Claims<'a> {
    let mut attributes = request.attributes.as_ref().map(Attributes::entries).unwrap_or_default();
    attributes.insert(MARK_KEY.to_owned(), request.mark.to_string());
    Claims {
        exp: request.validity.expires,
        nbf: request.validity.not_before,
        iss: &key.key,
        sub: &request.identity,
        name: request.name.as_ref(),
        video: grants(request),
        metadata: request.metadata.as_ref().map(Metadata::as_text),
        attributes,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use livekit_api::access_token::{AccessToken, Claims, TokenVerifier};

    use super::*;
    use crate::{
        access::{self, Grants},
        domain::{RoomName, StreamId, Timestamp, TokenMark},
        rooms::TokenValidity,
    };

    fn key() -> ApiKey {
        ApiKey { key: "devkey".to_owned(), secret: "secret".into() }
    }

    fn request(role: Role) -> TokenRequest {
        TokenRequest {
            room: RoomName::parse("room one").unwrap(),
            identity: Identity::parse("ann").unwrap(),
            name: None,
            role,
            metadata: Some(Metadata::parse(r#"{"a":1}"#).unwrap()),
            attributes: None,
            mark: TokenMark::new(StreamId::generate(), 2),
            validity: TokenValidity::from_now(Duration::from_secs(600)),
        }
    }

    fn verified(request: &TokenRequest) -> Claims {
        let token = sign(&key(), request).unwrap();
        let claims = TokenVerifier::with_api_key("devkey", "secret").verify(&token.jwt).unwrap();
        assert_eq!(token.validity.expires_at().as_millis(), i64::try_from(claims.exp).unwrap() * 1000);
        assert_eq!(claims.exp - claims.nbf, 600);
        claims
    }

    fn claims(role: Role) -> Claims {
        verified(&request(role))
    }

    #[test]
    fn join_token_of_host_may_publish_and_of_viewer_may_not() {
        for (role, may) in [(Role::Host, true), (Role::Viewer, false)] {
            let grants = claims(role).video;
            assert!(grants.room_join && grants.can_subscribe());
            assert_eq!((grants.can_publish(), grants.can_publish_data()), (may, may));
            assert_eq!(grants.room, "room one");
            assert!(!grants.room_admin && !grants.room_create && !grants.room_list);
        }
    }

    #[test]
    fn join_token_has_metadata_as_json_text() {
        assert_eq!(claims(Role::Host).metadata, r#"{"a":1}"#);
    }

    #[test]
    fn join_tokens_of_equal_requests_are_equal() {
        let attributes = (0..20).map(|n| (format!("key {n}"), format!("value {n}")));
        let attributes = Attributes::reported(attributes);
        let name = DisplayName::parse("Ann \u{e9}").unwrap();
        let full =
            TokenRequest { attributes: Some(attributes.clone()), name: Some(name), ..request(Role::Host) };
        let claims = verified(&full);
        assert_eq!(
            (claims.sub.as_str(), claims.name.as_str(), claims.iss.as_str()),
            ("ann", "Ann \u{e9}", "devkey")
        );
        let mut signed: BTreeMap<_, _> = claims.attributes.into_iter().collect();
        assert_eq!(TokenMark::take(&mut signed).as_ref(), Some(&full.mark));
        assert_eq!(signed, attributes.entries());
        assert_eq!(sign(&key(), &full).unwrap().jwt, sign(&key(), &full.clone()).unwrap().jwt);
    }

    #[test]
    fn token_of_empty_key_is_refused() {
        for (name, secret) in [("", "secret"), ("devkey", "")] {
            let empty = ApiKey { key: name.to_owned(), secret: secret.into() };
            assert!(matches!(sign(&empty, &request(Role::Host)), Err(RoomsError::Refused(_))));
        }
    }

    #[test]
    fn token_of_livekits_sdk_is_accepted_with_its_grants() {
        let grants = VideoGrants { room_join: true, room: "one".to_owned(), ..VideoGrants::default() };
        let token = AccessToken::with_api_key("devkey", "secret").with_identity("ann").with_grants(grants);
        let now = Timestamp::from_millis(chrono::Utc::now().timestamp_millis());
        let verifier = access::token::TokenVerifier::new([&key()]);
        let token = verifier.verify(&token.to_jwt().unwrap(), now).unwrap();
        assert_eq!((token.issuer.as_str(), token.identity.as_str()), ("devkey", "ann"));
        let grants = Grants { room_join: true, room: "one".to_owned(), ..Grants::default() };
        assert_eq!(token.grants, grants);
        assert!(token.expires_at > Some(now.plus(access::token::LEEWAY)));
    }
}
