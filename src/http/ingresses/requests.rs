//! Requests about ingresses: each type parses itself and describes itself for the OpenAPI document.

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use url::Url;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    domain::{DisplayName, Identity, IngressId, IngressKind},
    http::extract::{BodyFields, FromBody},
};

/// Maximum length of an address that LiveKit pulls, in bytes.
const MAX_URL_BYTES: usize = 2_048;
/// Schemes that LiveKit pulls.
const SCHEMES: [&str; 3] = ["http", "https", "srt"];

/// Path of an ingress.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path, rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct IngressPath {
    /// The stream's id or room name.
    pub(super) id: String,
    /// LiveKit's id of the ingress.
    ingress_id: String,
}

impl IngressPath {
    pub(super) fn ingress_id(&self) -> IngressId {
        self.ingress_id.as_str().into()
    }
}

/// Body of `POST /streams/{id}/ingresses`.
pub struct NewIngress {
    pub(super) kind: IngressKind,
    pub(super) identity: Identity,
    pub(super) name: Option<DisplayName>,
    pub(super) source: Option<SecretString>,
}

fn parse_kind(text: &str) -> Result<IngressKind, &'static str> {
    let kind = text.parse().ok().filter(|kind| *kind != IngressKind::Unknown);
    kind.ok_or("must be `rtmp`, `whip` or `url`")
}

/// The rule does not quote the address, which may have a password. The parser ignores some white space, which LiveKit
/// refuses.
fn parse_url(text: String) -> Result<SecretString, &'static str> {
    let is_valid = |url: &Url| SCHEMES.contains(&url.scheme()) && url.has_host();
    let is_text =
        text.len() <= MAX_URL_BYTES && !text.contains(|c: char| c.is_control() || c.is_whitespace());
    let is_url = is_text && Url::parse(&text).as_ref().is_ok_and(is_valid);
    is_url.then(|| text.into()).ok_or("must be an http, https or srt URL of at most 2048 bytes")
}

impl FromBody for NewIngress {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        let about = "`rtmp` or `whip`: an encoder pushes. `url`: LiveKit pulls `url`.";
        let kind = fields.required_text("type", about, |text| parse_kind(&text));
        let about = "Identity of the participant: 1 to 256 bytes of UTF-8 without control characters.";
        let identity = fields.required_text("identity", about, Identity::parse_joining);
        let about = "Display name of the participant: 1 to 256 bytes of UTF-8 without control characters.";
        let name = fields.name(&["name"], about, DisplayName::parse);
        let about =
            "The `http`, `https` or `srt` URL to pull. Required for the type `url`, refused for others.";
        let has_url = fields.has("url");
        let source = fields.text("url", about, parse_url);
        match kind {
            Some(IngressKind::Url) if !has_url => fields.refuse("url", "is required for the type `url`"),
            Some(IngressKind::Rtmp | IngressKind::Whip) if has_url => {
                fields.refuse("url", "is only for the type `url`");
            }
            _ => {}
        }
        Some(Self { kind: kind?, identity: identity?, name, source })
    }
}

impl PartialSchema for NewIngress {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some("A new ingress."))
            .examples([json!({"type": "rtmp", "identity": "obs", "name": "Studio"})])
            .into()
    }
}

impl ToSchema for NewIngress {}
