//! Extractors of queries and paths.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use serde::Deserialize;
use utoipa::IntoParams;

use super::QueryFields;
use crate::http::problem::Problem;

/// Request whose parameters are in the query or in header fields.
pub trait FromQuery: Sized {
    /// Takes the parameters of the request.
    fn read(fields: &mut QueryFields) -> Self;
}

/// Extracts a request from its query; rejects it with 400 that names every invalid parameter.
pub struct Query<T>(pub T);

impl<T: FromQuery> Query<T> {
    /// Parses the query of a request.
    ///
    /// # Errors
    /// 400 that names every invalid parameter.
    pub fn parse(request: &HttpRequest) -> Result<Self, Problem> {
        let mut fields = QueryFields::parse(request)?;
        let parsed = T::read(&mut fields);
        fields.finish(parsed).map(Self)
    }
}

impl<T: FromQuery> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::parse(request))
    }
}

/// Access token in the query, for clients that cannot set headers: `EventSource` and `WebSocket` in browsers.
pub struct AccessToken(pub Option<String>);

impl FromQuery for AccessToken {
    fn read(fields: &mut QueryFields) -> Self {
        let token =
            fields.text("access_token", "A LiveKit access token, for clients that cannot set headers.");
        Self(token.filter(|token| !token.is_empty()).map(str::to_owned))
    }
}

/// Implements utoipa's trait for requests that implement [`FromQuery`].
macro_rules! impl_into_params {
    ($($request:ty),+) => {$(
        impl utoipa::IntoParams for $request {
            fn into_params(
                _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                $crate::http::extract::QueryFields::describe(
                    <$request as $crate::http::extract::FromQuery>::read,
                )
            }
        }
    )+};
}
pub(in crate::http) use impl_into_params;

impl_into_params!(AccessToken);

/// Path of a stream.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct StreamPath {
    /// The stream's id or room name.
    pub id: String,
}

/// Path of a webhook endpoint.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path, rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct EndpointPath {
    /// The endpoint's id.
    pub endpoint_id: String,
}

/// Path of a file.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct FilePath {
    /// The file's name.
    pub file: String,
}
