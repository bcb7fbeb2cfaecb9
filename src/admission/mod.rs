//! The door that every call passes, whatever it comes by: who is asking, how often they may, and how much they may keep
//! open. HTTP and gRPC both ask here and say the answer in their own words.

mod address;
mod feeds;
mod limiter;

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

pub use self::{
    address::client_address,
    feeds::{Feeds, Permit},
    limiter::{Budget, Limiter, Limits, Verdict},
};
use crate::{
    access::Caller,
    domain::Timestamp,
    rooms::verifier::{Refused, Verifier},
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

impl Admission {
    /// Who shows this token, or no token.
    ///
    /// # Errors
    /// [`Refused`] where one is needed and it is not good.
    pub fn caller(&self, token: Option<&str>) -> Result<Caller, Refused> {
        let Some(verifier) = &self.verifier else { return Ok(Caller::anybody()) };
        let now = Timestamp::from_millis(chrono::Utc::now().timestamp_millis());
        let verified = token.ok_or(Refused::Missing).and_then(|token| verifier.verify(token, now));
        verified.map(Caller::of).inspect_err(|why| self.refused(why.as_str()))
    }

    /// A place for a feed of this caller; none where there are as many as may be.
    pub fn open_feed(&self, subject: &str) -> Option<Permit> {
        let permit = self.feeds.open(subject);
        if permit.is_none() {
            self.refused("too_many_feeds");
        }
        permit
    }

    /// Counts a call that is refused.
    pub fn refused(&self, reason: &str) {
        self.metrics.refused.with_label_values(&[reason]).inc();
    }

    /// What a caller's calls and feeds are counted under: the token's owner, or the address where there is none.
    pub fn subject(caller: &Caller, address: IpAddr) -> String {
        caller.fingerprint().map_or_else(|| address_subject(address), |owner| format!("token:{owner}"))
    }
}

/// What calls from an address are counted under. Of IPv6, a network of 64 bits: that is what one customer gets, and can
/// take any address of.
pub fn address_subject(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("address:{address}"),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("address:{}/64", std::net::Ipv6Addr::from(network))
        }
    }
}

/// For how long a caller's token is good yet, by this machine's clock.
pub fn remaining(caller: &Caller) -> Option<std::time::Duration> {
    caller.remaining(Timestamp::from_millis(chrono::Utc::now().timestamp_millis()))
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
