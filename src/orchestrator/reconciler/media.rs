//! Comparison of media jobs: lists of LiveKit, and the streams that they concern.

use super::{egress_listing::EgressListing, ingresses::IngressListing, report::Report, service::Reconciler};
use crate::{
    domain::Stream,
    orchestrator::error::Error,
    store::{Lease, StoreError},
};

/// LiveKit's media jobs; those of a kind are `None` if LiveKit has not listed them.
pub(super) struct MediaListing {
    ingresses: Option<IngressListing>,
    egresses: Option<EgressListing>,
}

impl MediaListing {
    /// Returns the streams whose media jobs need a comparison.
    pub(super) fn concerning<'a>(&self, streams: impl Iterator<Item = &'a Stream>) -> Vec<Stream> {
        let has_ingresses = |stream| self.ingresses.as_ref().is_some_and(|listing| listing.concerns(stream));
        let has_egresses = |stream| self.egresses.as_ref().is_some_and(|listing| listing.concerns(stream));
        streams.filter(|stream| has_ingresses(stream) || has_egresses(stream)).cloned().collect()
    }
}

impl Reconciler {
    /// Lists LiveKit's media jobs. Without an answer, the comparison of the rooms goes on.
    ///
    /// # Errors
    /// Errors of the store.
    pub(super) async fn list_media(&self, report: &mut Report) -> Result<MediaListing, Error> {
        let ingresses = self.skip_failed(self.list_ingresses().await, report)?.flatten();
        let egresses = self.skip_failed(self.list_egresses().await, report)?.flatten();
        Ok(MediaListing { ingresses, egresses })
    }

    /// Compares the media jobs of streams, whose participants are compared already. Skips a stream for whose media jobs
    /// LiveKit does not answer.
    ///
    /// # Errors
    /// Errors of the store.
    pub(super) async fn compare_media(
        &self,
        streams: &[Stream],
        listing: &MediaListing,
        lease: &Lease,
        report: &mut Report,
    ) -> Result<(), Error> {
        for stream in streams {
            if let Some(ingresses) = &listing.ingresses {
                let compared = self.compare_ingresses(stream, ingresses, lease, &report.repairs).await;
                self.skip_failed(compared, report)?;
            }
            if let Some(egresses) = &listing.egresses {
                let compared = self.compare_egresses(stream, egresses, lease, &report.repairs).await;
                self.skip_failed(compared, report)?;
            }
        }
        Ok(())
    }

    /// Ends media jobs whose stream has ended: LiveKit has started them after the stop.
    ///
    /// # Errors
    /// Errors of the store.
    pub(super) async fn end_orphaned_media(
        &self,
        listing: &MediaListing,
        lease: &Lease,
        report: &mut Report,
    ) -> Result<(), Error> {
        if let Some(ingresses) = &listing.ingresses {
            let ended = self.delete_orphaned_ingresses(ingresses, lease, &report.repairs).await;
            self.skip_failed(ended, report)?;
        }
        if let Some(egresses) = &listing.egresses {
            let ended = self.stop_orphaned_egresses(egresses, lease, &report.repairs).await;
            self.skip_failed(ended, report)?;
        }
        Ok(())
    }

    /// Counts a failure of LiveKit or an unreadable record as failed, so that the comparison of other streams goes on.
    fn skip_failed<T>(&self, done: Result<T, Error>, report: &mut Report) -> Result<Option<T>, Error> {
        match done {
            Err(error @ (Error::Ingress(_) | Error::Egress(_) | Error::Store(StoreError::Corrupt(_)))) => {
                tracing::warn!(%error, "media jobs not compared with LiveKit");
                report.failed += 1;
                Ok(None)
            }
            done => done.map(Some),
        }
    }
}
