//! Settings of LiveKit: addresses and API keys.

use std::iter;

use url::Url;

use super::{Arguments, reader::Reader};
use crate::access::token::ApiKey;

/// LiveKit's development key and secret (`livekit-server --dev`).
const DEV_KEY: &str = "devkey";
pub(super) const DEV_SECRET: &str = "secret";
const DEV_LIVEKIT_URL: &str = "ws://localhost:7880";

/// Addresses and API keys of LiveKit.
#[derive(Clone, Debug)]
pub struct LiveKitSettings {
    /// Address at which this service reaches LiveKit.
    pub url: Url,
    /// Address at which clients reach LiveKit: `ws` or `wss`, without a trailing slash.
    pub public_url: String,
    /// Key that signs tokens.
    pub key: ApiKey,
    /// Keys whose tokens and webhooks are accepted, including the signing key.
    pub keys: Vec<ApiKey>,
}

impl Arguments {
    /// Parses the LiveKit settings and records invalid ones in `reader`. Returns `None` if one of them is invalid.
    pub(super) fn parse_livekit(&self, reader: &mut Reader) -> Option<LiveKitSettings> {
        let url = self.livekit_url.as_ref().or(self.livekit_host.as_ref()).map(String::as_str);
        let url = url.or(self.dev.then_some(DEV_LIVEKIT_URL));
        let url =
            reader.required("LIVEKIT_URL", url).and_then(|text| reader.livekit_url("LIVEKIT_URL", text));
        let public_url = self.livekit_public_url.as_ref();
        let public_url = public_url.map(|text| reader.livekit_url("LIVEKIT_PUBLIC_URL", text));
        let further_keys = self.admission.further_keys(reader);
        let key = self.signing_key(&further_keys, reader);
        let url = url?;
        let public_url = public_url.unwrap_or_else(|| Some(url.clone()))?;
        let key = key?;
        let others = further_keys.into_iter().filter(|other| other.key != key.key);
        let keys = iter::once(key.clone()).chain(others).collect();
        Some(LiveKitSettings { public_url: websocket_url(&public_url), url, key, keys })
    }

    /// Returns LIVEKIT_API_KEY with LIVEKIT_API_SECRET, or the first key of LIVEKIT_API_KEYS if both are unset.
    ///
    /// Otherwise an unset variable has its development value in dev mode. Outside dev mode it is recorded as a problem
    /// in `reader`, and the result is `None`.
    fn signing_key(&self, further_keys: &[ApiKey], reader: &mut Reader) -> Option<ApiKey> {
        if let (None, None, Some(first)) =
            (&self.livekit_api_key, &self.livekit_api_secret, further_keys.first())
        {
            return Some(first.clone());
        }
        let key = self.livekit_api_key.clone().or_else(|| self.dev.then(|| DEV_KEY.to_owned()));
        let key = reader.required("LIVEKIT_API_KEY", key);
        let secret = self.livekit_api_secret.clone().or_else(|| self.dev.then(|| DEV_SECRET.into()));
        let secret = reader.required("LIVEKIT_API_SECRET", secret);
        Some(ApiKey { key: key?, secret: secret? })
    }
}

/// Converts `http` to `ws` and `https` to `wss`, and removes trailing slashes.
fn websocket_url(url: &Url) -> String {
    let text = url.as_str().trim_end_matches('/');
    if text.starts_with("http") { text.replacen("http", "ws", 1) } else { text.to_owned() }
}
