//! The log of ended visits in memory.

use async_trait::async_trait;

use super::state::MemoryStore;
use crate::{
    domain::Cursor,
    store::{StoreError, VisitLog, VisitPage},
};

#[async_trait]
impl VisitLog for MemoryStore {
    async fn visits_after(
        &self,
        position: Option<Cursor>,
        limit: usize,
    ) -> Result<Option<VisitPage>, StoreError> {
        Ok(self.current().0.visits.page(position, limit))
    }

    async fn remove_visits_before(&self, position: Cursor) -> Result<(), StoreError> {
        self.current().0.visits.remove_before(position);
        Ok(())
    }
}
