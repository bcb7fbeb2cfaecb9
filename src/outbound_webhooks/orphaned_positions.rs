//! Positions whose endpoints no longer exist.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// Time for which a position must have had no endpoint before it is removed. A creation records the positions before
/// the endpoint, and takes less than this time.
pub(super) const CONFIRM_AFTER: Duration = Duration::from_secs(60);

/// Ids of the positions that had no endpoint in the newest listing, with the time since which no listing had it.
#[derive(Default)]
pub(super) struct OrphanedPositions {
    since: BTreeMap<String, Instant>,
    checked_at: Option<Instant>,
}

impl OrphanedPositions {
    /// True if the positions must be compared with the endpoints again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.checked_at.is_none_or(|at| now.duration_since(at) >= CONFIRM_AFTER)
    }

    /// Records the positions that have no endpoint now. Returns those that had none [`CONFIRM_AFTER`] ago either.
    pub(super) fn confirm(&mut self, orphaned: impl Iterator<Item = String>, now: Instant) -> Vec<String> {
        let since = |id: &String| self.since.get(id).copied().unwrap_or(now);
        self.since = orphaned.map(|id| (id.clone(), since(&id))).collect();
        self.checked_at = Some(now);
        let is_old = |(_, since): &(&String, &Instant)| now.duration_since(**since) >= CONFIRM_AFTER;
        self.since.iter().filter(is_old).map(|(id, _)| id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_is_confirmed_only_after_a_minute_without_endpoint() {
        let (mut orphans, start) = (OrphanedPositions::default(), Instant::now());
        let mut confirm = |ids: &[&str], seconds| {
            let at = start + Duration::from_secs(seconds);
            orphans.confirm(ids.iter().map(|id| (*id).to_owned()), at)
        };
        assert!(confirm(&["created", "deleted"], 0).is_empty());
        assert!(confirm(&["deleted"], 59).is_empty());
        assert!(confirm(&["created", "deleted", "later"], 59).is_empty());
        assert_eq!(confirm(&["created", "deleted"], 60), ["deleted"]);
        assert!(confirm(&["later"], 119).is_empty(), "it had an endpoint in between");
    }
}
