//! Error responses of operations.

use serde_json::{Map, Value, json};

use crate::{domain::ErrorCode, error_mapping::ErrorMapping, http::path::Operation};

/// Errors of every operation.
const ALWAYS: [ErrorCode; 4] =
    [ErrorCode::Internal, ErrorCode::MethodNotAllowed, ErrorCode::BadRequest, ErrorCode::HeadersTooLarge];
/// Errors of every operation that admission control applies to.
const ADMISSION: [ErrorCode; 6] = [
    ErrorCode::MisdirectedRequest,
    ErrorCode::Unauthenticated,
    ErrorCode::Forbidden,
    ErrorCode::RateLimited,
    ErrorCode::ValidationFailed,
    ErrorCode::StoreUnavailable,
];
/// Errors of every operation that changes something.
const CHANGES: [ErrorCode; 8] = [
    ErrorCode::ForeignOrigin,
    ErrorCode::MalformedBody,
    ErrorCode::PayloadTooLarge,
    ErrorCode::UnsupportedMediaType,
    ErrorCode::RequestTimeout,
    ErrorCode::IdempotencyInProgress,
    ErrorCode::IdempotencyMismatch,
    ErrorCode::TooManyIdempotencyKeys,
];

/// Adds the error responses of an operation, one for each status.
pub fn add(described: &mut Value, path: &str, operation: &Operation) {
    let errors = errors_of(path, operation);
    for status in errors.chunk_by(|one, other| one.http == other.http) {
        let http = status.first().map_or(500, |error| error.http).to_string();
        if described["responses"].get(&http).is_none() {
            described["responses"][http] = response(status);
        }
    }
}

/// Collects the errors of an operation, sorted by status and code.
fn errors_of(path: &str, operation: &Operation) -> Vec<ErrorMapping> {
    let mut codes = [&ALWAYS, operation.errors].concat();
    if let Some(policy) = operation.policy {
        codes.extend(ADMISSION);
        if path.contains("{id}") {
            codes.push(ErrorCode::StreamNotFound);
        }
        if policy.actions.iter().any(|action| action.reads_stream()) {
            codes.push(ErrorCode::ParticipantBlocked);
        }
        if policy.accepts_idempotency_key {
            codes.extend(CHANGES);
        }
    }
    let mut errors: Vec<_> = codes.into_iter().map(ErrorMapping::of).collect();
    errors.sort_by_key(|error| (error.http, error.code));
    errors.dedup_by_key(|error| error.code);
    errors
}

fn response(errors: &[ErrorMapping]) -> Value {
    let titles: Vec<_> = errors.iter().map(|error| format!("`{}`: {}", error.code, error.title)).collect();
    let example = |error: &ErrorMapping| {
        (error.code.to_owned(), json!({"$ref": format!("#/components/examples/{}", error.code)}))
    };
    let examples: Map<_, _> = errors.iter().map(example).collect();
    json!({
        "description": titles.join("; "),
        "content": {"application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples,
        }},
    })
}

/// Adds an example of every problem document.
pub fn add_examples(document: &mut Value) {
    for code in ErrorCode::ALL {
        let mapping = ErrorMapping::of(code);
        document["components"]["examples"][mapping.code] = json!({"value": {
            "type": format!("urn:livestream-orchestrator:problem:{}", mapping.code),
            "title": mapping.title, "status": mapping.http, "detail": mapping.title, "code": mapping.code,
        }});
    }
}
