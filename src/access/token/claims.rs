//! Parser of a token's claims, with the rules of LiveKit's server.
//!
//! LiveKit decodes claims with Go's `encoding/json` into structs. That package matches names case-insensitively
//! (ASCII), treats `null` as an absent claim, uses the last of several members of one name, and replaces invalid UTF-8
//! by U+FFFD. A claim of the wrong type is an error only if this service reads it: `roomConfig`, `attributes`, `aud`
//! and all others may have any shape.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned},
};
use serde_json::value::RawValue;

use super::TokenError;
use crate::{access::Grants, domain::Timestamp};

/// Claims that this service reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// `iss`; empty if absent.
    pub issuer: String,
    /// `sub`, or `jti` if `sub` is absent or empty, as in LiveKit.
    pub identity: String,
    /// `exp`, in whole seconds.
    pub expires_at: Option<Timestamp>,
    /// `nbf`, in whole seconds.
    pub not_before: Option<Timestamp>,
    /// `sha256`: the hash of a webhook's body in base64; empty if absent.
    pub sha256: String,
    /// `video`.
    pub grants: Grants,
}

impl Claims {
    /// Parses the second part of a token, already decoded from base64.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] for anything but a JSON object or `null`, [`TokenError::Claim`] for a wrong type.
    pub fn read(json: &[u8]) -> Result<Self, TokenError> {
        let json = String::from_utf8_lossy(json);
        let members: Option<Members<'_>> = serde_json::from_str(&json).map_err(|_| TokenError::Malformed)?;
        let members = members.unwrap_or_default();
        let subject = members.text("sub")?;
        Ok(Self {
            issuer: members.text("iss")?,
            identity: if subject.is_empty() { members.text("jti")? } else { subject },
            expires_at: members.date("exp")?,
            not_before: members.date("nbf")?,
            sha256: members.text("sha256")?,
            grants: grants(&members.object("video")?)?,
        })
    }
}

fn grants(video: &Members<'_>) -> Result<Grants, TokenError> {
    Ok(Grants {
        room_create: video.flag("roomCreate")?,
        room_list: video.flag("roomList")?,
        room_admin: video.flag("roomAdmin")?,
        room_join: video.flag("roomJoin")?,
        ingress_admin: video.flag("ingressAdmin")?,
        room_record: video.flag("roomRecord")?,
        room: video.text("room")?,
    })
}

/// Returns `alg` of a token's header; `None` if it is absent or not a string. The last of several counts. The name is
/// case-sensitive, because Go decodes the header into a map.
///
/// # Errors
/// [`TokenError::Malformed`] for anything but a JSON object or `null`.
pub(super) fn algorithm(header: &[u8]) -> Result<Option<String>, TokenError> {
    let json = String::from_utf8_lossy(header);
    let members: Option<Members<'_>> = serde_json::from_str(&json).map_err(|_| TokenError::Malformed)?;
    let last = members.unwrap_or_default().0.into_iter().rev().find(|(name, _)| name.0 == "alg");
    Ok(last.and_then(|(_, value)| serde_json::from_str(value.get()).ok()))
}

/// Members of a JSON object in document order, with unparsed values.
#[derive(Default)]
struct Members<'a>(Vec<(Text, &'a RawValue)>);

impl<'a> Members<'a> {
    fn named(&self, name: &str) -> impl Iterator<Item = &'a RawValue> {
        self.0.iter().filter(move |(found, _)| found.0.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// Returns the last value of this name that is not `null`, or `None`. Names match case-insensitively (ASCII).
    ///
    /// # Errors
    /// [`TokenError::Claim`] if any value of this name has the wrong type, even one that is not the last, as in Go.
    fn last<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, TokenError> {
        let read = |value: &RawValue| serde_json::from_str::<Option<T>>(value.get());
        let values: Result<Vec<_>, _> = self.named(name).map(read).collect();
        Ok(values.map_err(|_| TokenError::Claim(name))?.into_iter().flatten().next_back())
    }

    fn text(&self, name: &'static str) -> Result<String, TokenError> {
        Ok(self.last(name)?.map(|Text(text)| text).unwrap_or_default())
    }

    fn flag(&self, name: &'static str) -> Result<bool, TokenError> {
        Ok(self.last(name)?.unwrap_or_default())
    }

    /// Returns a time in seconds since 1970, without its fraction as in LiveKit; `None` if the last value is `null`.
    fn date(&self, name: &'static str) -> Result<Option<Timestamp>, TokenError> {
        let mut last = None;
        for value in self.named(name).map(RawValue::get) {
            let date = || seconds(value).map(whole_seconds).ok_or(TokenError::Claim(name));
            last = if value == "null" { None } else { Some(date()?) };
        }
        Ok(last)
    }

    /// Returns an object, empty if absent. Members of several objects of one name are merged; `null` discards those
    /// before.
    fn object(&self, name: &'static str) -> Result<Self, TokenError> {
        let mut all = Vec::new();
        for value in self.named(name) {
            let object = serde_json::from_str::<Option<Members<'a>>>(value.get());
            match object.map_err(|_| TokenError::Claim(name))? {
                Some(Self(members)) => all.extend(members),
                None => all.clear(),
            }
        }
        Ok(Self(all))
    }
}

/// Parses a JSON number, or a JSON string that contains a number.
fn seconds(json: &str) -> Option<f64> {
    let in_string = || {
        let Text(text) = serde_json::from_str(json).ok()?;
        // `from_str` skips white space, which Go rejects here.
        if text.trim() == text { serde_json::from_str(&text).ok() } else { None }
    };
    serde_json::from_str(json).ok().or_else(in_string)
}

/// Drops the fraction. Saturates for values outside the range of a timestamp, as casts from `f64` do.
#[expect(clippy::cast_possible_truncation, reason = "saturates")]
fn whole_seconds(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds.floor() as i64).saturating_mul(1000))
}

/// JSON string that may have escapes of lone surrogates, which `String` rejects.
struct Text(String);

struct MembersVisitor;
struct TextVisitor;

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor).map(Self)
    }
}

impl<'de> de::Visitor<'de> for MembersVisitor {
    type Value = Vec<(Text, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

impl de::Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<String, E> {
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}
