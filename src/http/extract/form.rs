//! Bodies that are JSON objects, field by field.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header};
use serde_json::{Map, Value};

use super::{header_text, read_body};
use crate::{
    domain::{ErrorCode, Metadata},
    http::problem::{FieldError, Problem},
};

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
