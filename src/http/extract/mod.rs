//! Reading requests: bodies, queries, preconditions, and who is asking, with every bad field named.

mod body;
mod caller;
mod conditions;
mod form;
mod query;

pub use self::{
    body::{MAX_BODY_BYTES, header_text, read_body},
    caller::Retry,
    conditions::{etag, if_match, none_match},
    form::JsonForm,
    query::{Query, page_cursor},
};
