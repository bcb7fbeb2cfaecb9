//! Requests about broadcasts: each type parses itself and describes itself for the OpenAPI document.

use serde::Deserialize;
use serde_json::json;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    domain::{
        EgressId, PathTemplate, RtmpAddress,
        rtmp_target::{MAX_KEPT_TARGETS, MAX_TARGETS},
    },
    http::extract::{BodyFields, FromBody},
    orchestrator::{BroadcastOrder, HlsOrder, TargetSelector},
};

/// Duration of an HLS segment in seconds, unless a request has another one.
const SEGMENT_SECONDS: u32 = 6;
/// Maximum duration of an HLS segment in seconds.
const MAX_SEGMENT_SECONDS: u64 = 60;

/// Path of a broadcast.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path, rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct BroadcastPath {
    /// The stream's id or room name.
    pub(super) id: String,
    /// Id of the broadcast.
    broadcast_id: String,
}

impl BroadcastPath {
    pub(super) fn broadcast_id(&self) -> EgressId {
        self.broadcast_id.as_str().into()
    }
}

/// Body of `POST /streams/{id}/broadcasts`.
pub struct NewBroadcast(pub(super) BroadcastOrder);

/// Body of `PATCH /streams/{id}/broadcasts/{broadcastId}`.
pub struct PatchBroadcast {
    pub(super) add: Vec<RtmpAddress>,
    pub(super) remove: Vec<TargetSelector>,
}

fn read_addresses(fields: &mut BodyFields, name: &str, about: &str) -> Vec<RtmpAddress> {
    let mut addresses: Vec<RtmpAddress> = Vec::new();
    for address in fields.list(name, about, RtmpAddress::parse).unwrap_or_default() {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.len() > MAX_TARGETS {
        fields.refuse(name, format!("must have at most {MAX_TARGETS} addresses"));
    }
    addresses
}

fn read_hls(fields: &mut BodyFields) -> Option<HlsOrder> {
    let about = "Path of the playlist in the deployment's storage. `{stream}`, `{room}` and `{time}` are replaced; \
                 `.m3u8` is appended if it is missing. Default: one of its own.";
    let path = fields.text("path", about, |text| text.parse::<PathTemplate>());
    let about = "Duration of a segment in seconds. Default: 6.";
    let seconds = fields.integer("segmentSeconds", about, 1..=MAX_SEGMENT_SECONDS);
    let segment_seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(SEGMENT_SECONDS);
    Some(HlsOrder { path, segment_seconds })
}

/// The rule does not quote the text, which may be an address with its key.
fn parse_selector(text: String) -> Result<TargetSelector, &'static str> {
    match text.parse() {
        Ok(id) => Ok(TargetSelector::Id(id)),
        Err(_) => {
            let address =
                RtmpAddress::parse(text).map_err(|_| "must be the id or the address of an output")?;
            Ok(TargetSelector::Address(address))
        }
    }
}

impl FromBody for NewBroadcast {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        let has_output = fields.has("hls") || fields.has("rtmp");
        let about = "HLS in the deployment's storage; `{}` takes the defaults.";
        let hls = fields.object("hls", about, read_hls);
        let about = "RTMP addresses with their stream keys: `rtmp://host/app/key` or `rtmps://…`, at most 8.";
        let rtmp = read_addresses(fields, "rtmp", about);
        if !has_output || hls.is_none() && rtmp.is_empty() && !fields.has("hls") {
            fields.refuse("rtmp", "or hls is required");
        }
        Some(Self(BroadcastOrder { hls, rtmp }))
    }
}

impl PartialSchema for NewBroadcast {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some("A new broadcast with at least one output."))
            .examples([json!({"rtmp": ["rtmp://a.rtmp.youtube.com/live2/abcd-1234"], "hls": {}})])
            .into()
    }
}

impl ToSchema for NewBroadcast {}

impl FromBody for PatchBroadcast {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        let about = "RTMP addresses to add, with their stream keys.";
        let add = read_addresses(fields, "add", about);
        let about = "Outputs to remove, by their ids or whole addresses.";
        let remove = fields.list("remove", about, parse_selector).unwrap_or_default();
        if remove.len() > MAX_KEPT_TARGETS {
            fields.refuse("remove", format!("must have at most {MAX_KEPT_TARGETS} outputs"));
        }
        Some(Self { add, remove })
    }
}

impl PartialSchema for PatchBroadcast {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some("A change of RTMP outputs."))
            .examples([json!({"add": ["rtmp://live.twitch.tv/app/abcd-1234"], "remove": ["1"]})])
            .into()
    }
}

impl ToSchema for PatchBroadcast {}
