//! Fields whose value is an object with fields of its own.

use utoipa::openapi::schema::{SchemaType, Type};

use super::BodyFields;
use crate::{domain::json::Json, http::problem::FieldError};

impl BodyFields {
    /// An object that `read` reads. Its faults are named `name.field`.
    pub fn object<T>(&mut self, name: &str, about: &str, read: impl Fn(&mut Self) -> Option<T>) -> Option<T> {
        self.document(name, || {
            let nullable = SchemaType::from_iter([Type::Object, Type::Null]);
            Self::describe(&read).schema_type(nullable).description(Some(about)).into()
        });
        let members = self.take(name, |value| match value {
            Json::Object(members) => Ok(members),
            _ => Err("must be an object"),
        })?;
        let mut nested = Self::parse(members);
        let value = read(&mut nested);
        let faults = nested.errors.into_iter();
        self.errors.extend(
            faults.map(|FieldError { field, detail }| FieldError::new(&format!("{name}.{field}"), detail)),
        );
        value
    }
}
