//! Handlers of the API documentation: the OpenAPI document and Swagger UI.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    http::header,
    web::{Data, Path},
};
use serde_json::Value;

use super::{extract::FilePath, problem::Problem};
use crate::domain::ErrorCode;

/// OpenAPI document of this service, as application data of its handler.
///
/// The document is built from the handlers and the route table, so this module must not import it.
pub struct OpenApiDocument(pub &'static Value);

/// Errors of [`file()`].
pub const FILE_ERRORS: &[ErrorCode] = &[ErrorCode::RouteNotFound];

/// Policy of Swagger UI, which sets styles from scripts and embeds images in its style sheet.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// `GET /openapi.json`
///
/// This document.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getOpenApi", tag = "operation",
    responses((status = 200, description = "The OpenAPI 3.1 document.", body = Object))
)]
pub async fn openapi(document: Data<OpenApiDocument>) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-cache")).json(document.0)
}

fn serve(name: &str) -> Result<HttpResponse, Problem> {
    let config = Arc::new(utoipa_swagger_ui::Config::from("../openapi.json").validator_url("none"));
    let file = utoipa_swagger_ui::serve(name, config).map_err(|error| {
        tracing::error!(%error, file = name, "Swagger UI could not be rendered");
        Problem::new(ErrorCode::Internal)
    })?;
    let file = file.ok_or_else(|| Problem::new(ErrorCode::RouteNotFound))?;
    let mut bytes = file.bytes.into_owned();
    if name == "index.html" {
        // The page has relative links to its files. It is also served at `/docs`, one level above them.
        let page = String::from_utf8_lossy(&bytes);
        bytes = page.replace("\"./", "\"/docs/").replace("\"index.css", "\"/docs/index.css").into_bytes();
    }
    Ok(HttpResponse::Ok()
        .content_type(file.content_type)
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .body(bytes))
}

/// `GET /docs`
///
/// Swagger UI with this document. The page needs no other server.
#[utoipa::path(
    get, path = "/docs", operation_id = "getDocs", tag = "operation",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html"))
)]
pub async fn page() -> Result<HttpResponse, Problem> {
    serve("index.html")
}

/// `GET /docs/{file}`
///
/// A file of Swagger UI.
#[utoipa::path(
    get, path = "/docs/{file}", operation_id = "getDocsFile", tag = "operation",
    params(FilePath),
    responses((status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"))
)]
pub async fn file(path: Path<FilePath>) -> Result<HttpResponse, Problem> {
    serve(&path.file)
}
