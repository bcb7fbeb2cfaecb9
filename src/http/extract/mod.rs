//! Extractors: bodies, queries, paths, preconditions and the request context.

mod body;
mod body_fields;
mod conditions;
mod field_schema;
mod json_body;
mod json_object;
mod query;
mod query_fields;
mod retry;

pub(super) use self::query::impl_into_params;
pub use self::{
    body::{MAX_BODY_BYTES, header_text, read_body, read_reserved_body},
    body_fields::BodyFields,
    conditions::{IfMatch, IfNoneMatch, version_tag},
    json_body::{FromBody, JsonBody},
    query::{AccessToken, EndpointPath, FilePath, FromQuery, Query, StreamPath},
    query_fields::QueryFields,
    retry::{IdempotencyContext, Retry},
};
