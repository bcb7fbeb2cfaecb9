//! Rendering: encoded bytes of one part of a reset, shared by the clients that receive it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use super::budget::{Budget, Charge};

/// Bytes that live as long as a client sends them, or as long as they are kept.
#[derive(Default)]
pub(super) struct Rendering(Mutex<Slot>);

#[derive(Default)]
struct Slot {
    shared: Weak<Bytes>,
    /// Charged once, besides the charge of each client that sends the bytes.
    kept: Option<(Arc<Bytes>, Charge)>,
}

impl Rendering {
    /// Returns the bytes, which are rendered if they are neither kept nor sent by another client. They are kept until
    /// [`Self::release`] if `keep` returns a budget.
    pub(super) fn get_or_render<'a>(
        &self,
        keep: impl FnOnce() -> Option<&'a Budget>,
        render: impl FnOnce() -> Bytes,
    ) -> Bytes {
        let mut slot = self.lock();
        let bytes = slot.shared.upgrade().unwrap_or_else(|| Arc::new(render()));
        slot.shared = Arc::downgrade(&bytes);
        if slot.kept.is_none() {
            slot.kept = keep().map(|budget| (bytes.clone(), budget.charge(bytes.len())));
        }
        Bytes::from_owner(Shared(bytes))
    }

    /// Keeps the bytes no longer.
    pub(super) fn release(&self) {
        self.lock().kept = None;
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Shared(Arc<Bytes>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn rendering_is_shared_while_a_client_has_it_or_while_it_is_kept() {
        let metrics = Metrics::new().unwrap();
        let (rendering, count) = (Rendering::default(), Cell::new(0_u8));
        let get = |budget| {
            rendering.get_or_render(
                || budget,
                || {
                    count.set(count.get() + 1);
                    Bytes::from_static(b"text")
                },
            )
        };
        let (first, second) = (get(None), get(None));
        assert_eq!((&first[..], &second[..], count.get()), (&b"text"[..], &b"text"[..], 1));
        drop((first, second));
        let budget = Budget::new(&metrics);
        drop(get(Some(&budget)));
        drop(get(Some(&budget)));
        assert_eq!((count.get(), metrics.waiting_bytes.get()), (2, 4));
        rendering.release();
        assert_eq!(metrics.waiting_bytes.get(), 0);
        drop(get(None));
        assert_eq!(count.get(), 3);
    }
}
