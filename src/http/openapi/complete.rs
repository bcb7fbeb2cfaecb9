//! Completes the document with what the route table knows: permissions, errors, response headers, and HEAD requests.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{headers, problems};
use crate::http::{middleware::RoutePolicy, path::Operation, routes};

/// Paths with the handlers of another path: the path, the other path, and the `operationId`.
const ALIASES: [(&str, &str, &str); 2] =
    [("/webhook", "/webhooks/livekit", "receiveWebhookShort"), ("/", "/index.html", "getRoot")];

/// Completes the document that utoipa has made from the handlers.
pub fn complete(mut document: Value) -> Value {
    document["openapi"] = "3.1.0".into();
    merge_composed_schemas(&mut document);
    close_response_schemas(&mut document);
    problems::add_examples(&mut document);
    headers::add_components(&mut document);
    add_security_schemes(&mut document);
    add_aliases(&mut document);
    for route in routes::table(true) {
        let item = &mut document["paths"][route.pattern];
        for operation in &route.operations {
            complete_operation(item, route.pattern, operation);
        }
        if route.operations.iter().any(|operation| operation.method == "HEAD") {
            item["head"] = head_of(&item["get"]);
        }
    }
    document
}

fn complete_operation(item: &mut Value, path: &str, operation: &Operation) {
    let Some(described) = item.get_mut(operation.method.as_str().to_ascii_lowercase()) else { return };
    summarize(described);
    problems::add(described, path, operation);
    add_idempotency_key(described, operation.policy);
    headers::add(described, operation.policy);
    add_security(described, operation.policy);
}

/// Collects the names of the schemas to which a value refers directly.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
            found.extend(name.map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// Gives a schema that consists of another one and of more properties (`allOf`, of a flattened field) all of them
/// itself, because a schema that allows no other properties cannot be a part of another one.
fn merge_composed_schemas(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    let all = schemas.clone();
    for schema in schemas.values_mut() {
        let Some(Value::Array(parts)) = schema.as_object_mut().and_then(|schema| schema.remove("allOf"))
        else {
            continue;
        };
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for part in &parts {
            let other = part["$ref"].as_str().and_then(|path| all.get(path.rsplit('/').next()?));
            let part = other.unwrap_or(part);
            properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
            required.extend(part["required"].as_array().cloned().unwrap_or_default());
        }
        schema["type"] = "object".into();
        schema["properties"] = properties.into();
        schema["required"] = required.into();
    }
}

/// Declares that responses have no other properties. Requests may have any, because the service ignores them.
fn close_response_schemas(document: &mut Value) {
    let mut requests = BTreeSet::new();
    let items = document["paths"].as_object().into_iter().flat_map(Map::values);
    let operations = items.filter_map(Value::as_object).flat_map(Map::values);
    operations.for_each(|operation| references(&operation["requestBody"], &mut requests));
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    for (name, schema) in schemas {
        if schema.get("properties").is_some() && !requests.contains(name) {
            schema["additionalProperties"] = false.into();
        }
    }
}

fn add_security_schemes(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({
        "livekit": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "A LiveKit access token with one of the named grants. With `AUTH=off`, no token is \
                required."},
        "livekitInQuery": {"type": "apiKey", "in": "query", "name": "access_token",
            "description": "The same token, for `EventSource` and `WebSocket` in browsers, which cannot set headers."},
    });
}

fn add_aliases(document: &mut Value) {
    for (alias, path, id) in ALIASES {
        let mut item = document["paths"][path].clone();
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            operation["operationId"] = id.into();
        }
        document["paths"][alias] = item;
    }
}

/// Sets the summary to the first sentence of the description.
fn summarize(operation: &mut Value) {
    let description = operation["description"].as_str().unwrap_or_default().replace('\n', " ");
    let sentence = description.split_inclusive(". ").next().filter(|sentence| !sentence.is_empty());
    if let Some(sentence) = sentence {
        operation["summary"] = sentence.trim().trim_end_matches('.').into();
    }
}

/// Adds the `Idempotency-Key` parameter to operations that accept it.
fn add_idempotency_key(operation: &mut Value, policy: Option<RoutePolicy>) {
    if !policy.is_some_and(|policy| policy.accepts_idempotency_key) {
        return;
    }
    let key = json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "description": "A unique name for this request, chosen by the client. For a day, the same request with \
            the same key is executed once. A repetition has the first status, and the stream as it is now.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    });
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.push(key),
        None => operation["parameters"] = json!([key]),
    }
}

/// Adds the grants of an operation: a token needs any grant of any of its actions.
fn add_security(operation: &mut Value, policy: Option<RoutePolicy>) {
    let Some(policy) = policy else {
        operation["security"] = json!([]);
        return;
    };
    let grants = policy.actions.iter().flat_map(|action| action.permission().grants);
    let grants: BTreeSet<_> = grants.map(|grant| grant.as_str()).collect();
    let mut security = vec![json!({"livekit": grants})];
    if policy.token_in_query {
        security.push(json!({"livekitInQuery": grants}));
    }
    operation["security"] = security.into();
    operation["x-actions"] = policy.actions.iter().map(|action| action.permission().description).collect();
}

/// Derives the HEAD operation of a path: the responses of GET without their bodies.
fn head_of(get: &Value) -> Value {
    let mut head = get.clone();
    let id = get["operationId"].as_str().unwrap_or_default();
    head["operationId"] = format!("{id}Head").into();
    let responses = head["responses"].as_object_mut().into_iter().flat_map(Map::values_mut);
    responses.filter_map(Value::as_object_mut).for_each(|response| {
        response.remove("content");
    });
    head
}
