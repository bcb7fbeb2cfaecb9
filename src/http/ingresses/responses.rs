//! Responses about ingresses.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    domain,
    http::{
        job_record::{ExecutedOnJob, MediaJob},
        schemas,
    },
    orchestrator::IngressWithKey,
};

/// An ingress with its stream key, where the caller may see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress<'a> {
    #[serde(flatten)]
    ingress: &'a domain::Ingress,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_key: Option<&'a str>,
}

impl PartialSchema for Ingress<'_> {
    fn schema() -> RefOr<Schema> {
        schemas::Ingress::schema()
    }
}

impl ToSchema for Ingress<'_> {
    fn name() -> std::borrow::Cow<'static, str> {
        schemas::Ingress::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas::Ingress::schemas(schemas);
    }
}

fn document<'a>(ingress: &'a domain::Ingress, key: Option<&'a SecretString>) -> Ingress<'a> {
    Ingress { ingress, stream_key: key.map(|key| key.expose_secret()) }
}

/// Builds the response to a creation, the first one and its replays.
pub(super) fn created(created: IngressWithKey) -> HttpResponse {
    let IngressWithKey { stream, ingress, stream_key } = created;
    let location = format!("/streams/{stream}/ingresses/{}", ingress.id);
    let mut response = HttpResponse::Created();
    let mut response =
        response.insert_header((header::LOCATION, location)).json(document(&ingress, stream_key.as_ref()));
    let executed = ExecutedOnJob { status: StatusCode::CREATED, stream, job: MediaJob::Ingress(ingress.id) };
    response.extensions_mut().insert(executed);
    response
}

/// Builds the response to a read.
pub(super) fn read(found: &IngressWithKey) -> HttpResponse {
    HttpResponse::Ok().json(document(&found.ingress, found.stream_key.as_ref()))
}
