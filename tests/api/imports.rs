//! Direction of the imports: which folders of `src` may name items of which others, and that no files name each other
//! in a circle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod graph;
mod module;

use std::{collections::BTreeSet, fs, path::Path};

use self::graph::{Graph, Target};

/// Which folders and files at the top of `src` may name items of which others. This is the only list of the direction.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("telemetry", &[]),
    ("error_mapping", &["domain"]),
    ("access", &["domain"]),
    ("store", &["domain", "telemetry"]),
    ("livekit_client", &["telemetry"]),
    ("rooms", &["access", "domain", "livekit_client", "telemetry"]),
    ("media", &["access", "domain", "livekit_client", "telemetry"]),
    ("orchestrator", &["access", "domain", "media", "store", "rooms", "telemetry"]),
    ("delivery", &["domain"]),
    ("followers", &["domain", "store", "telemetry"]),
    ("history", &["access", "domain", "followers", "store", "telemetry"]),
    (
        "outbound_webhooks",
        &["access", "delivery", "domain", "followers", "orchestrator", "store", "telemetry"],
    ),
    ("relay", &["domain", "orchestrator", "store", "telemetry"]),
    ("admission", &["access", "domain", "store", "telemetry"]),
    (
        "http",
        &[
            "access",
            "admission",
            "delivery",
            "domain",
            "error_mapping",
            "history",
            "orchestrator",
            "outbound_webhooks",
            "relay",
            "rooms",
            "store",
            "telemetry",
        ],
    ),
    ("grpc", &["access", "admission", "domain", "error_mapping", "orchestrator", "relay", "store"]),
    (
        "settings",
        &[
            "access",
            "admission",
            "delivery",
            "domain",
            "history",
            "media",
            "orchestrator",
            "relay",
            "rooms",
            "store",
            "telemetry",
        ],
    ),
];
/// Folders and files at the top of `src` that may name all others.
const ROOTS: [&str; 2] = ["app", "check"];

/// Folders that may not name frameworks and servers.
const PURE: [&str; 7] =
    ["access", "domain", "error_mapping", "followers", "orchestrator", "outbound_webhooks", "relay"];
/// Crates of frameworks and servers.
const FRAMEWORKS: [&str; 9] = [
    "actix_http",
    "actix_server",
    "actix_service",
    "actix_web",
    "actix_ws",
    "livekit_api",
    "livekit_protocol",
    "redis",
    "tonic",
];

fn top_of(module: &[String]) -> &str {
    module.first().map_or("lib", String::as_str)
}

#[test]
fn folder_names_only_folders_to_its_left() {
    let violations: Vec<_> = Graph::of_crate("src/lib.rs")
        .references()
        .into_iter()
        .filter_map(|reference| {
            let allowed = MAY_NAME.iter().find(|(folder, _)| *folder == top_of(&reference.module))?.1;
            let target = reference.target.as_ref().ok().map(|(_, target)| top_of(target))?;
            let is_allowed = target == top_of(&reference.module) || allowed.contains(&target);
            (!is_allowed).then(|| format!("{} names {}", reference.from, reference.path))
        })
        .collect();
    assert!(violations.is_empty(), "imports against the direction:\n{}", violations.join("\n"));
}

#[test]
fn every_folder_of_src_has_a_rule() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let names: BTreeSet<_> =
        names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let ruled = MAY_NAME.iter().map(|(folder, _)| *folder).chain(ROOTS).chain(["lib", "main"]);
    assert_eq!(names, ruled.map(str::to_owned).collect());
}

#[test]
fn pure_folder_names_no_framework() {
    let violations: Vec<_> = Graph::of_crate("src/lib.rs")
        .references()
        .into_iter()
        .filter(|reference| PURE.contains(&top_of(&reference.module)))
        .filter(|reference| reference.target.as_ref().is_err_and(|name| FRAMEWORKS.contains(&name.as_str())))
        .map(|reference| format!("{} names {}", reference.from, reference.path))
        .collect();
    assert!(violations.is_empty(), "frameworks in pure folders:\n{}", violations.join("\n"));
}

#[test]
fn files_do_not_name_each_other_in_a_circle() {
    let mut found = Vec::new();
    let benches = ["speed", "faults", "neighbours"].map(|name| format!("benches/{name}/main.rs"));
    for root in ["src/lib.rs"].into_iter().chain(benches.iter().map(String::as_str)) {
        for (files, references) in Graph::of_crate(root).cycles() {
            found.push(format!("{files:?}\n    {}", references.join("\n    ")));
        }
    }
    assert!(found.is_empty(), "{} cycles:\n{}", found.len(), found.join("\n"));
}

#[test]
fn path_resolves_to_the_file_that_defines_the_item() {
    let graph = Graph::of_crate("src/lib.rs");
    let resolve = |module: &str, path: &str| {
        let split = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
        graph.resolve(&split(module), &split(path))
    };
    let item = |module: &str| Target::Item(module.split("::").map(str::to_owned).collect());
    assert_eq!(resolve("http", "crate::domain::Cursor"), item("domain::cursor"), "re-export");
    assert_eq!(resolve("domain::event", "Cursor::ORIGIN"), item("domain::cursor"), "name in scope");
    assert_eq!(resolve("domain::aggregate", "super::event::Draft"), item("domain::event"), "relative path");
    assert_eq!(resolve("domain::event", "serde::Serialize"), Target::External("serde".to_owned()));
}
