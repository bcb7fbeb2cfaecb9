//! `stream-list.js` with documents and events in any order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use crate::page_fixture::PageFixture;

/// Applies documents to a list in this order, and returns the shown titles after each.
const SCRIPT: &str = "const [documents, done] = [arguments[0], arguments[arguments.length - 1]]; \
     import('/assets/stream-list.js').then(({StreamList}) => { \
         const element = document.createElement('ul'); \
         const list = new StreamList(element, document.createElement('input'), () => {}); \
         const known = {streamId: 'a', roomName: 'room', status: 'active', participantCount: 0, \
             participantCounts: {hosts: 0, viewers: 0}, \
             createdAt: '2026-01-14T10:00:00.000Z', startedAt: '2026-01-14T10:00:00.000Z'}; \
         done(documents.map((stream) => { \
             list.apply({...known, ...stream}); \
             return element.querySelector('h3').textContent; \
         })); }).catch((error) => done(String(error)))";

fn titled(version: u64, title: &str) -> Value {
    json!({"version": version, "metadata": {"title": title}})
}

/// A document as in an event that omits metadata.
fn untitled(version: u64) -> Value {
    json!({"version": version})
}

#[tokio::test]
async fn stream_list_shows_newest_metadata_of_documents_in_any_order() {
    let fixture = PageFixture::start().await;
    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/")).await;
    let unknown = "Stream room";
    for (documents, titles) in [
        // Pages of the list that are older than an event.
        (json!([untitled(10), titled(5, "old"), titled(8, "new")]), json!([unknown, "old", "new"])),
        (json!([untitled(10), titled(8, "new"), titled(5, "old")]), json!([unknown, "new", "new"])),
        (json!([untitled(10), titled(10, "same")]), json!([unknown, "same"])),
        // An event with metadata, and a page from before it.
        (json!([titled(7, "event"), untitled(9), titled(6, "old")]), json!(["event", "event", "event"])),
        (json!([titled(7, "event"), untitled(9), titled(8, "event")]), json!(["event", "event", "event"])),
        // A page from before an event that changes the metadata.
        (json!([untitled(6), titled(5, "old"), titled(7, "new")]), json!([unknown, "old", "new"])),
    ] {
        let shown = page.client.execute_async(SCRIPT, vec![documents.clone()]).await.unwrap();
        assert_eq!(shown, titles, "{documents}");
    }
    page.close().await;
}
