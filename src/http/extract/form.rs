//! Bodies that are JSON objects, field by field.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    future::Future,
    pin::Pin,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header};

use super::{MAX_BODY_BYTES, header_text, read_body};
use crate::{
    domain::{
        Attributes, ErrorCode, Metadata, MetadataPatch,
        json::{Json, Members},
    },
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
    fields: BTreeMap<String, Json>,
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
        let text = if body.is_empty() { b"{}" } else { body };
        let text = std::str::from_utf8(text).map_err(|error| malformed(error.to_string()))?;
        match Json::parse(text).map_err(|error| malformed(error.to_string()))? {
            Json::Object(members) => Ok(Self::of(members)),
            _ => Err(malformed("the body must be a JSON object".to_owned())),
        }
    }

    fn of(members: Members) -> Self {
        let mut form = Self { fields: BTreeMap::new(), errors: Vec::new() };
        for (name, value) in members {
            match form.fields.entry(name) {
                Entry::Vacant(field) => {
                    field.insert(value);
                }
                Entry::Occupied(field) => form.errors.push(FieldError::new(field.key(), "is given twice")),
            }
        }
        form
    }

    fn refuse(&mut self, field: &str, rule: impl std::fmt::Display) {
        self.errors.push(FieldError::new(field, rule));
    }

    /// The value of a field; null is as good as absent.
    fn value(&mut self, field: &str) -> Option<Json> {
        self.fields.remove(field).filter(|value| !value.is_null())
    }

    /// A field whose value `parse` turns into something else.
    fn parsed<T, E: std::fmt::Display>(
        &mut self,
        field: &str,
        parse: impl FnOnce(Json) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.value(field)?;
        parse(value).map_err(|rule| self.refuse(field, rule)).ok()
    }

    /// A text that `parse` turns into something else.
    pub fn text<T, E: std::fmt::Display>(
        &mut self,
        field: &str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        self.parsed(field, |value| match value.as_string() {
            Some(text) => parse(text).map_err(|error| error.to_string()),
            None => Err("must be a string".to_owned()),
        })
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
        self.parsed(field, |value| {
            let number = value.as_u64().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
        })
    }

    /// A metadata object.
    pub fn metadata(&mut self, field: &str) -> Option<Metadata> {
        self.parsed(field, Metadata::from_json)
    }

    /// A merge patch of a metadata object. A null is refused: it would remove the metadata itself.
    pub fn metadata_patch(&mut self, field: &str) -> Option<MetadataPatch> {
        let value = self.fields.remove(field)?;
        MetadataPatch::from_json(value).map_err(|rule| self.refuse(field, rule)).ok()
    }

    /// LiveKit's attributes: an object of strings.
    pub fn attributes(&mut self, field: &str) -> Option<Attributes> {
        self.parsed(field, |value| {
            let Json::Object(members) = value else { return Err("must be an object of strings".to_owned()) };
            let mut attributes = BTreeMap::new();
            for (key, value) in members {
                let Some(value) = value.as_string() else {
                    return Err(format!("must be an object of strings; {key:?} is none"));
                };
                if attributes.insert(key.clone(), value).is_some() {
                    return Err(format!("has the key {key:?} twice"));
                }
            }
            Attributes::parse(attributes).map_err(|rule| rule.to_string())
        })
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
            let body = read_body(&request, payload, MAX_BODY_BYTES).await?;
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
    fn repeated_fields_and_keys_are_refused() {
        let mut form = form(r#"{"a":1,"a":2,"m":{"x":{"y":1,"y":2}},"t":{"k":"v","k":"w"}}"#);
        let _ = (form.metadata("m"), form.attributes("t"));
        let problem = form.finish().unwrap_err();
        let fields: Vec<_> = problem.errors().iter().map(|error| error.field.clone()).collect();
        assert_eq!(fields, ["a", "m", "t"]);
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
