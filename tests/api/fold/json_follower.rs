//! A client that keeps the document of a stream over SSE or WebSocket.

use serde_json::Value;

use super::{FUTURE, histories::Target};
use crate::support::{
    feed_client::{FeedConnection, Received, Transport},
    fold::fold,
    within,
};

pub struct JsonFollower {
    pub transport: Transport,
    feed: FeedConnection,
    document: Value,
    cursor: String,
}

/// Returns the fields of a document that another one has too.
fn shared(document: &Value, other: &Value) -> Value {
    let mut document = document.clone();
    document.as_object_mut().unwrap().retain(|field, _| other.get(field).is_some());
    document
}

impl JsonFollower {
    /// Follows from a document and its cursor.
    pub async fn follow(target: &Target<'_>, transport: Transport, document: Value, cursor: String) -> Self {
        let feed = FeedConnection::open(&target.address(), transport, Some(&target.id), Some(&cursor))
            .await
            .unwrap();
        Self { transport, feed, document, cursor }
    }

    /// Follows from the snapshot of a reset.
    pub async fn from_reset(target: &Target<'_>, transport: Transport) -> Self {
        let mut feed =
            FeedConnection::open(&target.address(), transport, Some(&target.id), Some(FUTURE)).await.unwrap();
        match within("a reset", feed.next()).await {
            Received::Reset { cursor, snapshot, .. } => Self { transport, feed, document: snapshot, cursor },
            other => panic!("no reset: {other:?}"),
        }
    }

    async fn read(&mut self) {
        match within("an event", self.feed.next()).await {
            Received::Event(event) => {
                fold(&mut self.document, &event.json.unwrap());
                self.cursor = event.cursor;
            }
            other => panic!("no event: {other:?}"),
        }
    }

    /// Reads to the version of a document, and compares all fields that both documents have. Those of a snapshot are
    /// fewer.
    pub async fn assert_becomes(&mut self, document: &Value) {
        while self.document["version"].as_u64() < document["version"].as_u64() {
            self.read().await;
        }
        assert_eq!(
            shared(&self.document, document),
            shared(document, &self.document),
            "{:?}",
            self.transport
        );
    }

    /// Reads to the cursor of a snapshot, and compares all fields of the snapshot.
    pub async fn assert_reaches(&mut self, next: &Self) {
        while self.cursor != next.cursor {
            self.read().await;
        }
        assert_eq!(shared(&self.document, &next.document), next.document, "{:?}", self.transport);
    }
}
