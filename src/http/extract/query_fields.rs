//! Parameters of a request: one definition of a parameter both parses it and describes it for the OpenAPI document.

use std::ops::RangeInclusive;

use actix_web::{HttpRequest, http::header::HeaderMap};
use utoipa::{
    ToSchema,
    openapi::{
        ObjectBuilder, Ref, RefOr, Required, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

use crate::http::problem::{FieldError, Problem};

/// Parameters of a query, and header fields that have the same purpose.
///
/// Faults are collected, so that a response names every invalid parameter. Unknown parameters are ignored. With
/// [`Self::describe`], the methods find no values and record the descriptions of the parameters instead.
pub struct QueryFields<'a> {
    pairs: Vec<(String, String)>,
    headers: Option<&'a HeaderMap>,
    errors: Vec<FieldError>,
    description: Option<Vec<Parameter>>,
}

impl<'a> QueryFields<'a> {
    /// Decodes the query of a request.
    ///
    /// # Errors
    /// 400 if the query is not `application/x-www-form-urlencoded`.
    pub(super) fn parse(request: &'a HttpRequest) -> Result<Self, Problem> {
        let pairs = serde_urlencoded::from_str(request.query_string())
            .map_err(|error| Problem::invalid(vec![FieldError::new("query", error)]))?;
        Ok(Self { pairs, headers: Some(request.headers()), errors: Vec::new(), description: None })
    }

    /// Returns the descriptions of the parameters that `read` reads.
    pub fn describe<T>(read: impl FnOnce(&mut Self) -> T) -> Vec<Parameter> {
        let mut fields =
            Self { pairs: Vec::new(), headers: None, errors: Vec::new(), description: Some(Vec::new()) };
        read(&mut fields);
        fields.description.unwrap_or_default()
    }

    fn document(
        &mut self,
        name: &str,
        about: &str,
        place: ParameterIn,
        schema: impl FnOnce() -> RefOr<Schema>,
    ) {
        if let Some(parameters) = &mut self.description {
            let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(Required::False);
            parameters.push(parameter.description(Some(about)).schema(Some(schema())).build());
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        let mut values = self.pairs.iter().filter(|(key, _)| key == name);
        values.next().map(|(_, value)| value.as_str())
    }

    fn refuse(&mut self, name: &str, rule: impl std::fmt::Display) {
        self.errors.push(FieldError::new(name, rule));
    }

    /// A text.
    pub fn text(&mut self, name: &str, about: &str) -> Option<&str> {
        self.document(name, about, ParameterIn::Query, text_schema);
        self.value(name)
    }

    /// The value of a header field, which need not be text.
    pub fn header(&mut self, name: &str, about: &str) -> Option<&'a [u8]> {
        self.document(name, about, ParameterIn::Header, text_schema);
        self.headers?.get(name).map(|value| value.as_bytes())
    }

    /// A text that `parse` converts; `rule` says which texts are accepted.
    pub fn parsed<T>(
        &mut self,
        name: &str,
        about: &str,
        rule: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.document(name, about, ParameterIn::Query, text_schema);
        self.convert(name, rule, parse)
    }

    /// A value of an enumeration; `rule` says which values are accepted.
    pub fn choice<T: ToSchema + std::str::FromStr>(
        &mut self,
        name: &str,
        about: &str,
        rule: &str,
    ) -> Option<T> {
        self.document(name, about, ParameterIn::Query, || Ref::from_schema_name(T::name()).into());
        self.convert(name, rule, |text| text.parse().ok())
    }

    fn convert<T>(&mut self, name: &str, rule: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let parsed = parse(self.value(name)?);
        if parsed.is_none() {
            self.refuse(name, rule);
        }
        parsed
    }

    /// An integer within bounds.
    pub fn integer(&mut self, name: &str, about: &str, bounds: RangeInclusive<usize>) -> Option<usize> {
        self.bounded(name, about, bounds, None)
    }

    /// An integer within bounds, with a value for an absent parameter.
    pub fn integer_or(
        &mut self,
        name: &str,
        about: &str,
        bounds: RangeInclusive<usize>,
        default: usize,
    ) -> usize {
        self.bounded(name, about, bounds, Some(default)).unwrap_or(default)
    }

    fn bounded(
        &mut self,
        name: &str,
        about: &str,
        bounds: RangeInclusive<usize>,
        default: Option<usize>,
    ) -> Option<usize> {
        let (least, most) = bounds.into_inner();
        self.document(name, about, ParameterIn::Query, || {
            let number = ObjectBuilder::new().schema_type(Type::Integer).default(default.map(Into::into));
            number.minimum(Some(least)).maximum(Some(most)).into()
        });
        let rule = || format!("must be a whole number from {least} to {most}");
        let number = self.value(name)?.parse().ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.refuse(name, rule());
        }
        number
    }

    /// Returns the request, if all its parameters are valid.
    ///
    /// # Errors
    /// 400 that names every invalid parameter.
    pub(super) fn finish<T>(self, request: T) -> Result<T, Problem> {
        if self.errors.is_empty() { Ok(request) } else { Err(Problem::invalid(self.errors)) }
    }
}

fn text_schema() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}
