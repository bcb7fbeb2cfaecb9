//! Ids and names from callers.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use uuid::{Uuid, fmt::Hyphenated};

/// LiveKit's limit for identities, names and room names, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 256;

/// Rule that a text breaks as a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than [`MAX_NAME_BYTES`].
    #[error("must be at most {MAX_NAME_BYTES} bytes of UTF-8")]
    TooLong,
    /// The text contains a control character.
    #[error("must not contain control characters")]
    Unprintable,
    /// The text is a dot segment, which clients remove from the path of a URL (RFC 3986, section 5.2.4).
    #[error("must not be . or .., because no URL can have it as a segment of its path")]
    DotSegment,
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(NameError::Unprintable);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Parses 1 to 256 bytes of UTF-8 without control characters.
            ///
            /// # Errors
            /// [`NameError`] for a text that breaks one of these rules.
            pub fn parse(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

name! {
    /// Name of a LiveKit room, unique among streams that have not ended.
    RoomName
}
name! {
    /// Identity of a participant within a stream. LiveKit allows one connection for each identity.
    Identity
}
name! {
    /// Display name of a participant.
    DisplayName
}

name! {
    /// Reason of a block.
    BlockReason
}

macro_rules! reported {
    ($name:ident) => {
        impl $name {
            /// Accepts any text that LiveKit reports, because LiveKit accepts tokens with any text.
            ///
            /// Returns `None` for the empty text, which is LiveKit's form of an absent value.
            pub fn reported(text: impl Into<String>) -> Option<Self> {
                Some(text.into()).filter(|text| !text.is_empty()).map(Self)
            }
        }
    };
}

reported!(Identity);
reported!(DisplayName);

impl Identity {
    /// Reports whether the identity has at most [`MAX_NAME_BYTES`], as that of a participant has by LiveKit's limit.
    pub const fn is_within_limit(&self) -> bool {
        self.0.len() <= MAX_NAME_BYTES
    }

    /// Parses the identity of a participant that joins: as [`Self::parse`], and not a dot segment.
    ///
    /// # Errors
    /// [`NameError`] for a text that breaks one of these rules.
    pub fn parse_joining(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        if matches!(text.as_str(), "." | "..") {
            return Err(NameError::DotSegment);
        }
        Self::parse(text)
    }
}

/// Id of a stream: a UUID of version 7, so that ids sort by the time of their creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(Uuid);

impl StreamId {
    /// Returns a new id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Length of the text in bytes.
    pub const LENGTH: usize = Hyphenated::LENGTH;

    /// Writes the text, as `Display` does, into a buffer and returns it.
    pub fn encode(self, buffer: &mut [u8; Self::LENGTH]) -> &str {
        self.0.as_hyphenated().encode_lower(buffer)
    }

    /// Makes an id from a UUID, for stores and tests.
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// Returns the id as a UUID.
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }

    /// Returns the last two bytes, which are random in a generated id.
    pub(super) const fn last_bytes(self) -> u16 {
        let [.., first, second] = *self.0.as_bytes();
        u16::from_be_bytes([first, second])
    }

    /// Returns the id with other last two bytes.
    pub(super) const fn with_last_bytes(self, number: u16) -> Self {
        let mut bytes = *self.0.as_bytes();
        [bytes[14], bytes[15]] = number.to_be_bytes();
        Self(Uuid::from_bytes(bytes))
    }
}

impl RoomName {
    /// Returns the stream id whose text is this name; `None` for a name that is not the text of a generated id.
    pub(super) fn as_stream_id(&self) -> Option<StreamId> {
        let id: StreamId = self.0.parse().ok()?;
        let is_generated = id.0.get_version_num() == 7;
        (is_generated && id.encode(&mut [0; StreamId::LENGTH]) == self.0).then_some(id)
    }
}

impl From<StreamId> for RoomName {
    /// Returns the default room name of a stream: the text of its id.
    fn from(id: StreamId) -> Self {
        Self(id.to_string())
    }
}

impl FromStr for StreamId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn printable_text_of_valid_length_is_a_name(text in "\\PC{1,64}") {
            let name = RoomName::parse(text.clone()).unwrap();
            prop_assert_eq!(name.as_str(), text);
        }

        #[test]
        fn text_with_control_character_is_not_a_name(
            before in "\\PC{0,8}",
            control in prop::char::ranges(vec!['\0'..='\u{1f}', '\u{7f}'..='\u{9f}'].into()),
        ) {
            prop_assert_eq!(Identity::parse(format!("{before}{control}")), Err(NameError::Unprintable));
        }

        #[test]
        fn stream_id_parses_from_its_text(bytes in any::<u128>()) {
            let id = StreamId::from_uuid(Uuid::from_u128(bytes));
            prop_assert_eq!(id.to_string().parse::<StreamId>().unwrap(), id);
        }
    }

    #[test]
    fn name_length_is_counted_in_bytes() {
        assert!(Identity::parse("é".repeat(128)).is_ok());
        assert_eq!(Identity::parse("é".repeat(129)), Err(NameError::TooLong));
        assert_eq!(Identity::parse(""), Err(NameError::Empty));
    }

    #[test]
    fn generated_ids_are_version_7_and_ascend() {
        let ids: Vec<_> = (0..100).map(|_| StreamId::generate()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(ids[0].0.get_version_num(), 7);
    }
}
