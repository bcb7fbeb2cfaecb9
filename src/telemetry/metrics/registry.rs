//! Creation and registration of metric families.

use prometheus::{
    Error, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, core::Collector,
};

/// Upper bounds of all histograms, in seconds: a quarter of a millisecond to ten seconds.
const BUCKETS: &[f64] =
    &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A metric family that its name, help text and labels define.
pub(super) trait Family: Collector + Clone + 'static {
    /// Creates the family without registering it. A family that is one number ignores `labels`.
    fn with_name(name: &str, help: &str, labels: &[&str]) -> Result<Self, Error>;
}

impl Family for IntCounter {
    fn with_name(name: &str, help: &str, _labels: &[&str]) -> Result<Self, Error> {
        Self::new(name, help)
    }
}

impl Family for IntCounterVec {
    fn with_name(name: &str, help: &str, labels: &[&str]) -> Result<Self, Error> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Family for IntGauge {
    fn with_name(name: &str, help: &str, _labels: &[&str]) -> Result<Self, Error> {
        Self::new(name, help)
    }
}

impl Family for IntGaugeVec {
    fn with_name(name: &str, help: &str, labels: &[&str]) -> Result<Self, Error> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Family for GaugeVec {
    fn with_name(name: &str, help: &str, labels: &[&str]) -> Result<Self, Error> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Family for Histogram {
    fn with_name(name: &str, help: &str, _labels: &[&str]) -> Result<Self, Error> {
        Self::with_opts(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()))
    }
}

impl Family for HistogramVec {
    fn with_name(name: &str, help: &str, labels: &[&str]) -> Result<Self, Error> {
        Self::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), labels)
    }
}

/// Registers a family and returns it.
///
/// # Errors
/// The registry has a family of this name already.
pub(super) fn register<F: Collector + Clone + 'static>(registry: &Registry, family: F) -> Result<F, Error> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}
