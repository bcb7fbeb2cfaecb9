//! Reading requests: bodies, queries, preconditions, and who is asking, with every bad field named.

mod body;
mod conditions;
mod form;
mod query;
mod retry;

pub use self::{
    body::{MAX_BODY_BYTES, header_text, read_body},
    conditions::{etag, if_match, none_match},
    form::JsonForm,
    query::{Query, page_cursor},
    retry::{Repeatable, Retry},
};
