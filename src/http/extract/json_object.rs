//! JSON objects: checks the media type of a body and parses it.

use actix_web::http::header::{self, HeaderMap};

use super::header_text;
use crate::{
    domain::{
        ErrorCode,
        json::{Json, Members},
    },
    http::problem::Problem,
};

/// Reports whether a media type is JSON: `application/json`, `application/*+json` or `*/json`.
fn is_json(content_type: &str) -> bool {
    content_type.parse::<mime::Mime>().is_ok_and(|mime| {
        mime.subtype() == mime::JSON || mime.suffix() == Some(mime::JSON) && mime.type_() == mime::APPLICATION
    })
}

/// Parses a body that is a JSON object; an absent body counts as `{}`.
///
/// # Errors
/// 415 for a compressed body and for any other media type; 400 for malformed JSON and for JSON that is not an object.
pub(super) fn parse(body: &[u8], headers: &HeaderMap) -> Result<Members, Problem> {
    require_plain_json(body, headers)?;
    let malformed = |detail: String| Problem::with_detail(ErrorCode::MalformedBody, detail);
    let text = if body.is_empty() { b"{}" } else { body };
    let text = std::str::from_utf8(text).map_err(|error| malformed(error.to_string()))?;
    match Json::parse(text).map_err(|error| malformed(error.to_string()))? {
        Json::Object(members) => Ok(members),
        _ => Err(malformed("the body must be a JSON object".to_owned())),
    }
}

fn require_plain_json(body: &[u8], headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported = |detail: &str| Err(Problem::with_detail(ErrorCode::UnsupportedMediaType, detail));
    let encoding = header_text(headers, header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return unsupported("the body must not be compressed");
    }
    match header_text(headers, header::CONTENT_TYPE) {
        Some(content_type) if !is_json(content_type) => unsupported("content-type must be application/json"),
        None if !body.is_empty() => unsupported("content-type must be application/json"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn code(
        body: &[u8],
        content_type: Option<&'static str>,
        encoding: Option<&'static str>,
    ) -> Option<ErrorCode> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::CONTENT_TYPE, content_type), (header::CONTENT_ENCODING, encoding)] {
            value.map(|value| headers.insert(name, HeaderValue::from_static(value)));
        }
        parse(body, &headers).err().map(|problem| problem.code())
    }

    #[test]
    fn media_type_json_and_json_suffix_are_accepted() {
        for good in ["application/json", "application/merge-patch+json", "Application/JSON;charset=utf-8"] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", "json", ""] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    #[test]
    fn body_without_json_type_or_object_is_refused() {
        assert_eq!(code(b"", None, None), None);
        assert_eq!(code(b"{}", None, None), Some(ErrorCode::UnsupportedMediaType));
        assert_eq!(
            code(b"{}", Some("application/json"), Some("gzip")),
            Some(ErrorCode::UnsupportedMediaType)
        );
        assert_eq!(code(b"[]", Some("application/json"), None), Some(ErrorCode::MalformedBody));
        assert_eq!(code(b"{", Some("application/json"), None), Some(ErrorCode::MalformedBody));
    }
}
