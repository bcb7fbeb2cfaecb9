//! Pages of lists: `limit` and `cursor` of the request, `Link` and `ETag` of the response. A page ends at
//! [`MAX_MESSAGE_BYTES`].

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, ETag, EntityTag},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    extract::{IfNoneMatch, QueryFields},
    problem::Problem,
};
use crate::{
    domain::{ErrorCode, size::MAX_MESSAGE_BYTES},
    store::{Listed, Page},
};

/// Entries of a page, unless the request has a `limit`.
pub const DEFAULT_LIMIT: usize = 100;
/// Maximum entries of a page.
pub const MAX_LIMIT: usize = 1_000;

/// Page of a list that a request asks for.
pub struct PageQuery {
    pub(super) limit: usize,
    /// List key after which the page begins; `None` for the first page.
    pub(super) cursor: Option<String>,
}

impl PageQuery {
    /// Takes the page's parameters from the query.
    pub fn read(fields: &mut QueryFields) -> Self {
        let limit = fields.integer_or("limit", "Maximum number of entries.", 1..=MAX_LIMIT, DEFAULT_LIMIT);
        let about = "Start of the page, from the `Link` header of the previous page.";
        let cursor = fields.parsed("cursor", about, "is not a cursor of this list", decode_cursor);
        Self { limit, cursor }
    }
}

/// Encodes a list key as an opaque cursor.
pub fn encode_cursor(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// Decodes a list key: decimal digits, a colon and more text.
fn decode_cursor(text: &str) -> Option<String> {
    let key = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (head, rest) = key.split_once(':')?;
    let is_list_key = head.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty();
    is_list_key.then_some(key)
}

/// Renders entries as a JSON array of at most [`MAX_MESSAGE_BYTES`], but at least one entry. Returns the array and its
/// number of entries.
///
/// # Errors
/// 500 if an entry cannot be serialised.
pub fn render<T: Serialize>(entries: &[T]) -> Result<(Vec<u8>, usize), Problem> {
    let mut body = vec![b'['];
    for (count, entry) in entries.iter().enumerate() {
        let end = body.len();
        if count > 0 {
            body.push(b',');
        }
        serde_json::to_writer(&mut body, entry).map_err(|_| Problem::new(ErrorCode::Internal))?;
        if count > 0 && body.len() + "]".len() > MAX_MESSAGE_BYTES {
            body.truncate(end);
            body.push(b']');
            return Ok((body, count));
        }
    }
    body.push(b']');
    Ok((body, entries.len()))
}

/// Builds the response with a page, or 304 if the client has the page. `Link` names the next page (RFC 8288).
///
/// The entity tag is weak and made from the body, because a page has no version and no change can name it.
///
/// # Errors
/// 500 if an entry cannot be serialised.
pub fn respond<T: Serialize + Listed>(
    request: &HttpRequest,
    stored: &IfNoneMatch,
    page: &Page<T>,
) -> Result<HttpResponse, Problem> {
    let (body, count) = render(&page.items)?;
    let cut_after = page.items[..count].last().filter(|_| count < page.items.len()).map(Listed::list_key);
    let tag = EntityTag::new_weak(format!("{:032x}", xxh3_128(&body)));
    let is_stored = stored.matches(&tag);
    let mut response = if is_stored { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    if let Some(next) = cut_after.as_ref().or(page.next.as_ref()) {
        response.insert_header((header::LINK, next_link(request, "cursor", &encode_cursor(next))));
    }
    response.insert_header(ETag(tag));
    if is_stored {
        return Ok(response.finish());
    }
    Ok(response.content_type(mime::APPLICATION_JSON).body(body))
}

/// Builds the `Link` header: the request's own address with the start of the next page as `parameter`, and without an
/// access token.
pub fn next_link(request: &HttpRequest, parameter: &str, next: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let given = url::form_urlencoded::parse(request.query_string().as_bytes());
    query.extend_pairs(given.filter(|(name, _)| name != parameter && name != "access_token"));
    query.append_pair(parameter, next);
    format!("<{}?{}>; rel=\"next\"", request.path(), query.finish())
}
