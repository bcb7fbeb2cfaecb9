//! Known metadata: the newest metadata of streams, shared by the `StreamUpdates` feeds of an instance.
//!
//! Events omit metadata that is large and has not changed, and each change of it has an event that carries it. The
//! metadata at one event is therefore that of the event before, unless the event carries its own. Feeds process every
//! event of a stream in order, so a stream is read only after an interval in which no feed has followed it.

use std::{collections::HashMap, sync::Arc};

use quick_cache::{Weighter, sync::Cache};

use crate::domain::StreamId;

/// Metadata as messages carry it.
pub type MetadataMap = HashMap<String, String>;

/// Maximum size of all metadata together.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// Number of streams for which room is reserved.
const EXPECTED_STREAMS: usize = 256;
/// Approximate size of an entry without its texts.
const ENTRY_BYTES: usize = 256;

/// Metadata as of an event or a later one.
#[derive(Clone)]
struct Known {
    seq: u64,
    metadata: Arc<MetadataMap>,
}

/// The newest metadata of the streams that feeds have last followed.
pub struct KnownMetadata(Cache<StreamId, Known, ByBytes>);

impl Default for KnownMetadata {
    fn default() -> Self {
        Self(Cache::with_weighter(EXPECTED_STREAMS, MAX_BYTES, ByBytes))
    }
}

impl KnownMetadata {
    /// Returns the metadata for an event that carries none; `None` if it must be read.
    pub fn at(&self, id: StreamId, seq: u64) -> Option<Arc<MetadataMap>> {
        let known = self.0.get(&id).filter(|known| known.seq.saturating_add(1) >= seq)?;
        self.record(id, seq, known.metadata.clone());
        Some(known.metadata)
    }

    /// Records the metadata of a stream as of an event. An older one than the known one changes nothing.
    pub fn record(&self, id: StreamId, seq: u64, metadata: Arc<MetadataMap>) {
        if self.0.peek(&id).is_none_or(|known| known.seq < seq) {
            self.0.insert(id, Known { seq, metadata });
        }
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<StreamId, Known> for ByBytes {
    fn weight(&self, _: &StreamId, known: &Known) -> u64 {
        let texts = known.metadata.iter().map(|(key, value)| ENTRY_BYTES + key.len() + value.len());
        (ENTRY_BYTES + texts.sum::<usize>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(text: &str) -> Arc<MetadataMap> {
        Arc::new(HashMap::from([("title".to_owned(), text.to_owned())]))
    }

    #[test]
    fn metadata_is_known_while_every_event_is_processed() {
        let (known, id) = (KnownMetadata::default(), StreamId::generate());
        assert!(known.at(id, 1).is_none());
        known.record(id, 3, metadata("three"));
        assert_eq!(known.at(id, 4), Some(metadata("three")));
        assert_eq!(known.at(id, 5), Some(metadata("three")));
        assert!(known.at(id, 7).is_none(), "event 6 may have changed it");
        known.record(id, 7, metadata("seven"));
        known.record(id, 2, metadata("two"));
        assert_eq!(known.at(id, 8), Some(metadata("seven")));
    }
}
