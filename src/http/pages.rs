//! Handlers of the web pages: files from `static/`, embedded in the binary.

use std::borrow::Cow;

use actix_web::{
    HttpResponse,
    http::header::{self, ETag, EntityTag},
    web::{Data, Path},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{
    app_state::AppState,
    extract::{FilePath, IfNoneMatch},
    problem::Problem,
    sliced_body::SlicedBody,
};
use crate::domain::ErrorCode;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Files;

/// Errors of [`asset`] and [`vendor`].
pub const FILE_ERRORS: &[ErrorCode] = &[ErrorCode::RouteNotFound];

/// Local copies of the browser libraries, which `scripts/vendor` downloads before the build.
const LIBRARIES: [&str; 2] = ["vendor/livekit-client.umd.js", "vendor/uPlot.iife.min.js"];
/// Source of the browser libraries if the binary lacks a local copy. The pages pin their hashes.
const FALLBACK_CDN: &str = " https://cdn.jsdelivr.net";

/// Builds the policy that allows what the pages need: their own files, this API, LiveKit, and the CDN if the binary
/// lacks a local copy of a browser library.
fn content_security_policy(livekit: &str, has_libraries: bool) -> String {
    let http = livekit.replacen("ws", "http", 1);
    let cdn = if has_libraries { "" } else { FALLBACK_CDN };
    format!(
        "default-src 'none'; script-src 'self'{cdn}; style-src 'self'; img-src 'self' data:; \
         media-src 'self' blob:; connect-src 'self' {livekit} {http}; font-src 'self'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'"
    )
}

fn file_tag(file: &EmbeddedFile) -> EntityTag {
    let hash = file.metadata.sha256_hash();
    EntityTag::new_strong(hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn serve(api: &AppState, stored: &IfNoneMatch, name: &str) -> Result<HttpResponse, Problem> {
    let file = Files::get(name).ok_or_else(|| Problem::new(ErrorCode::RouteNotFound))?;
    let tag = file_tag(&file);
    let is_stored = stored.matches(&tag);
    let policy = content_security_policy(
        &api.livekit_public_url,
        LIBRARIES.iter().all(|library| Files::get(library).is_some()),
    );
    let mut response = if is_stored { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header(ETag(tag))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy));
    if is_stored {
        return Ok(response.finish());
    }
    response.content_type(mime_guess::from_path(name).first_or_octet_stream());
    Ok(match file.data {
        Cow::Borrowed(bytes) => response.body(SlicedBody::of_static(bytes)),
        // Builds without optimisation read the file.
        Cow::Owned(bytes) => response.body(bytes),
    })
}

/// `GET /index.html`
///
/// The page with the list of streams.
#[utoipa::path(
    get, path = "/index.html", operation_id = "getIndex", tag = "pages",
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 304, description = "The client has this page."),
    )
)]
pub async fn index(api: Data<AppState>, stored: IfNoneMatch) -> Result<HttpResponse, Problem> {
    serve(&api, &stored, "index.html")
}

/// `GET /room.html`
///
/// The page of one stream.
#[utoipa::path(
    get, path = "/room.html", operation_id = "getRoom", tag = "pages",
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 304, description = "The client has this page."),
    )
)]
pub async fn room(api: Data<AppState>, stored: IfNoneMatch) -> Result<HttpResponse, Problem> {
    serve(&api, &stored, "room.html")
}

/// `GET /history.html`
///
/// The page of the history.
#[utoipa::path(
    get, path = "/history.html", operation_id = "getHistoryPage", tag = "pages",
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 304, description = "The client has this page."),
    )
)]
pub async fn history(api: Data<AppState>, stored: IfNoneMatch) -> Result<HttpResponse, Problem> {
    serve(&api, &stored, "history.html")
}

/// `GET /assets/{file}`
///
/// A script or style sheet of the pages.
#[utoipa::path(
    get, path = "/assets/{file}", operation_id = "getAsset", tag = "pages",
    params(FilePath),
    responses(
        (status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The client has this file."),
    )
)]
pub async fn asset(
    api: Data<AppState>,
    stored: IfNoneMatch,
    path: Path<FilePath>,
) -> Result<HttpResponse, Problem> {
    serve(&api, &stored, &format!("assets/{}", path.file))
}

/// `GET /vendor/{file}`
///
/// A third-party file, which `scripts/vendor` downloads before the build. The repository does not contain it.
#[utoipa::path(
    get, path = "/vendor/{file}", operation_id = "getVendorFile", tag = "pages",
    params(FilePath),
    responses(
        (status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The client has this file."),
    )
)]
pub async fn vendor(
    api: Data<AppState>,
    stored: IfNoneMatch,
    path: Path<FilePath>,
) -> Result<HttpResponse, Problem> {
    serve(&api, &stored, &format!("vendor/{}", path.file))
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
