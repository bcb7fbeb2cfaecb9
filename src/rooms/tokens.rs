//! Join tokens of this service: LiveKit access tokens for one room and identity.

use livekit_api::access_token::{AccessToken, Claims, VideoGrants};
use secrecy::ExposeSecret;

use super::{JoinToken, RoomsError, TokenRequest};
use crate::{
    access::token::ApiKey,
    domain::{Role, Timestamp},
};

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

/// Signs a join token with HS256, the only algorithm that LiveKit accepts.
///
/// # Errors
/// [`RoomsError::Refused`] for an empty key or secret.
pub fn sign(key: &ApiKey, request: &TokenRequest) -> Result<JoinToken, RoomsError> {
    let refused = |error: livekit_api::access_token::AccessTokenError| RoomsError::Refused(error.to_string());
    let mut token = AccessToken::with_api_key(&key.key, key.secret.expose_secret())
        .with_ttl(request.ttl)
        .with_identity(request.identity.as_str())
        .with_grants(grants(request));
    if let Some(name) = &request.name {
        token = token.with_name(name.as_str());
    }
    if let Some(metadata) = &request.metadata {
        token = token.with_metadata(metadata.as_text());
    }
    if let Some(attributes) = &request.attributes {
        token = token.with_attributes(attributes.entries());
    }
    let jwt = token.to_jwt().map_err(refused)?;
    let expiry = Claims::from_unverified(&jwt).map_err(refused)?.exp;
    let expires_at =
        Timestamp::from_millis(i64::try_from(expiry).unwrap_or(i64::MAX / 1000).saturating_mul(1000));
    Ok(JoinToken { jwt, expires_at })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use livekit_api::access_token::TokenVerifier;

    use super::*;
    use crate::{
        access::{self, Grants},
        domain::{Identity, Metadata, RoomName},
    };

    fn key() -> ApiKey {
        ApiKey { key: "devkey".to_owned(), secret: "secret".into() }
    }

    fn claims(role: Role) -> Claims {
        let request = TokenRequest {
            room: RoomName::parse("room one").unwrap(),
            identity: Identity::parse("ann").unwrap(),
            name: None,
            role,
            metadata: Some(Metadata::parse(r#"{"a":1}"#).unwrap()),
            attributes: None,
            ttl: Duration::from_secs(600),
        };
        let token = sign(&key(), &request).unwrap();
        let claims = TokenVerifier::with_api_key("devkey", "secret").verify(&token.jwt).unwrap();
        assert_eq!(token.expires_at.as_millis(), i64::try_from(claims.exp).unwrap() * 1000);
        claims
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
