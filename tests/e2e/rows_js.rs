//! `arrangeRows` of `dom.js`: rows that keep their order are not moved.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::json;

use crate::page_fixture::PageFixture;

/// Arranges rows in an order and then in another one, with the focus on a row of the second. Returns the second order
/// as shown, the rows that were inserted for it, and the row with the focus.
const SCRIPT: &str = "const [first, second, focused, done] = arguments; \
     import('/assets/dom.js').then(({arrangeRows, make}) => { \
         const list = make('ol'); \
         document.body.append(list); \
         const named = Object.fromEntries([...first + second].map((name) => [name, make('button', {}, name)])); \
         const rows = (names) => [...names].map((name) => named[name]); \
         arrangeRows(list, rows(first)); \
         named[focused].focus(); \
         const observer = new MutationObserver(() => {}); \
         observer.observe(list, {childList: true}); \
         arrangeRows(list, rows(second)); \
         const inserted = observer.takeRecords().flatMap(({addedNodes}) => [...addedNodes]); \
         const text = (nodes) => nodes.map((node) => node.textContent).join(''); \
         done([text([...list.children]), text(inserted), document.activeElement.textContent]); \
     }).catch((error) => done(String(error)))";

#[tokio::test]
async fn arranged_rows_move_only_if_their_order_changes_and_keep_the_focus() {
    let fixture = PageFixture::start().await;
    let page = fixture.driver.browser().await;
    page.open(&fixture.page("/")).await;
    for (first, second, inserted, focused) in [
        ("ABC", "BC", "", "B"),
        ("ABC", "ABC", "", "B"),
        ("BC", "ABC", "A", "B"),
        ("ABCD", "BCAD", "A", "A"),
        ("ABCD", "BCDA", "A", "A"),
        ("ABCD", "DABC", "D", "D"),
        ("ABCD", "CEB", "BE", "C"),
    ] {
        let arguments = vec![json!(first), json!(second), json!(focused)];
        let shown = page.client.execute_async(SCRIPT, arguments).await.unwrap();
        assert_eq!(shown, json!([second, inserted, focused]), "{first} to {second}");
    }
    page.close().await;
}
