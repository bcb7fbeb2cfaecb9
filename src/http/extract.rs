//! Reading requests: bodies, queries and preconditions, with every bad field named.

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    time::Duration,
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::header::{self, HeaderMap},
    web::{Bytes, BytesMut},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::StreamExt;
use serde_json::{Map, Value};

use super::{
    middleware::{Asking, Repeatable},
    problem::{FieldError, Problem},
};
use crate::domain::{ErrorCode, Metadata};

/// The most bytes that a body may have.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Reads a body of bounded size in bounded time.
///
/// # Errors
/// 413 and 408; 400 where the connection breaks off.
pub async fn read_body(request: &HttpRequest, mut payload: Payload) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("a body may have {MAX_BODY_BYTES} bytes");
        Problem::with_detail(ErrorCode::PayloadTooLarge, detail)
    };
    let declared = header_text(request.headers(), header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
    if declared.is_some_and(|length: usize| length > MAX_BODY_BYTES) {
        return Err(too_large());
    }
    let read = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::new(ErrorCode::MalformedBody))?;
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    tokio::time::timeout(BODY_TIMEOUT, read).await.map_err(|_| Problem::new(ErrorCode::RequestTimeout))?
}

/// A header's value where it is plain text.
pub fn header_text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn is_json(content_type: &str) -> bool {
    content_type.parse::<mime::Mime>().is_ok_and(|mime| {
        mime.subtype() == mime::JSON || mime.suffix() == Some(mime::JSON) && mime.type_() == mime::APPLICATION
    })
}

/// A request body that is a JSON object, or no body at all. Fields are taken out one by one; what was wrong with them is
/// collected, so that a caller hears of every bad field at once. Fields that nobody asks for are ignored.
pub struct JsonForm {
    fields: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl JsonForm {
    fn parse(body: &[u8], content_type: Option<&str>, encoding: Option<&str>) -> Result<Self, Problem> {
        let unsupported = |detail: &str| Problem::with_detail(ErrorCode::UnsupportedMediaType, detail);
        if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            return Err(unsupported("the body must not be compressed"));
        }
        let typed_otherwise = content_type.is_some_and(|content_type| !is_json(content_type));
        if typed_otherwise || (content_type.is_none() && !body.is_empty()) {
            return Err(unsupported("content-type must be application/json"));
        }
        let malformed = |detail: String| Problem::with_detail(ErrorCode::MalformedBody, detail);
        let value = if body.is_empty() {
            Value::Object(Map::new())
        } else {
            serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?
        };
        let Value::Object(fields) = value else {
            return Err(malformed("the body must be a JSON object".to_owned()));
        };
        Ok(Self { fields, errors: Vec::new() })
    }

    fn refuse(&mut self, field: &str, rule: impl std::fmt::Display) {
        self.errors.push(FieldError::new(field, rule));
    }

    /// The value of a field; null is as good as absent.
    pub fn value(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field).filter(|value| !value.is_null())
    }

    /// Whether a field was given, also as null.
    pub fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// A text that `parse` turns into something else.
    pub fn text<T, E: std::fmt::Display>(
        &mut self,
        field: &str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        let parsed = match self.value(field)? {
            Value::String(text) => parse(text).map_err(|error| error.to_string()),
            _ => Err("must be a string".to_owned()),
        };
        parsed.map_err(|rule| self.refuse(field, rule)).ok()
    }

    /// One field that goes by several names. All that are given must say the same.
    pub fn text_of<T: PartialEq, E: std::fmt::Display>(
        &mut self,
        names: &[&str],
        parse: impl Fn(String) -> Result<T, E>,
    ) -> Option<T> {
        let mut found: Option<T> = None;
        for name in names {
            match (self.text(name, &parse), &found) {
                (Some(value), Some(other)) if value != *other => {
                    self.refuse(name, "contradicts its other name");
                }
                (Some(value), None) => found = Some(value),
                _ => {}
            }
        }
        found
    }

    /// As [`Self::text_of`], for a field that must be there.
    pub fn required_text_of<T: PartialEq, E: std::fmt::Display>(
        &mut self,
        names: &[&str],
        parse: impl Fn(String) -> Result<T, E>,
    ) -> Option<T> {
        let before = self.errors.len();
        let found = self.text_of(names, parse);
        if found.is_none() && self.errors.len() == before {
            self.refuse(names.first().unwrap_or(&""), "is required");
        }
        found
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, field: &str, least: u64, most: u64) -> Option<u64> {
        let number = self.value(field)?.as_u64().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.refuse(field, format!("must be a whole number from {least} to {most}"));
        }
        number
    }

    /// A metadata object.
    pub fn metadata(&mut self, field: &str) -> Option<Metadata> {
        let value = self.value(field)?;
        Metadata::from_value(value).map_err(|rule| self.refuse(field, rule)).ok()
    }

    /// A JSON object.
    pub fn object(&mut self, field: &str) -> Option<Map<String, Value>> {
        if !self.has(field) {
            return None;
        }
        if let Some(Value::Object(object)) = self.fields.remove(field) {
            return Some(object);
        }
        self.refuse(field, "must be a JSON object");
        None
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 with every field that was refused.
    pub fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}

impl FromRequest for JsonForm {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let body = read_body(&request, payload).await?;
            let headers = request.headers();
            Self::parse(
                &body,
                header_text(headers, header::CONTENT_TYPE),
                header_text(headers, header::CONTENT_ENCODING),
            )
        })
    }
}

/// Found by [`super::middleware::guard`]: a handler on a route without it gets an error, not a caller who may do everything.
impl FromRequest for Asking {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(|| Problem::new(ErrorCode::Internal)))
    }
}

/// What makes the change of this request happen once, where the caller has asked for that.
#[derive(Default)]
pub struct Retry(pub Option<Repeatable>);

impl FromRequest for Retry {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(request.extensions().get::<Repeatable>().cloned())))
    }
}

/// The query of a request. Parameters that nobody asks for are ignored.
pub struct Query {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Query {
    /// Reads the query of a request.
    ///
    /// # Errors
    /// 400 for one that is not `application/x-www-form-urlencoded`.
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let pairs = serde_urlencoded::from_str(request.query_string())
            .map_err(|error| Problem::invalid(vec![FieldError::new("query", error)]))?;
        Ok(Self { pairs, errors: Vec::new() })
    }

    /// A parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        let mut values = self.pairs.iter().filter(|(key, _)| key == name);
        values.next().map(|(_, value)| value.as_str())
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, name: &str, least: usize, most: usize) -> Option<usize> {
        let number = self.text(name)?.parse().ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.errors.push(FieldError::new(name, format!("must be a whole number from {least} to {most}")));
        }
        number
    }

    /// A parameter that `parse` turns into something else.
    pub fn parsed<T>(&mut self, name: &str, rule: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let parsed = parse(self.text(name)?);
        if parsed.is_none() {
            self.errors.push(FieldError::new(name, rule));
        }
        parsed
    }

    /// The place in a list where a page begins, as [`page_cursor`] wrote it.
    pub fn page_cursor(&mut self) -> Option<String> {
        self.parsed("cursor", "is not a cursor of this list", |text| {
            let key = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
            let (head, rest) = key.split_once(':')?;
            let well_formed = head.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty();
            well_formed.then_some(key)
        })
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 with every parameter that was refused.
    pub fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}

/// The opaque form of a place in a list.
pub fn page_cursor(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn form(json: &str) -> JsonForm {
        JsonForm::parse(json.as_bytes(), Some("application/json; charset=utf-8"), None).unwrap()
    }

    #[test]
    fn every_bad_field_is_named() {
        let mut form = form(r#"{"n": -1, "t": 5, "m": []}"#);
        let _ = (form.integer("n", 0, 9), form.text("t", Ok::<_, String>), form.metadata("m"));
        let _ = form.required_text_of(&["a", "b"], Ok::<_, String>);
        let problem = form.finish().unwrap_err();
        let fields: Vec<_> = problem.errors().iter().map(|error| error.field.clone()).collect();
        assert_eq!(fields, ["n", "t", "m", "a"]);
    }

    #[test]
    fn names_of_one_field_must_agree() {
        let read = |json| form(json).text_of(&["a", "b"], Ok::<_, String>);
        assert_eq!(read(r#"{"b":"x"}"#), Some("x".to_owned()));
        assert_eq!(read(r#"{"a":"x","b":"x"}"#), Some("x".to_owned()));
        let mut contradiction = form(r#"{"a":"x","b":"y"}"#);
        let _ = contradiction.text_of(&["a", "b"], Ok::<_, String>);
        assert!(contradiction.finish().is_err());
    }

    #[test]
    fn what_is_json_is_decided_by_its_type() {
        for good in ["application/json", "application/merge-patch+json", "Application/JSON;charset=utf-8"] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", "json", ""] {
            assert!(!is_json(bad), "{bad}");
        }
        let code = |body: &[u8], content_type, encoding| {
            JsonForm::parse(body, content_type, encoding).err().map(|problem| problem.code())
        };
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
