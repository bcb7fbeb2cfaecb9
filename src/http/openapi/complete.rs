//! What the route table knows of each operation: who may call it, what it may be refused with, and HEAD beside GET.

use serde_json::{Map, Value, json};

use crate::{
    domain::ErrorCode,
    error_mapping::ErrorMapping,
    http::{middleware::RoutePolicy, routes},
};

/// A path beside another that is served by the same handler, with its own `operationId`.
const ALIASES: [(&str, &str, &str); 2] =
    [("/webhook", "/webhooks/livekit", "receiveWebhookShort"), ("/", "/index.html", "getRoot")];

/// What any operation may be answered with.
const ALWAYS: [ErrorCode; 4] =
    [ErrorCode::Internal, ErrorCode::MethodNotAllowed, ErrorCode::BadRequest, ErrorCode::HeadersTooLarge];
/// With what a call that has to be let in may be refused.
const GUARDED: [ErrorCode; 5] = [
    ErrorCode::Unauthenticated,
    ErrorCode::Forbidden,
    ErrorCode::RateLimited,
    ErrorCode::ValidationFailed,
    ErrorCode::StoreUnavailable,
];
/// With what a call that changes something may be refused besides.
const CHANGES: [ErrorCode; 6] = [
    ErrorCode::MalformedBody,
    ErrorCode::PayloadTooLarge,
    ErrorCode::UnsupportedMediaType,
    ErrorCode::RequestTimeout,
    ErrorCode::IdempotencyInProgress,
    ErrorCode::IdempotencyMismatch,
];

/// What else an operation may be refused with.
fn own_codes(operation: &str) -> &'static [ErrorCode] {
    use ErrorCode as E;
    match operation {
        "createStream" => &[
            E::LivekitError,
            E::LivekitUnavailable,
            E::RoomExists,
            E::RoomNameLocked,
            E::OperationInProgress,
        ],
        "leaveStream" => &[E::LivekitError, E::LivekitUnavailable],
        "patchStream" | "stopStream" => &[
            E::LivekitError,
            E::LivekitUnavailable,
            E::VersionMismatch,
            E::InvalidTransition,
            E::OperationInProgress,
        ],
        "joinStream" => &[E::LivekitError, E::LivekitUnavailable, E::StreamNotActive, E::StreamFull],
        "getHistory" => &[E::InvalidCursor],
        "followEvents" | "followState" | "openWebSocket" => &[E::TooManyFeeds],
        "receiveWebhook" | "receiveWebhookShort" => &[
            E::InvalidSignature,
            E::StoreUnavailable,
            E::PayloadTooLarge,
            E::RequestTimeout,
            E::MalformedBody,
            E::StreamCreating,
        ],
        "getReady" => &[E::ShuttingDown],
        "getAsset" | "getVendorFile" | "getDocsFile" | "getMetrics" => &[E::RouteNotFound],
        _ => &[],
    }
}

fn problem(errors: &[ErrorMapping]) -> Value {
    let title = |error: &ErrorMapping| format!("`{}`: {}", error.code, error.title);
    let words: Vec<_> = errors.iter().map(title).collect();
    let example = |error: &ErrorMapping| {
        (error.code.to_owned(), json!({"$ref": format!("#/components/examples/{}", error.code)}))
    };
    let examples: Map<_, _> = errors.iter().map(example).collect();
    json!({
        "description": words.join("; "),
        "content": {"application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples,
        }},
    })
}

/// Adds the problems that an operation may be answered with, a response for each status.
fn add_problems(operation: &mut Value, path: &str, policy: Option<RoutePolicy>) {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let mut codes = [&ALWAYS, own_codes(id)].concat();
    if let Some(policy) = policy {
        codes.extend(GUARDED);
        if path.contains("{id}") || id == "followEvents" {
            codes.push(ErrorCode::StreamNotFound);
        }
        if policy.accepts_idempotency_key {
            codes.extend(CHANGES);
        }
    }
    let mut errors: Vec<_> = codes.into_iter().map(ErrorMapping::of).collect();
    errors.sort_by_key(|error| (error.http, error.code));
    errors.dedup_by_key(|error| error.code);
    for status in errors.chunk_by(|one, other| one.http == other.http) {
        let http = status.first().map_or(500, |error| error.http).to_string();
        if operation["responses"].get(&http).is_none() {
            operation["responses"][http] = problem(status);
        }
    }
}

/// The headers that answers have besides their own.
const HEADERS: [(&str, &str, &str); 8] = [
    ("x-request-id", "string", "The caller's own id of the request, or a new one"),
    ("ratelimit-limit", "integer", "How many calls of this kind the caller may make"),
    ("ratelimit-remaining", "integer", "How many are left"),
    ("ratelimit-reset", "integer", "After how many seconds there are all of them again"),
    ("idempotency-replayed", "string", "`true` where this answer was given before"),
    ("www-authenticate", "string", "RFC 6750"),
    ("allow", "string", "The methods of this path"),
    ("retry-after", "integer", "In seconds"),
];

/// What operations share: examples of all problems, and headers.
fn add_components(document: &mut Value) {
    let components = &mut document["components"];
    for (name, kind, description) in HEADERS {
        components["headers"][name] = json!({"description": description, "schema": {"type": kind}});
    }
    for code in ErrorCode::ALL {
        let mapping = ErrorMapping::of(code);
        components["examples"][mapping.code] = json!({"value": {
            "type": format!("urn:livestream-orchestrator:problem:{}", mapping.code),
            "title": mapping.title, "status": mapping.http, "detail": mapping.title, "code": mapping.code,
        }});
    }
}

/// Adds what every answer says in its head.
fn add_headers(operation: &mut Value, policy: Option<RoutePolicy>) {
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, response) in responses {
        let mut names = vec!["x-request-id"];
        if policy.is_some() {
            names.extend(["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"]);
        }
        if policy.is_some_and(|policy| policy.accepts_idempotency_key) {
            names.push("idempotency-replayed");
        }
        match status.as_str() {
            "401" => names.push("www-authenticate"),
            "405" => names.push("allow"),
            "429" | "503" => names.push("retry-after"),
            _ => {}
        }
        for name in names {
            response["headers"][name] = json!({"$ref": format!("#/components/headers/{name}")});
        }
    }
}

fn add_parameters(operation: &mut Value, policy: Option<RoutePolicy>) {
    if !policy.is_some_and(|policy| policy.accepts_idempotency_key) {
        return;
    }
    let own = operation["parameters"].as_array_mut();
    let key = json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "description": "A name for this request, made up by the caller: the same request again has the same answer, for a day",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    });
    match own {
        Some(parameters) => parameters.push(key),
        None => operation["parameters"] = json!([key]),
    }
}

/// Who may: any of the grants of any of the actions.
fn add_security(operation: &mut Value, policy: Option<RoutePolicy>) {
    let Some(policy) = policy else {
        operation["security"] = json!([]);
        return;
    };
    let mut grants: Vec<_> = policy
        .actions
        .iter()
        .flat_map(|action| action.permission().grants)
        .map(|grant| grant.as_str())
        .collect();
    grants.sort_unstable();
    grants.dedup();
    let mut security = vec![json!({"livekit": grants})];
    if policy.token_in_query {
        security.push(json!({"livekitInQuery": grants}));
    }
    operation["security"] = security.into();
    operation["x-actions"] = policy.actions.iter().map(|action| action.permission().description).collect();
}

/// The first line of a handler's words is its method and path, which the document has already: what follows is what it
/// does, and its first sentence is enough for a list.
fn summarize(operation: &mut Value) {
    let words = operation["description"].as_str().unwrap_or_default().replace('\n', " ");
    if let Some(sentence) = words.split_inclusive(". ").next().filter(|sentence| !sentence.is_empty()) {
        operation["summary"] = sentence.trim().trim_end_matches('.').into();
    }
}

/// HEAD is answered as GET would be, without the body.
fn head_of(get: &Value) -> Value {
    let mut head = get.clone();
    let id = get["operationId"].as_str().unwrap_or_default();
    head["operationId"] = format!("{id}Head").into();
    if let Some(responses) = head["responses"].as_object_mut() {
        for response in responses.values_mut().filter_map(Value::as_object_mut) {
            response.remove("content");
        }
    }
    head
}

/// What callers send: what they add to it is ignored. What this service answers has nothing besides.
const REQUESTS: [&str; 4] = ["NewStream", "StreamPatch", "Joining", "Leaving"];

fn close_answers(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    for (name, schema) in schemas {
        if schema.get("properties").is_some() && !REQUESTS.contains(&name.as_str()) {
            schema["additionalProperties"] = false.into();
        }
        if ["Joining", "Leaving"].contains(&name.as_str()) {
            let any = ["identity", "userId", "participantName"].map(|name| json!({"required": [name]}));
            schema["anyOf"] = any.as_slice().into();
        }
    }
}

/// Completes what utoipa has read off the handlers.
pub fn complete(mut document: Value) -> Value {
    document["openapi"] = "3.1.0".into();
    close_answers(&mut document);
    add_components(&mut document);
    document["components"]["securitySchemes"] = json!({
        "livekit": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "A LiveKit access token with one of the named grants. With `AUTH=off` none is needed."},
        "livekitInQuery": {"type": "apiKey", "in": "query", "name": "access_token",
            "description": "The same, for browsers' EventSource and WebSocket, which cannot set headers."},
    });
    for (alias, path, id) in ALIASES {
        let mut item = document["paths"][path].clone();
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            operation["operationId"] = id.into();
        }
        document["paths"][alias] = item;
    }
    for route in routes::table(true) {
        let item = &mut document["paths"][route.pattern];
        for (method, policy) in &route.methods {
            let method = method.as_str().to_ascii_lowercase();
            if method == "head" {
                continue;
            }
            let Some(operation) = item.get_mut(&method) else { continue };
            summarize(operation);
            add_problems(operation, route.pattern, *policy);
            add_parameters(operation, *policy);
            add_headers(operation, *policy);
            add_security(operation, *policy);
        }
        if route.methods.iter().any(|(method, _)| method == "HEAD") {
            item["head"] = head_of(&item["get"]);
        }
    }
    document
}
