//! Schemas of the types that have a form of their own in JSON, for the description of the protocol.

use utoipa::openapi::schema::{ObjectBuilder, SchemaType};
use utoipa::openapi::{KnownFormat, RefOr, Schema, SchemaFormat, Type};

/// A string.
pub(super) fn text(description: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description.trim())).into()
}

/// A whole number that is never negative.
pub(super) fn number(description: &str) -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(format)).minimum(Some(0)).description(Some(description)).into()
}

/// Any value.
pub(super) fn anything(description: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(description)).into()
}
