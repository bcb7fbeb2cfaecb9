//! The programs of docs/CLIENTS.md, extracted from the document and run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod document;
mod folds;
mod followers;
mod network;
mod pages;
mod receivers;
mod service;
mod starters;

use std::collections::BTreeSet;

/// Programs that create a stream and request a join token.
const STARTERS: [&str; 4] = ["start.sh", "start.mjs", "start.py", "start.rs"];
/// Programs that follow a stream over SSE.
const FOLLOWERS: [&str; 4] = ["follow.sh", "follow.mjs", "follow.py", "follow.rs"];
/// Programs that keep the state of a stream, from the output of the follower at the same index.
const FOLDS: [&str; 4] = ["fold.sh", "fold.mjs", "fold.py", "fold.rs"];
/// Programs that receive webhooks.
const RECEIVERS: [&str; 3] = ["receive.mjs", "receive.py", "receive.rs"];
const GRPC_FOLLOWER: &str = "follow-grpc.sh";
/// Browser modules.
const PAGES: [&str; 2] = ["watch.js", "page.js"];
/// Program that makes an access token.
const TOKEN_MAKER: &str = "make_token.py";

/// Defines a test for each program.
macro_rules! program_tests {
    ($($test:ident($program:expr) as $name:ident;)*) => {
        $(#[tokio::test]
        async fn $name() {
            $test($program).await;
        })*
    };
}

use program_tests;

#[test]
fn every_program_in_document_is_tested() {
    let documented: Vec<_> = document::programs().into_iter().map(|program| program.name).collect();
    let tested =
        [&STARTERS[..], &FOLLOWERS, &FOLDS, &RECEIVERS, &PAGES, &[GRPC_FOLLOWER, TOKEN_MAKER]].concat();
    assert_eq!(
        documented.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        tested.iter().copied().collect()
    );
    assert_eq!(documented.len(), tested.len(), "no name twice");
}

#[test]
fn examples_equal_programs_in_document() {
    for program in document::programs().into_iter().filter(|program| program.name.ends_with(".rs")) {
        assert_eq!(program.text, document::shown(&program.name), "{}", program.name);
    }
}
