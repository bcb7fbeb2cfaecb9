//! Entity tags and preconditions (RFC 9110, section 13).

use actix_web::http::header::{self, HeaderMap};

use super::header_text;
use crate::{domain::ErrorCode, http::problem::Problem};

/// The entity tag of a version (RFC 9110, section 8.8.3).
pub fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// Whether `If-None-Match` names this version: the caller has it already. Weak comparison, as the RFC wants it.
pub fn none_match(headers: &HeaderMap, version: u64) -> bool {
    let Some(tags) = header_text(headers, header::IF_NONE_MATCH) else { return false };
    let wanted = etag(version);
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == wanted)
}

/// The version that `If-Match` asks for, given the present one: none where there is no such header or any version will
/// do. Strong comparison: a weak tag, or one that was never given out, matches nothing. A single version that is not the
/// present one is passed on as it is: whether it is a mismatch is decided where the change is made, which may have been
/// made already by the attempt before this one.
///
/// # Errors
/// 412 where the present version is not among several that are named, and where none is one.
pub fn if_match(headers: &HeaderMap, version: u64) -> Result<Option<u64>, Problem> {
    let Some(tags) = header_text(headers, header::IF_MATCH) else { return Ok(None) };
    let wanted = etag(version);
    let tags: Vec<_> = tags.split(',').map(str::trim).collect();
    if tags.contains(&"*") {
        return Ok(None);
    }
    if tags.contains(&wanted.as_str()) {
        return Ok(Some(version));
    }
    if let [tag] = tags[..]
        && let Some(version) = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')?.parse().ok())
    {
        return Ok(Some(version));
    }
    Err(Problem::with_detail(ErrorCode::VersionMismatch, format!("the stream is at version {version}")))
}
