//! Extractor of JSON bodies.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use super::{BodyFields, MAX_BODY_BYTES, json_object, read_body};
use crate::http::problem::Problem;

/// Request whose body is a JSON object.
pub trait FromBody: Sized {
    /// Takes the fields of the request; `None` if a required field is absent or invalid.
    fn read(fields: &mut BodyFields) -> Option<Self>;
}

/// Extracts a request from a JSON body of at most [`MAX_BODY_BYTES`]. An absent body counts as `{}`.
///
/// Rejects a request with 400 that names every invalid field, and with 408, 413 or 415 for the body itself.
pub struct JsonBody<T>(pub T);

impl<T: FromBody> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let body = read_body(&request, payload, MAX_BODY_BYTES).await?;
            let mut fields = BodyFields::parse(json_object::parse(&body, request.headers())?);
            let parsed = T::read(&mut fields);
            fields.finish(parsed).map(Self)
        })
    }
}
