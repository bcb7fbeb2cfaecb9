//! Records of executed requests with an idempotency key: what re-makes the response.
//!
//! A record holds no state of a stream. The response to a repetition is rendered from the stream as it is then, and
//! from the body of the repetition, which equals that of the first request.

use actix_web::{HttpResponse, http::StatusCode};

use super::job_record::ExecutedOnJob;
use crate::{
    domain::{EndpointId, Identity, Role, StreamId, Timestamp},
    orchestrator::{BlockTerms, JoiningTerms, TokenTerms},
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

/// Parses [`letter`].
fn parse_letter(text: &str) -> Option<Role> {
    [Role::Host, Role::Viewer].into_iter().find(|role| letter(*role) == text)
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
    let role = parse_letter(last.get(..1)?)?;
    let removals = last.get(1..).filter(|rest| !rest.is_empty());
    Some(TokenTerms { validity, role, removals: removals.map_or(Some(0), |text| text.parse().ok())? })
}

/// What re-makes the response to an executed request, besides its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Details {
    /// Nothing else.
    None,
    /// The join token.
    Token(TokenTerms),
    /// The block, which may have ended when the request is repeated.
    Block(BlockTerms),
    /// The joining entry of the participant, which may have expired when the request is repeated.
    Joining(JoiningTerms),
}

/// Prefix of a block's terms in a record.
const BLOCK: &str = "b ";
/// Prefix of a joining entry in a record.
const JOINING: &str = "j ";

impl Details {
    fn to_text(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Token(terms) => terms_to_text(*terms),
            Self::Block(BlockTerms { blocked_at, expires_at, by }) => {
                let expires_at = expires_at.map(millis).unwrap_or_default();
                let by = by.as_ref().map(Identity::as_str).unwrap_or_default();
                format!("{BLOCK}{} {expires_at} {by}", millis(*blocked_at))
            }
            Self::Joining(JoiningTerms { role, joined_at, expires_at }) => {
                format!("{JOINING}{} {} {}", letter(*role), millis(*joined_at), millis(*expires_at))
            }
        }
    }

    /// Parses [`Self::to_text`].
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::None);
        }
        if let Some(block) = text.strip_prefix(BLOCK) {
            let mut parts = block.splitn(3, ' ');
            let blocked_at = parse_millis(parts.next()?)?;
            let expires_at = parts.next().filter(|text| !text.is_empty()).map(parse_millis);
            let (expires_at, by) = (expires_at.map_or(Some(None), |time| time.map(Some))?, parts.next()?);
            return Some(Self::Block(BlockTerms { blocked_at, expires_at, by: Identity::reported(by) }));
        }
        if let Some(entry) = text.strip_prefix(JOINING) {
            let (role, times) = entry.split_once(' ')?;
            let (joined_at, expires_at) = times.split_once(' ')?;
            let (joined_at, expires_at) = (parse_millis(joined_at)?, parse_millis(expires_at)?);
            return Some(Self::Joining(JoiningTerms { role: parse_letter(role)?, joined_at, expires_at }));
        }
        parse_terms(text).map(Self::Token)
    }
}

/// Returns a time as text.
fn millis(time: Timestamp) -> String {
    time.as_millis().to_string()
}

/// Parses [`millis`].
fn parse_millis(text: &str) -> Option<Timestamp> {
    text.parse().ok().map(Timestamp::from_millis)
}

/// Executed request. Handlers attach it to the response, so that a repetition gets the same status and identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Status of the first response.
    pub status: StatusCode,
    /// The stream that the request created, changed or found.
    pub stream: StreamId,
    /// What else the response has.
    pub details: Details,
}

impl Executed {
    /// Returns the record of a request whose response needs only the stream.
    pub const fn on(stream: StreamId, status: StatusCode) -> Self {
        Self { status, stream, details: Details::None }
    }

    /// Attaches the record to the response of the request.
    pub fn attach_to(self, mut response: HttpResponse) -> HttpResponse {
        response.extensions_mut().insert(self);
        response
    }
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
    /// The request about a media job was executed.
    ExecutedOnJob(ExecutedOnJob),
    /// The request was refused with this problem document and changed nothing.
    Refused(StatusCode, String),
}

impl RequestRecord {
    /// Makes the record of a refused request; `None` if the document is not text or too long.
    pub fn refused(status: StatusCode, document: &[u8]) -> Option<Self> {
        let document = (document.len() <= MAX_PROBLEM_BYTES).then(|| str::from_utf8(document).ok())??;
        Some(Self::Refused(status, document.to_owned()))
    }

    /// Returns the stored text: the status, and the problem document or the stream and the details.
    pub fn to_text(&self) -> String {
        match self {
            Self::Refused(status, document) => format!("{} {document}", status.as_str()),
            Self::ExecutedOnEndpoint(ExecutedOnEndpoint { status, endpoint }) => {
                format!("{} {ENDPOINT}{endpoint}", status.as_str())
            }
            Self::ExecutedOnJob(executed) => format!("{} {}", executed.status.as_str(), executed.to_text()),
            Self::Executed(Executed { status, stream, details: Details::None }) => {
                format!("{} {stream}", status.as_str())
            }
            Self::Executed(Executed { status, stream, details }) => {
                format!("{} {stream} {}", status.as_str(), details.to_text())
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
        if let Some(executed) = ExecutedOnJob::parse(status, rest) {
            return Some(Self::ExecutedOnJob(executed));
        }
        let (stream, details) = match rest.split_once(' ') {
            Some((stream, details)) => (stream, Details::parse(details)?),
            None => (rest, Details::None),
        };
        Some(Self::Executed(Executed { status, stream: stream.parse().ok()?, details }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::EgressKind, http::job_record::MediaJob};

    #[test]
    fn record_parses_from_its_text() {
        let stream = StreamId::generate();
        let validity = TokenValidity { not_before: 1_790_000_000, expires: 1_790_000_600 };
        let token = TokenTerms { validity, role: Role::Viewer, removals: 0 };
        let later = TokenTerms { removals: 12, ..token };
        let [first, second] = [1_790_000_000_123, 1_790_000_060_123].map(Timestamp::from_millis);
        let block = BlockTerms { blocked_at: first, expires_at: None, by: None };
        let by = Identity::reported("a b  c");
        let joining = JoiningTerms { role: Role::Host, joined_at: first, expires_at: second };
        let details = [
            Details::None,
            Details::Token(token),
            Details::Token(later),
            Details::Block(BlockTerms { expires_at: Some(second), by, ..block.clone() }),
            Details::Block(block),
            Details::Joining(joining),
        ];
        for details in details {
            let record =
                RequestRecord::Executed(Executed { details, ..Executed::on(stream, StatusCode::OK) });
            assert_eq!(RequestRecord::parse(&record.to_text()), Some(record));
        }
        let on_job =
            |job| RequestRecord::ExecutedOnJob(ExecutedOnJob { status: StatusCode::CREATED, stream, job });
        for record in [
            RequestRecord::ExecutedOnEndpoint(ExecutedOnEndpoint {
                status: StatusCode::NO_CONTENT,
                endpoint: "crm-1".parse().unwrap(),
            }),
            on_job(MediaJob::Ingress("IN_1".into())),
            on_job(MediaJob::Egress(EgressKind::Recording, "EG_1".into())),
            on_job(MediaJob::Egress(EgressKind::Broadcast, "EG_1".into())),
            RequestRecord::refused(StatusCode::NOT_FOUND, br#"{"code":"a b"}"#).unwrap(),
        ] {
            assert_eq!(RequestRecord::parse(&record.to_text()), Some(record));
        }
        for text in ["", "200", "200 ", "x {}", "200 x"] {
            assert_eq!(RequestRecord::parse(text), None, "{text:?}");
        }
        for details in ["1 2", "1 2 x", "b 1", "b x 1 ", "b 1 x ", "j v 1", "j x 1 2"] {
            assert_eq!(RequestRecord::parse(&format!("200 {stream} {details}")), None, "{details:?}");
        }
    }

    #[test]
    fn executed_record_fits_a_compact_hash_and_long_problem_is_not_recorded() {
        let validity = TokenValidity { not_before: 1_790_000_000, expires: 1_790_000_600 };
        let details = Details::Token(TokenTerms { validity, role: Role::Viewer, removals: 0 });
        let joined = Executed { details, ..Executed::on(StreamId::generate(), StatusCode::OK) };
        // Redis keeps a hash compact while no value is longer (hash-max-listpack-value).
        assert!(RequestRecord::Executed(joined).to_text().len() <= 64);
        assert_eq!(RequestRecord::refused(StatusCode::BAD_REQUEST, &[b'x'; MAX_PROBLEM_BYTES + 1]), None);
        assert_eq!(RequestRecord::refused(StatusCode::BAD_REQUEST, b"\xff"), None);
    }
}
