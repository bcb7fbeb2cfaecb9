//! Records of executed requests with an idempotency key: what re-makes the response.
//!
//! A record holds no state of a stream. The response to a repetition is rendered from the stream as it is then, and
//! from the body of the repetition, which equals that of the first request.

use actix_web::http::StatusCode;

use crate::{domain::StreamId, rooms::TokenValidity};

/// Maximum length of a problem document that is stored, so that a record takes less than 1 KB in Redis.
const MAX_PROBLEM_BYTES: usize = 480;

/// Executed request. Handlers attach it to the response, so that a repetition gets the same status and identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Status of the first response.
    pub status: StatusCode,
    /// The stream that the request created, changed or found.
    pub stream: StreamId,
    /// Validity of the join token; `None` unless the request was a join.
    pub token: Option<TokenValidity>,
}

/// What the store keeps of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestRecord {
    /// The request was executed.
    Executed(Executed),
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
            Self::Executed(Executed { status, stream, token: None }) => {
                format!("{} {stream}", status.as_str())
            }
            Self::Executed(Executed { status, stream, token: Some(token) }) => {
                format!("{} {stream} {} {}", status.as_str(), token.not_before, token.expires)
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
        let mut parts = rest.split(' ');
        let stream = parts.next()?.parse().ok()?;
        let token = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(not_before), expires) => {
                Some(TokenValidity { not_before: not_before.parse().ok()?, expires: expires?.parse().ok()? })
            }
        };
        Some(Self::Executed(Executed { status, stream, token }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_parses_from_its_text() {
        let stream = StreamId::generate();
        let token = Some(TokenValidity { not_before: 1_790_000_000, expires: 1_790_000_600 });
        for record in [
            RequestRecord::Executed(Executed { status: StatusCode::CREATED, stream, token: None }),
            RequestRecord::Executed(Executed { status: StatusCode::OK, stream, token }),
            RequestRecord::refused(StatusCode::NOT_FOUND, br#"{"code":"a b"}"#).unwrap(),
        ] {
            assert_eq!(RequestRecord::parse(&record.to_text()), Some(record));
        }
        for text in
            ["", "200", "200 ", "x {}", "200 x", &format!("200 {stream} 1"), &format!("200 {stream} 1 x")]
        {
            assert_eq!(RequestRecord::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn executed_record_fits_a_compact_hash_and_long_problem_is_not_recorded() {
        let token = Some(TokenValidity { not_before: 1_790_000_000, expires: 1_790_000_600 });
        let joined = Executed { status: StatusCode::OK, stream: StreamId::generate(), token };
        // Redis keeps a hash compact while no value is longer (hash-max-listpack-value).
        assert!(RequestRecord::Executed(joined).to_text().len() <= 64);
        assert_eq!(RequestRecord::refused(StatusCode::BAD_REQUEST, &[b'x'; MAX_PROBLEM_BYTES + 1]), None);
        assert_eq!(RequestRecord::refused(StatusCode::BAD_REQUEST, b"\xff"), None);
    }
}
