//! The log of ended visits, which is a Redis stream.

use async_trait::async_trait;

use super::{
    client::RedisStore,
    codec::{self, corrupt},
    scripts::ReadVisits,
};
use crate::{
    domain::Cursor,
    store::{StoreError, VisitLog, VisitPage, visits::lost_before},
};

fn cursor(text: &str) -> Result<Cursor, StoreError> {
    text.parse().map_err(|_| corrupt("cursor"))
}

#[async_trait]
impl VisitLog for RedisStore {
    async fn visits_after(
        &self,
        position: Option<Cursor>,
        limit: usize,
    ) -> Result<Option<VisitPage>, StoreError> {
        let after = position.map_or_else(|| "-".to_owned(), |position| position.to_string());
        let call = ReadVisits { visits: self.keys.visits(), after, limit };
        let answer: (bool, String, Vec<String>) = self.run_bulk("read_visits", call).await?;
        let (continues, previous, page) = answer;
        let Some((end, texts)) = page.split_first().filter(|(_, texts)| !texts.is_empty()) else {
            return Ok(None);
        };
        let previous = cursor(&previous)?;
        let entries = texts.iter().map(|json| codec::visit_log_entry(json)).collect::<Result<Vec<_>, _>>()?;
        let lost = position.filter(|_| !continues).map(|position| lost_before(previous, position));
        Ok(Some(VisitPage::of(entries, cursor(end)?, lost)))
    }

    async fn remove_visits_before(&self, position: Cursor) -> Result<(), StoreError> {
        let mut command = redis::cmd("XTRIM");
        command.arg(self.keys.visits()).arg("MINID").arg(position.to_string());
        let _: i64 = self.query("remove_visits", &command).await?;
        Ok(())
    }
}
