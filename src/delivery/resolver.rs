//! Addresses of a host: resolved, and checked against the policy.

use std::net::SocketAddr;

use async_trait::async_trait;

use super::{AddressPolicy, answer::Failure};

/// Source of a host's addresses.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// Returns the addresses of a host name or of an IP address.
    ///
    /// # Errors
    /// Errors of the resolver; also for a name that does not exist.
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>>;
}

/// The resolver of the operating system.
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Resolves a host, of which every address must be permitted.
///
/// A host with one permitted and one forbidden address is refused, because which one is used would be chance.
///
/// # Errors
/// [`Failure::Unresolved`] and [`Failure::ForbiddenAddress`].
pub(super) async fn permitted_addresses(
    resolver: &dyn Resolve,
    policy: AddressPolicy,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, Failure> {
    // A literal IPv6 address has brackets in a URL.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = resolver.resolve(host, port).await.map_err(|_| Failure::Unresolved)?;
    if addresses.is_empty() {
        return Err(Failure::Unresolved);
    }
    let are_permitted = addresses.iter().all(|address| policy.permits(address.ip()));
    are_permitted.then_some(addresses).ok_or(Failure::ForbiddenAddress)
}
