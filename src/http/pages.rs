//! The bundled client: files from `static/`, embedded in the binary.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Path},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{Api, problem::Problem};
use crate::domain::ErrorCode;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Files;

/// Where the LiveKit browser library is fetched from when this server has no copy. The page has its hash.
const FALLBACK_CDN: &str = "https://cdn.jsdelivr.net";

/// Only what the pages need: their own files, this API, LiveKit, and the pinned fallback.
fn content_security_policy(livekit: &str) -> String {
    let http = livekit.replacen("ws", "http", 1);
    format!(
        "default-src 'none'; script-src 'self' {FALLBACK_CDN}; style-src 'self'; img-src 'self' data:; \
         media-src 'self' blob:; connect-src 'self' {livekit} {http}; font-src 'self'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'"
    )
}

fn serve(api: &Api, request: &HttpRequest, name: &str) -> Result<HttpResponse, Problem> {
    let Some(EmbeddedFile { data, metadata, .. }) = Files::get(name) else {
        return Err(Problem::new(ErrorCode::RouteNotFound));
    };
    let tag = format!(
        "\"{}\"",
        metadata.sha256_hash().iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>()
    );
    let known =
        request.headers().get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::ETAG, tag))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::CONTENT_SECURITY_POLICY, content_security_policy(&api.livekit_public_url)));
    if known {
        return Ok(response.finish());
    }
    Ok(response.content_type(mime_guess::from_path(name).first_or_octet_stream()).body(data.into_owned()))
}

/// `GET /` and `GET /index.html`
pub async fn index(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    serve(&api, &request, "index.html")
}

/// `GET /room.html`
pub async fn room(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    serve(&api, &request, "room.html")
}

/// `GET /assets/{file}`
pub async fn asset(
    api: Data<Api>,
    request: HttpRequest,
    file: Path<String>,
) -> Result<HttpResponse, Problem> {
    serve(&api, &request, &format!("assets/{file}"))
}

/// `GET /vendor/{file}`: third-party files that the set-up puts there; they are not part of the repository.
pub async fn vendor(
    api: Data<Api>,
    request: HttpRequest,
    file: Path<String>,
) -> Result<HttpResponse, Problem> {
    serve(&api, &request, &format!("vendor/{file}"))
}
