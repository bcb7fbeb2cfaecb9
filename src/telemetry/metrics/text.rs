//! The answer to a scrape, in Prometheus's text format.

use prometheus::{Encoder, TextEncoder};

use super::Metrics;

/// Families that describe the whole service.
const SERVICE_FAMILIES: [&str; 3] = ["lso_streams", "active_streams", "total_participants"];

/// Numbers of the whole service, read from the store for one scrape.
#[derive(Clone, Debug, Default)]
pub struct ServiceTotals {
    /// Each stream status with its number of streams.
    pub streams_by_status: Vec<(&'static str, u64)>,
    /// Streams in status `active`.
    pub active_streams: u64,
    /// Active participants of all streams.
    pub participants: u64,
}

impl Metrics {
    /// Encodes all families. Without totals, the families of the whole service are absent, because an alert on an
    /// absent family is correct and one on a stale number is not.
    ///
    /// # Errors
    /// A family cannot be encoded.
    pub fn encode(&self, totals: Option<&ServiceTotals>) -> Result<Vec<u8>, prometheus::Error> {
        if let Some(totals) = totals {
            self.set_totals(totals);
        }
        let mut families = self.registry.gather();
        families.retain(|family| totals.is_some() || !SERVICE_FAMILIES.contains(&family.name()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }

    fn set_totals(&self, totals: &ServiceTotals) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for (status, count) in &totals.streams_by_status {
            self.streams.with_label_values(&[*status]).set(number(*count));
        }
        self.active_streams.set(number(totals.active_streams));
        self.total_participants.set(number(totals.participants));
    }
}
