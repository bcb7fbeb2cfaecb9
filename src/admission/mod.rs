//! Admission control, applied to every request of HTTP and gRPC: authentication, rate limits, limits on open feeds; and
//! the limits on open connections.
//!
//! A request passes in two steps. [`Admission::authenticate`] verifies the token and selects the key that limits count
//! under. [`Admission::admit`] waits while too many reads of the caller are in progress, counts the request against its
//! rate limit, and then checks the caller's grants.

mod client_address;
mod concurrent_reads;
mod connection_limiter;
mod feed_limiter;
mod host_policy;
mod open_files;
mod rate_limiter;
mod read_meter;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use self::client_address::{address_key, client_address};
pub use self::{
    concurrent_reads::{ConcurrentReads, MAX_CONCURRENT_READS, MAX_WAITING_READS, ReadPermit},
    connection_limiter::{ConnectionLimiter, ConnectionLimits, ConnectionPermit, Port},
    feed_limiter::{FeedLimiter, FeedPermit},
    host_policy::{HostPolicy, is_host_name},
    open_files::raise_open_files,
    rate_limiter::{AppliedRateLimit, RateLimitClass, RateLimiter, RateLimits},
    read_meter::ReadMeter,
};
use crate::{
    access::{
        Action, Caller,
        token::{TokenError, TokenVerifier},
    },
    domain::{ErrorCode, Timestamp},
    store::RateLimitDecision,
    telemetry::Metrics,
};

/// Admission control of one instance.
pub struct Admission {
    /// Verifier of access tokens; `None` if authentication is off (`AUTH=off`).
    pub verifier: Option<TokenVerifier>,
    /// Accepted hosts and origins; `None` with authentication, because a page of another origin has no token.
    pub host_policy: Option<HostPolicy>,
    /// Networks of proxies whose `X-Forwarded-For` is used.
    pub trusted_proxies: Vec<IpNet>,
    /// Rate limits.
    pub rate_limiter: RateLimiter,
    /// Limit on reads in progress, applied if there is a read limit.
    pub concurrent_reads: ConcurrentReads,
    /// Limits on open feeds.
    pub feed_limiter: FeedLimiter,
    /// Metrics of rejections.
    pub metrics: Arc<Metrics>,
}

/// An admitted request.
pub struct Admitted {
    /// Caller of the request.
    pub context: RequestContext,
    /// Permit of a read, held until its bytes are charged; `None` for changes, and without a read limit.
    pub read_permit: Option<ReadPermit>,
}

/// Admitted request's caller, and the key of its limits.
#[derive(Clone)]
pub struct RequestContext {
    /// Caller of the request.
    pub caller: Caller,
    /// Key that the caller's requests and feeds are counted under.
    pub limit_key: String,
}

/// Result of [`Admission::authenticate`], also for a request without a valid token.
#[derive(Clone)]
pub struct Authentication {
    caller: Result<Caller, TokenError>,
    limit_key: String,
}

/// Reason for which a request is rejected.
pub enum Rejection {
    /// The rate limit is exhausted.
    RateLimited(RateLimitDecision),
    /// [`MAX_CONCURRENT_READS`] of the caller have been in progress for too long, or [`MAX_WAITING_READS`] of the
    /// caller wait.
    TooManyReads,
    /// The request has no valid token.
    Unauthenticated(TokenError),
    /// The token allows none of these actions on any stream.
    Forbidden(&'static [Action]),
}

impl Admission {
    /// Verifies the token of a request from `peer`, and selects its limit key: the token's owner, or the client's
    /// address without a valid token.
    ///
    /// `peer` is `None` if the connection has ended. `forwarded` has the values of `X-Forwarded-For`, in order.
    pub fn authenticate<'a>(
        &self,
        token: Option<&str>,
        peer: Option<IpAddr>,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> Authentication {
        let caller = self.caller(token);
        let owner = caller.as_ref().ok().and_then(Caller::fingerprint);
        let limit_key = owner.map(|owner| format!("token:{owner}")).unwrap_or_else(|| {
            let peer = peer.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
            address_key(client_address(&self.trusted_proxies, peer, forwarded))
        });
        Authentication { caller, limit_key }
    }

    fn caller(&self, token: Option<&str>) -> Result<Caller, TokenError> {
        let Some(verifier) = &self.verifier else { return Ok(Caller::unrestricted()) };
        verifier.verify(token.ok_or(TokenError::Missing)?, now()).map(Caller::from_token)
    }

    /// Admits a request whose caller may do at least one of `actions` to at least one stream.
    ///
    /// The request is counted first, so that rejected tokens are rate limited too. Also returns the applied rate limit,
    /// if there is one.
    pub async fn admit(
        &self,
        authentication: Authentication,
        class: RateLimitClass,
        actions: &'static [Action],
    ) -> (Option<AppliedRateLimit>, Result<Admitted, Rejection>) {
        let (applied, begun) = self.begin(class, &authentication.limit_key).await;
        let admitted = begun.and_then(|read_permit| {
            let context = self.authorize(authentication, actions)?;
            Ok(Admitted { context, read_permit })
        });
        (applied, admitted)
    }

    /// Counts a request against its rate limit, and as a read in progress while the caller of this method holds the
    /// permit. The permit is `None` for changes, and without a read limit.
    ///
    /// A read waits first and is counted only once it may begin, because earlier reads of the caller are charged until
    /// then. A read that may not begin is counted too.
    pub async fn begin(
        &self,
        class: RateLimitClass,
        limit_key: &str,
    ) -> (Option<AppliedRateLimit>, Result<Option<ReadPermit>, Rejection>) {
        let begun = match class {
            RateLimitClass::Read => self.begin_read(limit_key).await,
            RateLimitClass::Write | RateLimitClass::Join => Ok(None),
        };
        let applied = self.rate_limiter.take(class, limit_key).await;
        let refused = applied.map(|applied| applied.decision).filter(|decision| !decision.allowed);
        (applied, refused.map_or(begun, |decision| Err(Rejection::RateLimited(decision))))
    }

    /// Charges units beyond the one that [`Self::begin`] has counted, also beyond the limit, and returns the
    /// limit after that. `None` without a limit, and if the store does not answer.
    pub async fn charge(
        &self,
        class: RateLimitClass,
        limit_key: &str,
        units: u32,
    ) -> Option<AppliedRateLimit> {
        self.rate_limiter.charge(class, limit_key, units).await
    }

    fn authorize(
        &self,
        Authentication { caller, limit_key }: Authentication,
        actions: &'static [Action],
    ) -> Result<RequestContext, Rejection> {
        let caller = caller.map_err(|error| {
            self.count_rejection(error.as_str());
            Rejection::Unauthenticated(error)
        })?;
        if actions.iter().any(|action| caller.is_allowed(*action)) {
            return Ok(RequestContext { caller, limit_key });
        }
        self.count_rejection("forbidden");
        Err(Rejection::Forbidden(actions))
    }

    /// Counts one more open feed of the caller until the permit is dropped; `None` if a limit is reached.
    pub fn open_feed(&self, context: &RequestContext) -> Option<FeedPermit> {
        let permit = self.feed_limiter.open(&context.limit_key);
        if permit.is_none() {
            self.count_rejection("too_many_feeds");
        }
        permit
    }

    /// Checks the hosts that a request names, on any transport.
    ///
    /// # Errors
    /// [`ErrorCode::MisdirectedRequest`] if the API is open and does not accept one of them.
    pub fn check_hosts<'a>(&self, mut authorities: impl Iterator<Item = &'a str>) -> Result<(), ErrorCode> {
        let is_allowed = |policy: &HostPolicy| authorities.all(|authority| policy.allows_host(authority));
        if self.host_policy.as_ref().is_none_or(is_allowed) {
            return Ok(());
        }
        Err(self.refuse_host())
    }

    /// Checks the hosts of a call over HTTP/2: `:authority`, and the values of `host`.
    ///
    /// # Errors
    /// [`ErrorCode::MisdirectedRequest`] as [`Self::check_hosts`], and if the API is open and one `host` is another
    /// than `:authority`.
    pub fn check_authority<'a>(
        &self,
        authority: Option<&'a str>,
        hosts: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), ErrorCode> {
        let is_other = |host: &str| authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(host));
        if self.host_policy.is_some() && hosts.clone().any(is_other) {
            return Err(self.refuse_host());
        }
        self.check_hosts(authority.into_iter().chain(hosts))
    }

    /// Checks that a change, or a WebSocket, is not requested by a page of another origin.
    ///
    /// # Errors
    /// [`ErrorCode::ForeignOrigin`] if the API is open and the page is of an origin that is not allowed.
    pub fn check_origin(
        &self,
        authority: Option<&str>,
        origin: Option<&str>,
        fetch_site: Option<&str>,
    ) -> Result<(), ErrorCode> {
        let is_allowed = |policy: &HostPolicy| policy.allows_origin(authority, origin, fetch_site);
        if self.host_policy.as_ref().is_none_or(is_allowed) {
            return Ok(());
        }
        self.count_rejection("foreign_origin");
        Err(ErrorCode::ForeignOrigin)
    }

    fn refuse_host(&self) -> ErrorCode {
        self.count_rejection("foreign_host");
        ErrorCode::MisdirectedRequest
    }

    fn count_rejection(&self, reason: &str) {
        self.metrics.refused.with_label_values(&[reason]).inc();
    }
}

impl RequestContext {
    /// Returns the time until the caller's token expires, by this machine's clock; `None` if it does not expire.
    pub fn token_lifetime(&self) -> Option<Duration> {
        self.caller.token_lifetime(now())
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(chrono::Utc::now().timestamp_millis())
}

/// Returns the token of an `Authorization` value (RFC 6750). The scheme is case-insensitive (RFC 9110, section 11.1).
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_with_scheme_in_any_case_is_the_token() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for wrong in ["abc", "Basic abc", "Bearer", "Bearer "] {
            assert_eq!(bearer(wrong), None, "{wrong:?}");
        }
    }
}
