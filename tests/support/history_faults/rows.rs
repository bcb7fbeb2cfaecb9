//! The logs and the rows of the history.

use livestream_orchestrator::{
    domain::{Cursor, StreamId},
    history::{HistoryStore, RowLimit},
};
use serde_json::{Value, value::RawValue};

use super::super::eventually;

/// A limit that no page of a test reaches.
pub const ALL: RowLimit = RowLimit { rows: 1_000_000, bytes: usize::MAX };

/// Returns the whole log of a stream, as the instances show it.
pub async fn log_of(urls: &[String], id: &str) -> Vec<String> {
    let (mut log, mut after): (Vec<String>, _) = (Vec::new(), "0-0".to_owned());
    loop {
        let page = page_of(urls, &format!("/events/{id}?limit=1000&after={after}")).await;
        let Some(last) = page.last() else { return log };
        let last: Value = serde_json::from_str(last).unwrap();
        last["cursor"].as_str().unwrap().clone_into(&mut after);
        log.extend(page);
    }
}

async fn page_of(urls: &[String], path: &str) -> Vec<String> {
    let events: Vec<Box<RawValue>> = eventually("the log", || async {
        for url in urls {
            if let Ok(response) = reqwest::get(format!("{url}{path}")).await
                && response.status().is_success()
            {
                return response.json().await.ok();
            }
        }
        None
    })
    .await;
    events.iter().map(|event| event.get().to_owned()).collect()
}

/// Returns the rows of a stream's events; none while the database is away.
pub async fn events_of(store: &dyn HistoryStore, id: &str) -> Vec<String> {
    let id: StreamId = id.parse().unwrap();
    let events = store.events(id, Cursor::ORIGIN, ALL).await.map(|page| page.rows).unwrap_or_default();
    events.into_iter().map(|event| event.json).collect()
}

/// Returns the sessions of a stream's rows; none while the database is away.
pub async fn visits_of(store: &dyn HistoryStore, id: &str) -> Vec<String> {
    let visits = store.visits(id.parse().unwrap(), None, ALL).await.map(|page| page.rows);
    visits.unwrap_or_default().into_iter().map(|visit| visit.sid.to_string()).collect()
}
