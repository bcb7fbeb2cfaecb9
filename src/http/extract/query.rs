//! Queries, parameter by parameter.

use actix_web::HttpRequest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::http::problem::{FieldError, Problem};

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
