//! The door that every call passes, whatever it comes by: who is asking, how often they may, and how much they may keep
//! open. HTTP and gRPC both ask here and say the answer in their own words.

mod address;
mod feeds;
mod limiter;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use self::address::client_address;
pub use self::{
    feeds::{Feeds, Permit},
    limiter::{Budget, Limiter, Limits, Verdict},
};
use crate::{
    access::{Action, Caller},
    domain::Timestamp,
    rooms::verifier::{TokenError, Verifier},
    store::RateLimitDecision,
    telemetry::Metrics,
};

/// What is asked of every call.
pub struct Admission {
    /// Checks access tokens; none where the API is open to everybody (`AUTH=off`).
    pub verifier: Option<Verifier>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How often anybody may call.
    pub limiter: Limiter,
    /// How many feeds may be open.
    pub feeds: Feeds,
    /// Counts who is refused.
    pub metrics: Arc<Metrics>,
}

/// Who is asking, once they are let in.
#[derive(Clone)]
pub struct Asking {
    /// Whose call it is.
    pub caller: Caller,
    /// What their calls and feeds are counted under.
    pub subject: String,
}

/// A call at the door.
#[derive(Clone)]
pub struct Call {
    found: Result<Caller, TokenError>,
    subject: String,
}

/// Why a call is not let in.
pub enum Refusal {
    /// The caller asks too often.
    TooOften(RateLimitDecision),
    /// There is no good token.
    Unauthenticated(TokenError),
    /// The token grants none of these.
    Forbidden(&'static [Action]),
}

impl Admission {
    /// A call that shows this token, or none, from `peer` (none for a connection that is over). `forwarded` are the values of
    /// `X-Forwarded-For`, in order.
    pub fn call<'a>(
        &self,
        token: Option<&str>,
        peer: Option<IpAddr>,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> Call {
        let address =
            client_address(&self.trusted_proxies, peer.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), forwarded);
        let found = match &self.verifier {
            None => Ok(Caller::anybody()),
            Some(verifier) => token
                .ok_or(TokenError::Missing)
                .and_then(|token| verifier.verify(token, now()))
                .map(Caller::of),
        };
        let owner = found.as_ref().ok().and_then(Caller::fingerprint);
        let subject = owner.map_or_else(|| address_subject(address), |owner| format!("token:{owner}"));
        Call { found, subject }
    }

    /// Lets a call in, if its caller may do any of `actions`. It is counted first: also who tries one token after another is
    /// not to try too often. Beside the answer: where the caller stands with the limit, if there is one.
    pub async fn admit(
        &self,
        call: Call,
        budget: Budget,
        actions: &'static [Action],
    ) -> (Option<Verdict>, Result<Asking, Refusal>) {
        let verdict = self.limiter.take(budget, &call.subject).await;
        (verdict, self.judge(call, verdict, actions))
    }

    fn judge(
        &self,
        Call { found, subject }: Call,
        verdict: Option<Verdict>,
        actions: &'static [Action],
    ) -> Result<Asking, Refusal> {
        if let Some(Verdict { standing, .. }) = verdict.filter(|verdict| !verdict.standing.allowed) {
            return Err(Refusal::TooOften(standing));
        }
        let caller = found.map_err(|why| {
            self.refused(why.as_str());
            Refusal::Unauthenticated(why)
        })?;
        if actions.iter().any(|action| caller.may(*action)) {
            return Ok(Asking { caller, subject });
        }
        self.refused("forbidden");
        Err(Refusal::Forbidden(actions))
    }

    /// A place for a feed of this caller; none where there are as many as may be.
    pub fn open_feed(&self, asking: &Asking) -> Option<Permit> {
        let permit = self.feeds.open(&asking.subject);
        if permit.is_none() {
            self.refused("too_many_feeds");
        }
        permit
    }

    fn refused(&self, reason: &str) {
        self.metrics.refused.with_label_values(&[reason]).inc();
    }
}

impl Asking {
    /// For how long the caller's token is good yet, by this machine's clock.
    pub fn remaining(&self) -> Option<Duration> {
        self.caller.remaining(now())
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(chrono::Utc::now().timestamp_millis())
}

/// What calls from an address are counted under. Of IPv6, a network of 64 bits: that is what one customer gets, and can
/// take any address of.
fn address_subject(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("address:{address}"),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("address:{}/64", std::net::Ipv6Addr::from(network))
        }
    }
}

/// The token in an `Authorization` header's value (RFC 6750); the scheme in any case (RFC 9110).
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_customer_are_one_subject() {
        let subject = |text: &str| address_subject(text.parse().unwrap());
        assert_eq!(subject("192.0.2.1"), "address:192.0.2.1");
        assert_eq!(subject("2001:db8:1:2:3::4"), subject("2001:db8:1:2:ffff::9"));
        assert_ne!(subject("2001:db8:1:2::1"), subject("2001:db8:1:3::1"));
    }

    #[test]
    fn bearers_are_read_as_the_rfc_writes_them() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for wrong in ["abc", "Basic abc", "Bearer", "Bearer "] {
            assert_eq!(bearer(wrong), None, "{wrong:?}");
        }
    }
}
