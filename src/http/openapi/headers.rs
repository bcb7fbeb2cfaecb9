//! Response headers. Each is described once; operations refer to it.

use serde_json::{Map, Value, json};

use crate::http::middleware::RoutePolicy;

/// Response headers: name, type and description.
const HEADERS: [(&str, &str, &str); 12] = [
    ("allow", "string", "The methods of this path."),
    ("etag", "string", "Entity tag of the response. For a stream, it is the version that `If-Match` takes."),
    (
        "idempotency-replayed",
        "string",
        "`true` if the request was executed earlier and this response changed nothing.",
    ),
    ("last-event-id", "string", "Cursor after which a feed continues from this response."),
    ("link", "string", "The next page, as `rel=\"next\"` (RFC 8288)."),
    ("location", "string", "Path of the created stream."),
    (
        "ratelimit-limit",
        "integer",
        "Number of requests of this kind that the client may make. A read counts once more for each 64 KiB of its \
         response.",
    ),
    ("ratelimit-remaining", "integer", "Number of requests that are left."),
    ("ratelimit-reset", "integer", "Seconds until all requests are available again."),
    ("retry-after", "integer", "Seconds to wait before the next attempt."),
    ("www-authenticate", "string", "The authentication challenge (RFC 6750)."),
    ("x-request-id", "string", "Id of the request: the one that the client sent, or a new one."),
];

/// Adds the descriptions of all response headers.
pub fn add_components(document: &mut Value) {
    for (name, kind, description) in HEADERS {
        document["components"]["headers"][name] =
            json!({"description": description, "schema": {"type": kind}});
    }
}

/// Adds the headers of each response of an operation; those that a handler declares are replaced by references.
pub fn add(operation: &mut Value, policy: Option<RoutePolicy>) {
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, response) in responses {
        let declared = response["headers"].as_object().into_iter().flat_map(Map::keys).cloned();
        let mut names: Vec<String> = declared.collect();
        names.extend(common(status, policy).into_iter().map(str::to_owned));
        for name in names {
            response["headers"][&name] = json!({"$ref": format!("#/components/headers/{name}")});
        }
    }
}

/// Returns the headers that the middleware and the problem documents add to a response.
fn common(status: &str, policy: Option<RoutePolicy>) -> Vec<&'static str> {
    let mut names = vec!["x-request-id"];
    if policy.is_some() {
        names.extend(["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"]);
    }
    if policy.is_some_and(|policy| policy.accepts_idempotency_key) {
        names.push("idempotency-replayed");
    }
    match status {
        "401" => names.push("www-authenticate"),
        "405" => names.push("allow"),
        "429" | "503" => names.push("retry-after"),
        "409" if policy.is_some_and(|policy| policy.accepts_idempotency_key) => names.push("retry-after"),
        _ => {}
    }
    names
}
