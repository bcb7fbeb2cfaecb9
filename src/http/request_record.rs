//! Records of executed requests with an idempotency key: what re-makes the response.
//!
//! A record holds no state of a stream. The response to a repetition is rendered from the stream as it is then, and
//! from the body of the repetition, which equals that of the first request.

use actix_web::http::StatusCode;

use crate::{
    domain::{EndpointId, Role, StreamId},
    orchestrator::TokenTerms,
    rooms::TokenValidity,
};

/// Maximum length of a problem document that is stored, so that a record takes less than 1 KB in Redis.
const MAX_PROBLEM_BYTES: usize = 480;

/// Letter of a role, so that a record of a token stays within 64 bytes.
const fn letter(role: Role) -> &'static str {
    match role {
        Role::Host => "h",
        Role::Viewer => "v",
    }
}

/// Returns the terms of a token as text: its times, its role, and the number of removals if there are any.
fn terms_to_text(terms: TokenTerms) -> String {
    let TokenTerms { validity: TokenValidity { not_before, expires }, role, removals } = terms;
    let removals = if removals == 0 { String::new() } else { removals.to_string() };
    format!("{not_before} {expires} {}{removals}", letter(role))
}

/// Parses [`terms_to_text`].
fn parse_terms(text: &str) -> Option<TokenTerms> {
    let mut parts = text.split(' ');
    let mut number = || parts.next()?.parse().ok();
    let validity = TokenValidity { not_before: number()?, expires: number()? };
    let last = parts.next()?;
    let role = [Role::Host, Role::Viewer].into_iter().find(|role| last.starts_with(letter(*role)))?;
    let removals = last.strip_prefix(letter(role)).filter(|rest| !rest.is_empty());
    Some(TokenTerms { validity, role, removals: removals.map_or(Some(0), |text| text.parse().ok())? })
}

/// Executed request. Handlers attach it to the response, so that a repetition gets the same status and identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Status of the first response.
    pub status: StatusCode,
    /// The stream that the request created, changed or found.
    pub stream: StreamId,
    /// The join token; `None` unless the request was a join.
    pub token: Option<TokenTerms>,
}

/// Executed request about a webhook endpoint. Handlers attach it to the response, as [`Executed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutedOnEndpoint {
    /// Status of the first response.
    pub status: StatusCode,
    /// The endpoint.
    pub endpoint: EndpointId,
}

/// Prefix of an endpoint's id in a record.
const ENDPOINT: &str = "endpoint:";

/// What the store keeps of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestRecord {
    /// The request was executed.
    Executed(Executed),
    /// The request about a webhook endpoint was executed.
    ExecutedOnEndpoint(ExecutedOnEndpoint),
    /// The request was refused with this problem document and changed nothing.
    Refused(StatusCode, String),
}

impl RequestRecord {
    /// Makes the record of a refused request; `None` if the document is not text or too long.
    pub fn refused(status: StatusCode, document: &[u8]) -> Option<Self> {
        let document = (document.len() <= MAX_PROBLEM_BYTES).then(|| str::from_utf8(document).ok())??;
        Some(Self::Refused(status, document.to_owned()))
    }

    /// Returns the stored text: the status, and the problem document or the stream and the validity of the token.
    pub fn to_text(&self) -> String {
        match self {
            Self::Refused(status, document) => format!("{} {document}", status.as_str()),
            Self::ExecutedOnEndpoint(ExecutedOnEndpoint { status, endpoint }) => {
                format!("{} {ENDPOINT}{endpoint}", status.as_str())
            }
            Self::Executed(Executed { status, stream, token: None }) => {
                format!("{} {stream}", status.as_str())
            }
            Self::Executed(Executed { status, stream, token: Some(token) }) => {
                format!("{} {stream} {}", status.as_str(), terms_to_text(*token))
            }
        }
    }

    /// Parses [`Self::to_text`]; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (status, rest) = text.split_once(' ')?;
        let status = StatusCode::from_bytes(status.as_bytes()).ok()?;
        if rest.starts_with('{') {
            return Some(Self::Refused(status, rest.to_owned()));
        }
        if let Some(endpoint) = rest.strip_prefix(ENDPOINT) {
            let endpoint = endpoint.parse().ok()?;
            return Some(Self::ExecutedOnEndpoint(ExecutedOnEndpoint { status, endpoint }));
        }
        let (stream, token) = match rest.split_once(' ') {
            Some((stream, token)) => (stream, Some(parse_terms(token)?)),
            None => (rest, None),
        };
        Some(Self::Executed(Executed { status, stream: stream.parse().ok()?, token }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_parses_from_its_text() {
        let stream = StreamId::generate();
        let validity = TokenValidity { not_before: 1_790_000_000, expires: 1_790_000_600 };
        let token = Some(TokenTerms { validity, role: Role::Viewer, removals: 0 });
        let later = token.map(|token| TokenTerms { removals: 12, ..token });
        for record in [
            RequestRecord::Executed(Executed { status: StatusCode::CREATED, stream, token: None }),
            RequestRecord::Executed(Executed { status: StatusCode::OK, stream, token }),
            RequestRecord::Executed(Executed { status: StatusCode::OK, stream, token: later }),
            RequestRecord::ExecutedOnEndpoint(ExecutedOnEndpoint {
                status: StatusCode::NO_CONTENT,
                endpoint: "crm-1".parse().unwrap(),
            }),
            RequestRecord::refused(StatusCode::NOT_FOUND, br#"{"code":"a b"}"#).unwrap(),
        ] {
            assert_eq!(RequestRecord::parse(&record.to_text()), Some(record));
        }
        for text in
            ["", "200", "200 ", "x {}", "200 x", &format!("200 {stream} 1 2"), &format!("200 {stream} 1 2 x")]
        {
            assert_eq!(RequestRecord::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn executed_record_fits_a_compact_hash_and_long_problem_is_not_recorded() {
        let validity = TokenValidity { not_before: 1_790_000_000, expires: 1_790_000_600 };
        let token = Some(TokenTerms { validity, role: Role::Viewer, removals: 0 });
        let joined = Executed { status: StatusCode::OK, stream: StreamId::generate(), token };
        // Redis keeps a hash compact while no value is longer (hash-max-listpack-value).
        assert!(RequestRecord::Executed(joined).to_text().len() <= 64);
        assert_eq!(RequestRecord::refused(StatusCode::BAD_REQUEST, &[b'x'; MAX_PROBLEM_BYTES + 1]), None);
        assert_eq!(RequestRecord::refused(StatusCode::BAD_REQUEST, b"\xff"), None);
    }
}
