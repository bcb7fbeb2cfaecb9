//! Encodes and decodes the RTMP targets of a broadcast.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    error::corrupt,
    text::{optional, parsed, required_time},
};
use crate::{
    domain::{AddressFingerprint, EgressTarget, MaskedUrl, RtmpAddress, RtmpTarget, TargetId},
    store::StoreError,
};

/// What LiveKit reports of a target.
#[derive(Serialize)]
pub(super) struct ReportedTarget {
    fingerprint: String,
    url: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Target that a request asks for.
#[derive(Serialize)]
struct RequestedTarget<'a> {
    address: &'a str,
    fingerprint: String,
    url: String,
}

/// Target in the record of a broadcast.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredTarget {
    id: String,
    fingerprint: String,
    url: String,
    status: String,
    error: Option<String>,
    reports: String,
    planned_at: String,
    requested_by: Option<String>,
    #[serde(default)]
    removing: bool,
}

impl<'a> RequestedTarget<'a> {
    fn of(address: &'a RtmpAddress) -> Self {
        let (fingerprint, url) = (address.fingerprint().to_string(), address.masked().to_string());
        Self { address: address.expose(), fingerprint, url }
    }
}

impl ReportedTarget {
    pub(super) fn of(target: &EgressTarget) -> Self {
        let EgressTarget { fingerprint, url, status, error } = target;
        let (fingerprint, url) = (fingerprint.to_string(), url.to_string());
        Self { fingerprint, url, status: status.as_str(), error: error.clone() }
    }
}

impl StoredTarget {
    pub(super) fn into_domain(self) -> Result<RtmpTarget, StoreError> {
        Ok(RtmpTarget {
            id: parsed("id", &self.id)?,
            fingerprint: AddressFingerprint::stored(self.fingerprint),
            url: MaskedUrl::public(self.url),
            status: parsed("status", &self.status)?,
            error: self.error,
            reports: parsed("reports", &self.reports)?,
            planned_at: required_time("plannedAt", &self.planned_at)?,
            job: optional("requestedBy", &self.requested_by.unwrap_or_default())?,
            is_being_removed: self.removing,
        })
    }
}

/// Encodes requested targets with their whole addresses, for the argument of a script.
pub fn requested_targets(addresses: &[RtmpAddress]) -> String {
    // Texts always serialise.
    serde_json::to_string(&addresses.iter().map(RequestedTarget::of).collect::<Vec<_>>()).unwrap_or_default()
}

/// Encodes ids of targets, for the argument of a script.
pub fn target_ids(ids: &[TargetId]) -> String {
    serde_json::to_string(ids).unwrap_or_default()
}

/// Decodes the whole addresses of the targets of a broadcast.
///
/// # Errors
/// [`StoreError::Corrupt`] for invalid JSON, an invalid id or address.
pub fn addresses(json: &str) -> Result<BTreeMap<TargetId, RtmpAddress>, StoreError> {
    let stored: BTreeMap<String, String> = serde_json::from_str(json).map_err(|_| corrupt("addresses"))?;
    let address = |(id, address): (String, String)| {
        let address = RtmpAddress::parse(address).map_err(|_| corrupt("address"))?;
        Ok((parsed("id", &id)?, address))
    };
    stored.into_iter().map(address).collect()
}
