//! Fields of a JSON body: one definition of a field both parses it and describes it for the OpenAPI document.

mod nested;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt::Display,
    ops::RangeInclusive,
    str::FromStr,
};

use serde_json::json;
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, extensions::Extensions},
};

use super::field_schema;
use crate::{
    domain::{
        Attributes, Metadata, MetadataPatch,
        json::{Json, Members},
    },
    http::problem::{FieldError, Problem},
};

/// Fields of a JSON object.
///
/// Each method takes one field out of the object and collects its fault, so that a response names every invalid field.
/// Fields that no method takes are ignored. With [`Self::describe`], the methods find no values and record the schemas
/// of the fields instead.
pub struct BodyFields {
    values: BTreeMap<String, Json>,
    errors: Vec<FieldError>,
    description: Option<ObjectBuilder>,
}

impl BodyFields {
    pub(super) fn parse(members: Members) -> Self {
        let mut fields = Self { values: BTreeMap::new(), errors: Vec::new(), description: None };
        for (name, value) in members {
            match fields.values.entry(name) {
                Entry::Vacant(field) => {
                    field.insert(value);
                }
                Entry::Occupied(field) => fields.errors.push(FieldError::new(field.key(), "is given twice")),
            }
        }
        fields
    }

    /// Returns the schema of the object that `read` reads.
    pub fn describe<T>(read: impl FnOnce(&mut Self) -> Option<T>) -> ObjectBuilder {
        let description = Some(ObjectBuilder::new());
        let mut fields = Self { values: BTreeMap::new(), errors: Vec::new(), description };
        read(&mut fields);
        fields.description.unwrap_or_default()
    }

    fn document(&mut self, name: &str, schema: impl FnOnce() -> RefOr<Schema>) {
        if let Some(description) = self.description.take() {
            self.description = Some(description.property(name, schema()));
        }
    }

    /// Reports whether a field has a value.
    pub fn has(&self, field: &str) -> bool {
        self.values.get(field).is_some_and(|value| !value.is_null())
    }

    /// Records that a field breaks a rule.
    pub fn refuse(&mut self, field: &str, rule: impl Display) {
        self.errors.push(FieldError::new(field, rule));
    }

    /// Takes a value and converts it. A null counts as an absent field.
    fn take<T, E: Display>(&mut self, name: &str, parse: impl FnOnce(Json) -> Result<T, E>) -> Option<T> {
        let value = self.values.remove(name).filter(|value| !value.is_null())?;
        parse(value).map_err(|rule| self.refuse(name, rule)).ok()
    }

    fn take_text<T, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        self.take(name, |value| match value.as_string() {
            Some(text) => parse(text).map_err(|error| error.to_string()),
            None => Err("must be a string".to_owned()),
        })
    }

    /// A name of 1 to 256 bytes, whose field has several names. All names that are present must have the same value.
    pub fn name<T: PartialEq, E: Display>(
        &mut self,
        names: &[&str],
        about: &str,
        parse: impl Fn(String) -> Result<T, E>,
    ) -> Option<T> {
        let mut found: Option<T> = None;
        for (index, name) in names.iter().enumerate() {
            self.document(name, || {
                field_schema::name(if index == 0 { about.to_owned() } else { alias_of(names) })
            });
            match (self.take_text(name, &parse), &found) {
                (Some(value), Some(other)) if value != *other => {
                    self.refuse(name, "contradicts its other name");
                }
                (Some(value), None) => found = Some(value),
                _ => {}
            }
        }
        found
    }

    /// As [`Self::name`], for a required field.
    pub fn required_name<T: PartialEq, E: Display>(
        &mut self,
        names: &[&str],
        about: &str,
        parse: impl Fn(String) -> Result<T, E>,
    ) -> Option<T> {
        let faults = self.errors.len();
        let found = self.name(names, about, parse);
        if found.is_none() && self.errors.len() == faults {
            self.refuse(names.first().unwrap_or(&""), "is required");
        }
        if let Some(description) = self.description.take() {
            let one_of_them: Vec<_> = names.iter().map(|name| json!({"required": [name]})).collect();
            // utoipa's object has no `anyOf` of its own. An extension is written as it is.
            self.description =
                Some(description.extensions(Some(Extensions::from_iter([("anyOf", one_of_them)]))));
        }
        found
    }

    /// A text.
    pub fn text<T, E: Display>(
        &mut self,
        name: &str,
        about: &str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        self.document(name, || field_schema::text(about));
        self.take_text(name, parse)
    }

    /// As [`Self::text`], for a required field.
    pub fn required_text<T, E: Display>(
        &mut self,
        name: &str,
        about: &str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        let faults = self.errors.len();
        let found = self.text(name, about, parse);
        if found.is_none() && self.errors.len() == faults {
            self.refuse(name, "is required");
        }
        self.description = self.description.take().map(|description| description.required(name));
        found
    }

    /// A value of an enumeration; `rule` says which values are accepted.
    pub fn choice<T: FromStr + ToSchema>(
        &mut self,
        name: &str,
        about: &str,
        rule: &'static str,
    ) -> Option<T> {
        self.document(name, || field_schema::nullable_reference::<T>(about));
        self.take_text(name, |text| text.parse().map_err(|_| rule))
    }

    /// A field that a request cannot change, not even by null. It is not part of the schema.
    pub fn unchangeable(&mut self, name: &str) {
        if self.values.remove(name).is_some() {
            self.refuse(name, "cannot be changed");
        }
    }

    /// An integer within bounds.
    pub fn integer(&mut self, name: &str, about: &str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let (least, most) = bounds.into_inner();
        self.document(name, || field_schema::integer(about, least, most));
        self.take(name, |value| {
            let number = value.as_u64().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
        })
    }

    /// A list of texts.
    pub fn list<T, E: Display>(
        &mut self,
        name: &str,
        about: &str,
        parse: impl Fn(String) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        self.document(name, || field_schema::list_of_strings(about));
        self.take(name, |value| {
            let Json::Array(items) = value else { return Err("must be a list of strings".to_owned()) };
            let text = |item: Json| item.as_string().ok_or("must be a list of strings".to_owned());
            let parsed = |item| parse(text(item)?).map_err(|rule| format!("has an item that {rule}"));
            items.into_iter().map(parsed).collect()
        })
    }

    /// Removes a null, and reports whether the field had it. For a field of a merge patch, which null resets.
    pub fn take_null(&mut self, name: &str) -> bool {
        let is_null = self.values.get(name).is_some_and(Json::is_null);
        if is_null {
            self.values.remove(name);
        }
        is_null
    }

    /// A boolean.
    pub fn flag(&mut self, name: &str, about: &str) -> Option<bool> {
        self.document(name, || field_schema::boolean(about));
        self.take(name, |value| value.as_bool().ok_or("must be true or false"))
    }

    /// A metadata object.
    pub fn metadata(&mut self, name: &str, about: &str) -> Option<Metadata> {
        self.document(name, || field_schema::object(about).into());
        self.take(name, Metadata::from_json)
    }

    /// A metadata object of at most `max` bytes.
    pub fn bounded_metadata(&mut self, name: &str, about: &str, max: usize) -> Option<Metadata> {
        self.document(name, || field_schema::object(about).into());
        self.take(name, |value| {
            let metadata = Metadata::from_json(value).map_err(|rule| rule.to_string())?;
            let is_small = metadata.as_text().len() <= max;
            is_small.then_some(metadata).ok_or_else(|| format!("must be at most {max} bytes as JSON text"))
        })
    }

    /// A merge patch of a metadata object. Null is refused, because as a merge patch it removes the metadata itself.
    pub fn metadata_patch(&mut self, name: &str, about: &str) -> Option<MetadataPatch> {
        self.document(name, || field_schema::required_object(about).into());
        let value = self.values.remove(name)?;
        MetadataPatch::from_json(value).map_err(|rule| self.refuse(name, rule)).ok()
    }

    /// LiveKit attributes: an object of strings.
    pub fn attributes(&mut self, name: &str, about: &str) -> Option<Attributes> {
        self.document(name, || field_schema::object_of_strings(about).into());
        self.take(name, parse_attributes)
    }

    /// Returns the request, if all its fields are valid.
    ///
    /// # Errors
    /// 400 that names every invalid field.
    pub(super) fn finish<T>(self, request: Option<T>) -> Result<T, Problem> {
        request.filter(|_| self.errors.is_empty()).ok_or_else(|| Problem::invalid(self.errors))
    }
}

fn alias_of(names: &[&str]) -> String {
    format!("Another name of `{}`.", names.first().unwrap_or(&""))
}

fn parse_attributes(value: Json) -> Result<Attributes, String> {
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
}

#[cfg(test)]
mod tests;
