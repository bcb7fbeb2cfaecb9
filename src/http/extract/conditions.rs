//! Entity tags and conditional requests (RFC 9110, sections 8.8.3 and 13.1).

use std::{
    future::{Ready, ready},
    ops::RangeInclusive,
};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{self, EntityTag, Header},
};
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::QueryFields;
use crate::{domain::ErrorCode, http::problem::Problem};

/// Returns the entity tag of a stream's version.
pub fn version_tag(version: u64) -> EntityTag {
    EntityTag::new_strong(version.to_string())
}

/// `If-None-Match`: entity tags of the responses that the client has stored.
pub struct IfNoneMatch(header::IfNoneMatch);

impl IfNoneMatch {
    /// Reports whether the client has the response with this tag, by the weak comparison (section 13.1.2).
    pub fn matches(&self, tag: &EntityTag) -> bool {
        match &self.0 {
            header::IfNoneMatch::Any => true,
            header::IfNoneMatch::Items(stored) => stored.iter().any(|stored| stored.weak_eq(tag)),
        }
    }
}

impl FromRequest for IfNoneMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // A value that is not text matches no tag.
        let tags = header::IfNoneMatch::parse(request);
        ready(Ok(Self(tags.unwrap_or(header::IfNoneMatch::Items(Vec::new())))))
    }
}

impl IntoParams for IfNoneMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Entity tags of the responses that the client has stored.";
        QueryFields::describe(|fields| fields.header("If-None-Match", about).is_some())
    }
}

/// `If-Match`: entity tags of the versions that a change may be applied to.
pub struct IfMatch(Option<header::IfMatch>);

impl IfMatch {
    /// Returns the version that the change requires; `None` if it may be applied to any version. `accepted` are the
    /// versions that the stream meets, see [`Stream::accepted_versions`](crate::domain::Stream::accepted_versions).
    ///
    /// Uses the strong comparison (section 13.1.1), so a weak tag matches nothing. A single tag of another version is
    /// returned and not refused, because an earlier attempt with the same idempotency key may have made the change.
    /// The store then decides.
    ///
    /// # Errors
    /// 412 if none of the tags can match.
    pub fn required_version(&self, accepted: &RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let tags = match &self.0 {
            None | Some(header::IfMatch::Any) => return Ok(None),
            Some(header::IfMatch::Items(tags)) => tags,
        };
        let version_of = |tag: &EntityTag| tag.tag().parse().ok().filter(|_| !tag.weak);
        if let Some(met) = tags.iter().filter_map(version_of).find(|version| accepted.contains(version)) {
            return Ok(Some(met));
        }
        let other = match &tags[..] {
            [tag] => version_of(tag),
            _ => None,
        };
        let mismatch = || {
            let detail = format!("the stream is at version {}", accepted.end());
            Problem::with_detail(ErrorCode::VersionMismatch, detail)
        };
        other.map(Some).ok_or_else(mismatch)
    }
}

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        if !request.headers().contains_key(header::IF_MATCH) {
            return ready(Ok(Self(None)));
        }
        // A value that is not text is a precondition that no version meets.
        let tags = header::IfMatch::parse(request);
        ready(Ok(Self(Some(tags.unwrap_or(header::IfMatch::Items(Vec::new()))))))
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about =
            "Entity tag of the version that the change requires. Another version is answered with 412.";
        QueryFields::describe(|fields| fields.header("If-Match", about).is_some())
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    async fn required(if_match: &[u8]) -> Result<Option<u64>, ErrorCode> {
        let value = header::HeaderValue::from_bytes(if_match).unwrap();
        let request = TestRequest::default().insert_header((header::IF_MATCH, value)).to_http_request();
        let if_match = IfMatch::extract(&request).await.unwrap();
        if_match.required_version(&(5..=7)).map_err(|problem| problem.code())
    }

    #[tokio::test]
    async fn if_match_requires_the_version_that_it_names() {
        for (value, version) in [
            ("*", None),
            ("\"7\"", Some(7)),
            ("\"3\", \"7\"", Some(7)),
            ("\"3\"", Some(3)),
            ("\"3\", \"6\"", Some(6)),
            (" \"7\" ", Some(7)),
        ] {
            assert_eq!(required(value.as_bytes()).await, Ok(version), "{value}");
        }
        for value in [&b"W/\"7\""[..], b"7", b"\"x\"", b"\"3\", \"4\"", b"", b"\"7\xff\"", b"\"7"] {
            assert_eq!(required(value).await, Err(ErrorCode::VersionMismatch), "{value:?}");
        }
        let absent = IfMatch::extract(&TestRequest::default().to_http_request()).await.unwrap();
        assert!(matches!(absent.required_version(&(7..=7)), Ok(None)));
    }

    #[tokio::test]
    async fn if_none_match_compares_weakly() {
        for (value, expected) in [
            ("*", true),
            ("\"7\"", true),
            ("W/\"7\"", true),
            ("\"3\", \"7\"", true),
            ("\"3\"", false),
            ("7", false),
            ("", false),
        ] {
            let request =
                TestRequest::default().insert_header((header::IF_NONE_MATCH, value)).to_http_request();
            let stored = IfNoneMatch::extract(&request).await.unwrap();
            assert_eq!(stored.matches(&version_tag(7)), expected, "{value}");
        }
    }
}
