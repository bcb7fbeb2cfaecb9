//! Requests about blocks: each type parses itself and describes itself for the OpenAPI document.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    domain::{BlockReason, ErrorCode, Identity, ids::NameError},
    http::{
        extract::{BodyFields, FromBody, FromQuery, QueryFields, impl_into_params},
        list_page::PageQuery,
        problem::{FieldError, Problem},
    },
};

/// Maximum `expiresIn` in seconds: one year.
const MAX_EXPIRY_SECONDS: u64 = 365 * 24 * 3_600;

/// Path of a block.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct BlockPath {
    /// The stream's id or room name.
    pub(super) id: String,
    /// Blocked identity, percent-encoded.
    identity: String,
}

impl BlockPath {
    /// Returns the identity, which may be any text that is not empty.
    pub(super) fn identity(&self) -> Result<Identity, Problem> {
        Identity::reported(self.identity.clone()).ok_or_else(|| Problem::new(ErrorCode::RouteNotFound))
    }

    /// As [`Self::identity`], of a length that LiveKit admits, which bounds what the blocks of a stream take.
    pub(super) fn new_identity(&self) -> Result<Identity, Problem> {
        let identity = self.identity()?;
        if identity.is_within_limit() {
            return Ok(identity);
        }
        Err(Problem::invalid(vec![FieldError::new("identity", NameError::TooLong)]))
    }
}

/// Body of `PUT /streams/{id}/blocks/{identity}`.
pub struct NewBlock {
    pub(super) reason: Option<BlockReason>,
    pub(super) expires_in: Option<Duration>,
}

impl FromBody for NewBlock {
    fn read(fields: &mut BodyFields) -> Option<Self> {
        let about = "Reason, which only moderators see: 1 to 256 bytes of UTF-8 without control characters.";
        let reason = fields.name(&["reason"], about, BlockReason::parse);
        let about = "Seconds after which the block ends by itself. Default: when the stream ends.";
        let expires_in = fields.integer("expiresIn", about, 1..=MAX_EXPIRY_SECONDS);
        Some(Self { reason, expires_in: expires_in.map(Duration::from_secs) })
    }
}

impl PartialSchema for NewBlock {
    fn schema() -> RefOr<Schema> {
        BodyFields::describe(Self::read)
            .description(Some("A block."))
            .examples([json!({"reason": "spam", "expiresIn": 600})])
            .into()
    }
}

impl ToSchema for NewBlock {}

/// Query of `GET /streams/{id}/blocks`.
pub struct ListBlocks(pub(super) PageQuery);

impl FromQuery for ListBlocks {
    fn read(fields: &mut QueryFields) -> Self {
        Self(PageQuery::read(fields))
    }
}

impl_into_params!(ListBlocks);
