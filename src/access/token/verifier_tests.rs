use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::access::Grants;

const NOW: i64 = 1_768_384_800;
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn key(key: &str, secret: &str) -> ApiKey {
    ApiKey { key: key.to_owned(), secret: secret.into() }
}

fn verifier() -> TokenVerifier {
    TokenVerifier::new([&key("devkey", "secret"), &key("next", "another")])
}

fn sign(header: &str, claims: impl AsRef<[u8]>, secret: &str) -> String {
    let signed = format!("{}.{}", SEGMENT.encode(header), SEGMENT.encode(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(&signed);
    format!("{signed}.{}", SEGMENT.encode(mac.finalize().into_bytes()))
}

fn verify(token: &str) -> Result<VerifiedToken, TokenError> {
    verifier().verify(token, Timestamp::from_millis(NOW * 1000))
}

fn claims(text: &str) -> Result<VerifiedToken, TokenError> {
    verify(&sign(HEADER, text, "secret"))
}

fn with(more: &Value) -> Result<VerifiedToken, TokenError> {
    let mut all = json!({"iss": "devkey", "sub": "ann", "exp": NOW + 60, "nbf": NOW});
    all.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
    claims(&all.to_string())
}

#[test]
fn claims_of_any_shape_are_accepted() {
    for more in [
        json!({"aud": "x"}),
        json!({"aud": ["x", "y"]}),
        json!({"exp": NOW as f64 + 0.5, "nbf": 1e9}),
        json!({"exp": (NOW + 1).to_string()}),
        json!({"exp": null, "nbf": null, "video": null, "sha256": null, "roomConfig": null, "kind": null}),
        json!({"roomConfig": {"egress": "?", "agents": [{"x": "FUTURE_ENUM"}]}, "extra": [{}], "name": 5}),
    ] {
        assert_eq!(with(&more).map(|token| token.identity), Ok("ann".to_owned()), "{more}");
    }
}

#[test]
fn names_match_in_any_case_and_the_last_of_several_counts() {
    let text = r#"{"ISS": "other", "iss": "devkey", "Sub": "bob", "sub": null,
        "video": {"roomlist": true, "ROOM": "one", "room": "two", "roomJoin": true, "roomJoin": false},
        "video": {"roomAdmin": true}}"#;
    let token = claims(text).unwrap();
    assert_eq!((token.issuer.as_str(), token.identity.as_str(), token.expires_at), ("devkey", "bob", None));
    let grants = Grants { room_list: true, room_admin: true, room: "two".to_owned(), ..Grants::default() };
    assert_eq!(token.grants, grants);
}

#[test]
fn identity_without_sub_is_the_jti() {
    let identity = |claims: Value| with(&claims).unwrap().identity;
    assert_eq!(identity(json!({"sub": "ann", "jti": "x"})), "ann");
    assert_eq!(identity(json!({"sub": "", "jti": "x"})), "x");
    assert_eq!(identity(json!({"sub": null})), "");
}

#[test]
fn strings_that_are_not_unicode_are_replaced() {
    let escaped = claims(r#"{"iss": "devkey", "sub": "a\ud800b"}"#).unwrap();
    assert!(escaped.identity.starts_with("a\u{FFFD}") && escaped.identity.ends_with('b'));
    let raw = verify(&sign(HEADER, b"{\"iss\":\"devkey\",\"sub\":\"a\xFF\"}", "secret")).unwrap();
    assert_eq!(raw.identity, "a\u{FFFD}");
}

#[test]
fn times_have_a_minute_of_leeway() {
    let at = |exp: i64, nbf: i64| with(&json!({"exp": NOW + exp, "nbf": NOW + nbf})).map(|_| ());
    assert_eq!((at(-59, 0), at(10, 60)), (Ok(()), Ok(())));
    assert_eq!((at(-60, 0), at(10, 61)), (Err(TokenError::Expired), Err(TokenError::NotYetValid)));
    assert_eq!(
        with(&json!({"exp": NOW - 59})).unwrap().expires_at,
        Some(Timestamp::from_millis((NOW + 1) * 1000))
    );
    assert_eq!(with(&json!({"exp": 0})).err(), Some(TokenError::Expired));
    assert!(with(&json!({"exp": 1e300})).is_ok());
}

#[test]
fn claim_of_wrong_type_is_named() {
    for (more, name) in [
        (json!({"iss": 1}), "iss"),
        (json!({"sub": ["ann"]}), "sub"),
        (json!({"exp": "soon"}), "exp"),
        (json!({"exp": true}), "exp"),
        (json!({"exp": " 1"}), "exp"),
        (json!({"nbf": {}}), "nbf"),
        (json!({"sha256": 1}), "sha256"),
        (json!({"video": []}), "video"),
        (json!({"video": {"roomJoin": "true"}}), "roomJoin"),
        (json!({"video": {"room": 1}}), "room"),
    ] {
        assert_eq!(with(&more).err(), Some(TokenError::Claim(name)), "{more}");
    }
}

#[test]
fn rejected_token_has_first_reason() {
    let good = json!({"iss": "devkey", "sub": "ann"}).to_string();
    let late = json!({"iss": "devkey", "exp": NOW - 600}).to_string();
    let signed = sign(HEADER, &good, "secret");
    let (head, _) = signed.rsplit_once('.').unwrap();
    for (token, expected) in [
        (String::new(), TokenError::Missing),
        ("nonsense".to_owned(), TokenError::Malformed),
        ("a.b".to_owned(), TokenError::Malformed),
        (format!("{signed}.x"), TokenError::Malformed),
        (format!("{signed}="), TokenError::Malformed),
        (sign("[]", &good, "secret"), TokenError::Malformed),
        (sign(HEADER, "[]", "secret"), TokenError::Malformed),
        (sign(HEADER, "{", "secret"), TokenError::Malformed),
        (sign("null", &good, "secret"), TokenError::Algorithm),
        (sign(r#"{"alg":"hs256"}"#, &good, "secret"), TokenError::Algorithm),
        (sign(r#"{"Alg":"HS256"}"#, &good, "secret"), TokenError::Algorithm),
        (sign(r#"{"alg":"none"}"#, &good, "secret"), TokenError::Algorithm),
        (sign(HEADER, "null", "secret"), TokenError::NoIssuer),
        (sign(HEADER, r#"{"sub":"ann"}"#, "secret"), TokenError::NoIssuer),
        (sign(HEADER, r#"{"iss":""}"#, "secret"), TokenError::NoIssuer),
        (sign(HEADER, r#"{"iss":"other"}"#, "secret"), TokenError::UnknownIssuer),
        (sign(HEADER, r#"{"iss":"next"}"#, "secret"), TokenError::Signature),
        (format!("{head}."), TokenError::Signature),
        (sign(HEADER, &late, "wrong"), TokenError::Signature),
        (sign(HEADER, &late, "secret"), TokenError::Expired),
    ] {
        assert_eq!(verify(&token).err(), Some(expected), "{token}");
        assert!(token.is_empty() || !expected.to_string().contains(&token));
    }
    assert!(verify(&signed).is_ok());
}

#[test]
fn header_members_beside_alg_are_ignored() {
    let good = json!({"iss": "devkey", "sub": "ann"}).to_string();
    for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":5,"typ":null,"crit":["x"],"x5c":"y"}"#] {
        assert!(verify(&sign(header, &good, "secret")).is_ok(), "{header}");
    }
}

#[test]
fn line_breaks_and_unused_bits_in_base64_are_accepted() {
    let signed = sign(HEADER, r#"{"iss":"devkey"}"#, "secret");
    assert!(verify(&format!("{signed}\r\n")).is_ok());
    // The last of 43 characters has two bits that no byte uses.
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = digits.find(signed.chars().last().unwrap()).unwrap();
    let (head, next) = (&signed[..signed.len() - 1], digits.as_bytes()[last ^ 1] as char);
    assert!(verify(&format!("{head}{next}")).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_refused_or_accepted_without_a_panic(header in ".{0,20}", claims in ".{0,40}", raw in ".{0,60}") {
        prop_assert!(verify(&raw).is_err());
        prop_assert!(verify(&sign(&header, &claims, "secret")).is_err());
    }
}
