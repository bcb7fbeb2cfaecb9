//! The bundled client: files from `static/`, embedded in the binary.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Path},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{app_state::AppState, problem::Problem};
use crate::domain::ErrorCode;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Files;

/// This server's copy of the LiveKit browser library. `scripts/vendor` puts it there before the build.
const LIBRARY: &str = "vendor/livekit-client.umd.js";
/// Where the LiveKit browser library is fetched from when this server has no copy. The page has its hash.
const FALLBACK_CDN: &str = " https://cdn.jsdelivr.net";

/// Only what the pages need: their own files, this API, LiveKit, and the pinned CDN where this server has no copy of
/// the LiveKit browser library.
fn content_security_policy(livekit: &str, has_library: bool) -> String {
    let http = livekit.replacen("ws", "http", 1);
    let cdn = if has_library { "" } else { FALLBACK_CDN };
    format!(
        "default-src 'none'; script-src 'self'{cdn}; style-src 'self'; img-src 'self' data:; \
         media-src 'self' blob:; connect-src 'self' {livekit} {http}; font-src 'self'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'"
    )
}

fn serve(api: &AppState, request: &HttpRequest, name: &str) -> Result<HttpResponse, Problem> {
    let Some(EmbeddedFile { data, metadata, .. }) = Files::get(name) else {
        return Err(Problem::new(ErrorCode::RouteNotFound));
    };
    let tag = format!(
        "\"{}\"",
        metadata.sha256_hash().iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>()
    );
    let known =
        request.headers().get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let policy = content_security_policy(&api.livekit_public_url, Files::get(LIBRARY).is_some());
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::ETAG, tag))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy));
    if known {
        return Ok(response.finish());
    }
    Ok(response.content_type(mime_guess::from_path(name).first_or_octet_stream()).body(data.into_owned()))
}

/// `GET /index.html`
///
/// The list of streams.
#[utoipa::path(
    get, path = "/index.html", operation_id = "getIndex", tag = "pages",
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 304, description = "The caller has it"),
    )
)]
pub async fn index(api: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    serve(&api, &request, "index.html")
}

/// `GET /room.html`
///
/// One stream.
#[utoipa::path(
    get, path = "/room.html", operation_id = "getRoom", tag = "pages",
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 304, description = "The caller has it"),
    )
)]
pub async fn room(api: Data<AppState>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    serve(&api, &request, "room.html")
}

/// `GET /assets/{file}`
///
/// A file of the pages.
#[utoipa::path(
    get, path = "/assets/{file}", operation_id = "getAsset", tag = "pages",
    params(("file" = String, Path, description = "Its name")),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"), (status = 304, description = "The caller has it"))
)]
pub async fn asset(
    api: Data<AppState>,
    request: HttpRequest,
    file: Path<String>,
) -> Result<HttpResponse, Problem> {
    serve(&api, &request, &format!("assets/{file}"))
}

/// `GET /vendor/{file}`
///
/// Third-party files that the set-up puts there; they are not part of the repository.
#[utoipa::path(
    get, path = "/vendor/{file}", operation_id = "getVendorFile", tag = "pages",
    params(("file" = String, Path, description = "Its name")),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"), (status = 304, description = "The caller has it"))
)]
pub async fn vendor(
    api: Data<AppState>,
    request: HttpRequest,
    file: Path<String>,
) -> Result<HttpResponse, Problem> {
    serve(&api, &request, &format!("vendor/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts(policy: &str) -> &str {
        policy.split("; ").find(|directive| directive.starts_with("script-src")).unwrap()
    }

    #[test]
    fn policy_allows_the_cdn_only_without_an_own_copy_of_the_library() {
        let with_copy = content_security_policy("wss://livekit.test", true);
        assert_eq!(scripts(&with_copy), "script-src 'self'");
        assert!(!with_copy.contains("jsdelivr"), "{with_copy}");
        let without = content_security_policy("wss://livekit.test", false);
        assert_eq!(scripts(&without), "script-src 'self' https://cdn.jsdelivr.net");
    }
}
