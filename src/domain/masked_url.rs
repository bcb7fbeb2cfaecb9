//! URLs without their secrets.

use std::fmt;

use serde::Serialize;
use url::Url;

/// What is shown in place of a secret.
const MASK: &str = "***";

/// Maximum length of what is shown, in bytes: that of the longest URL of a request. Other tools choose any URL.
const MAX_BYTES: usize = 2_048;

/// URL whose userinfo, query and fragment are masked, because they often have passwords, keys or signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct MaskedUrl(String);

impl MaskedUrl {
    /// Masks a URL. A text that is no URL is masked as a whole.
    pub fn of(text: &str) -> Self {
        Self::masked(text, str::to_owned)
    }

    /// Masks an address to which a stream is sent: as [`Self::of`], and its last path segment, which is a key.
    pub fn of_target(text: &str) -> Self {
        Self::masked(text, |path| {
            let before = path.rsplit_once('/').map_or("", |(before, _)| before);
            if path.is_empty() { String::new() } else { format!("{before}/{MASK}") }
        })
    }

    fn masked(text: &str, mask_path: impl FnOnce(&str) -> String) -> Self {
        let Ok(url) = Url::parse(text) else { return Self(MASK.to_owned()) };
        let has_user = !url.username().is_empty() || url.password().is_some();
        let mut masked = format!("{}:", url.scheme());
        if let Some(host) = url.host_str() {
            let user = if has_user { format!("{MASK}@") } else { String::new() };
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            masked += &format!("//{user}{host}{port}");
        }
        masked += &mask_path(url.path());
        for (part, sign) in [(url.query(), '?'), (url.fragment(), '#')] {
            if part.is_some() {
                masked.push(sign);
                masked += MASK;
            }
        }
        masked.truncate(masked.floor_char_boundary(MAX_BYTES));
        Self(masked)
    }

    /// Takes a text that has no secrets: a masked URL that was stored, or an address that LiveKit's operator publishes.
    pub const fn public(text: String) -> Self {
        Self(text)
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MaskedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_url_are_masked() {
        for (text, masked) in [
            ("https://cdn.example.com/live/one.m3u8", "https://cdn.example.com/live/one.m3u8"),
            (
                "https://bob:pass@cdn.example.com:8443/a?token=x#y",
                "https://***@cdn.example.com:8443/a?***#***",
            ),
            ("srt://[::1]:9000?streamid=key&passphrase=secret", "srt://[::1]:9000?***"),
            ("https://:pass@a.example/", "https://***@a.example/"),
            ("no url with secret", "***"),
        ] {
            assert_eq!(MaskedUrl::of(text).as_str(), masked);
        }
    }

    #[test]
    fn long_url_is_cut() {
        let long = format!("https://a.example/{}", "a".repeat(MAX_BYTES));
        assert_eq!(MaskedUrl::of(&long).as_str(), &long[..MAX_BYTES]);
    }

    #[test]
    fn key_of_a_target_is_masked() {
        for (text, masked) in [
            ("rtmp://a.example/app/key", "rtmp://a.example/app/***"),
            ("rtmps://bob:pass@a.example:443/a/b/key?x=1", "rtmps://***@a.example:443/a/b/***?***"),
            ("rtmp://a.example/app/{fir...key}", "rtmp://a.example/app/***"),
            ("rtmp://a.example", "rtmp://a.example"),
            ("key", "***"),
        ] {
            assert_eq!(MaskedUrl::of_target(text).as_str(), masked);
        }
    }
}
