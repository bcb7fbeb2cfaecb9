//! Address that a broadcast is sent to. Its last segment is a secret, the stream key.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::MaskedUrl;

/// Maximum length of an address, in bytes.
pub const MAX_ADDRESS_BYTES: usize = 1_024;

/// The text is not an address that LiveKit sends RTMP to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be rtmp:// or rtmps:// with a host, an application and a stream key, without spaces, of at most \
     {MAX_ADDRESS_BYTES} bytes"
)]
pub struct InvalidAddress;

/// RTMP address with its stream key.
#[derive(Clone, Debug)]
pub struct RtmpAddress(SecretString);

impl RtmpAddress {
    /// Parses an address: `rtmp` or `rtmps`, a host, an application and a stream key. LiveKit refuses a scheme in upper
    /// case, which RFC 3986 allows.
    ///
    /// # Errors
    /// [`InvalidAddress`] for any other text.
    pub fn parse(text: String) -> Result<Self, InvalidAddress> {
        let is_text = text.len() <= MAX_ADDRESS_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        let has_scheme = ["rtmp://", "rtmps://"].iter().any(|scheme| text.starts_with(scheme));
        let has_key = |url: &Url| {
            let segments = url.path_segments().map(|segments| segments.filter(|one| !one.is_empty()).count());
            url.has_host() && segments.is_some_and(|count| count >= 2) && !url.path().ends_with('/')
        };
        let is_valid = is_text && has_scheme && Url::parse(&text).as_ref().is_ok_and(has_key);
        is_valid.then(|| Self(text.into())).ok_or(InvalidAddress)
    }

    /// Returns the address with its key, for LiveKit and the store.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns the address without its secrets.
    pub fn masked(&self) -> MaskedUrl {
        MaskedUrl::of_target(self.expose())
    }

    /// Returns what identifies the address in LiveKit's reports.
    pub fn fingerprint(&self) -> AddressFingerprint {
        AddressFingerprint::of_reported(self.expose())
    }
}

impl PartialEq for RtmpAddress {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for RtmpAddress {}

/// Hash of an address as LiveKit reports it: with most of its key left out. Two addresses whose keys begin and end
/// alike have the same fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AddressFingerprint(String);

impl AddressFingerprint {
    /// Makes the fingerprint of an address that LiveKit reports, or of a whole one.
    pub fn of_reported(address: &str) -> Self {
        let hash = Sha256::digest(redacted(address));
        Self(hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    /// Takes a fingerprint that was stored.
    pub const fn stored(text: String) -> Self {
        Self(text)
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AddressFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Redacts the stream key as LiveKit does (`RedactStreamKey` of its protocol library). A redacted key stays as it is.
fn redacted(address: &str) -> String {
    let Some((before, key)) = address.rsplit_once('/') else { return address.to_owned() };
    if key.starts_with('{') && key.ends_with('}') && key.contains("...") {
        return address.to_owned();
    }
    let characters: Vec<char> = key.chars().collect();
    let shown = (characters.len() / 3).min(3);
    let [prefix, suffix] = [&characters[..shown], &characters[characters.len() - shown..]]
        .map(|part| part.iter().collect::<String>());
    format!("{before}/{{{prefix}...{suffix}}}")
}

/// Masks every address in an error text of LiveKit.
pub fn mask_addresses(text: &str) -> String {
    let mask = |word: &str| {
        let Some(at) = word.find("://") else { return word.to_owned() };
        let start = word[..at].trim_end_matches(|c: char| c.is_ascii_alphanumeric()).len();
        let address = word[start..].trim_end_matches(['"', '\'', ',', ';', ')', ']', '>', ':', '.']);
        let rest = &word[start + address.len()..];
        // Of two addresses in one word, the second would look like a path of the first, which has its key in the
        // middle.
        let is_one = address.matches("://").count() == 1;
        let masked = if is_one { MaskedUrl::of_target(address) } else { MaskedUrl::of("") };
        format!("{}{masked}{rest}", &word[..start])
    };
    text.split_inclusive(char::is_whitespace)
        .map(|piece| {
            let word = piece.trim_end_matches(char::is_whitespace);
            mask(word) + &piece[word.len()..]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<RtmpAddress, InvalidAddress> {
        RtmpAddress::parse(text.to_owned())
    }

    #[test]
    fn address_needs_an_application_and_a_key() {
        for valid in
            ["rtmp://a.rtmp.youtube.com/live2/abcd-1234", "rtmps://bob:pass@[::1]:443/app/sub/key?x=1&y=2"]
        {
            assert!(address(valid).is_ok(), "{valid}");
        }
        for invalid in [
            "",
            "rtmp://a.example/key",
            "RTMP://a.example/app/key",
            "rtmp://a.example/app/",
            "https://a.example/app/key",
            "rtmp:///app/key",
        ] {
            assert_eq!(address(invalid), Err(InvalidAddress), "{invalid}");
        }
        assert_eq!(address("rtmp://a.example/app/key live=1"), Err(InvalidAddress));
        let long = format!("rtmp://a.example/app/{}", "k".repeat(MAX_ADDRESS_BYTES));
        assert_eq!(address(&long), Err(InvalidAddress));
        let secret = address("rtmp://a.example/app/unique-key").unwrap();
        assert!(!format!("{secret:?}").contains("unique-key"));
    }

    #[test]
    fn fingerprint_is_that_of_the_address_in_reports_of_livekit() {
        for (whole, reported) in [
            ("rtmp://a.example/app/first-key", "rtmp://a.example/app/{fir...key}"),
            ("rtmp://a.example/app/abcdef", "rtmp://a.example/app/{ab...ef}"),
            ("rtmp://a.example/app/ab", "rtmp://a.example/app/{...}"),
            ("rtmps://a.example/a/b/key?x=123456", "rtmps://a.example/a/b/{key...456}"),
        ] {
            assert_eq!(redacted(whole), reported);
            let known = address(whole).unwrap().fingerprint();
            assert_eq!(known, AddressFingerprint::of_reported(reported));
            assert_eq!(known.as_str().len(), 16);
        }
    }

    #[test]
    fn addresses_in_a_text_are_masked() {
        for (text, masked) in [
            ("no address", "no address"),
            ("cannot connect", "cannot connect"),
            (
                "dial \"rtmp://u:p@a.example/app/key?x=1\", retry  later",
                "dial \"rtmp://***@a.example/app/***?***\", retry  later",
            ),
            ("(rtmp://a.example/app/{fir...key}): refused", "(rtmp://a.example/app/***): refused"),
            ("url=https://a.example/x?sig=1", "url=https://a.example/***?***"),
            ("é://\u{1F600}", "é***"),
            ("rtmp://a.example/app/one,rtmp://b.example/app/two: refused", "***: refused"),
        ] {
            assert_eq!(mask_addresses(text), masked);
        }
    }
}
