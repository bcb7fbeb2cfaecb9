//! Middleware of every request: bounds what waits for clients that do not read their responses.

use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};

use crate::http::{app_state::AppState, sliced_body};

/// Passes a request on, and its response's body in [slices](sliced_body) if it is large.
///
/// # Errors
/// Errors of inner middleware and of the handler.
pub async fn slice_body(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let api = request.app_data::<Data<AppState>>().cloned();
    let response = next.call(request).await?.map_into_boxed_body();
    Ok(match api {
        Some(api) => response.map_body(|_, body| sliced_body::slice(body, api.relay.budget())),
        None => response,
    })
}
