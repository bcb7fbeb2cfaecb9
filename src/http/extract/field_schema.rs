//! Schemas of the fields that bodies can have. Fields of bodies are nullable, because a null counts as an absent field.

use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, OneOfBuilder, RefOr, Schema, SchemaFormat,
        schema::{AdditionalProperties, ArrayBuilder, RefBuilder, SchemaType, Type},
    },
};

use crate::domain::ids::MAX_NAME_BYTES;

fn nullable(of: Type) -> SchemaType {
    SchemaType::from_iter([of, Type::Null])
}

pub(super) fn name(about: String) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(nullable(Type::String)).description(Some(about));
    text.min_length(Some(1)).max_length(Some(MAX_NAME_BYTES)).into()
}

pub(super) fn text(about: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(nullable(Type::String)).description(Some(about)).into()
}

pub(super) fn boolean(about: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(nullable(Type::Boolean)).description(Some(about)).into()
}

pub(super) fn list_of_strings(about: &str) -> RefOr<Schema> {
    ArrayBuilder::new()
        .schema_type(nullable(Type::Array))
        .description(Some(about))
        .items(String::schema())
        .into()
}

/// An integer. A `most` of `u64::MAX` is no bound.
pub(super) fn integer(about: &str, least: u64, most: u64) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(nullable(Type::Integer))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .description(Some(about))
        .minimum(Some(least))
        .maximum(Some(most).filter(|most| *most < u64::MAX))
        .into()
}

pub(super) fn nullable_reference<T: ToSchema>(about: &str) -> RefOr<Schema> {
    let reference = RefBuilder::new().ref_location_from_schema_name(T::name()).description(Some(about));
    let null = ObjectBuilder::new().schema_type(Type::Null);
    OneOfBuilder::new().item(reference.build()).item(null).into()
}

fn object_with(about: &str, of: SchemaType, values: RefOr<Schema>) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(of)
        .description(Some(about))
        .property_names(Some(ObjectBuilder::new().schema_type(Type::String).build()))
        .additional_properties(Some(AdditionalProperties::RefOr(values)))
}

/// An object with any values.
pub(super) fn object(about: &str) -> ObjectBuilder {
    object_with(about, nullable(Type::Object), Value::schema())
}

/// An object with any values, for a field that must not be null.
pub(super) fn required_object(about: &str) -> ObjectBuilder {
    object_with(about, Type::Object.into(), Value::schema())
}

pub(super) fn object_of_strings(about: &str) -> ObjectBuilder {
    object_with(about, nullable(Type::Object), String::schema())
}
