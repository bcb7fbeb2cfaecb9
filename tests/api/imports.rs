//! The direction of the house: `domain ← store, rooms ← orchestrator, relay ← http ← app`. Read from the sources.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, path::Path};

/// What a folder may name of this crate besides itself.
const MAY_NAME: [(&str, &[&str]); 12] = [
    ("domain", &[]),
    ("access", &["domain"]),
    ("admission", &["access", "domain", "rooms", "store", "telemetry"]),
    ("error_mapping", &["domain"]),
    ("telemetry", &[]),
    ("store", &["domain", "telemetry"]),
    ("rooms", &["access", "domain", "telemetry"]),
    ("orchestrator", &["access", "domain", "store", "rooms", "telemetry"]),
    ("relay", &["domain", "store", "telemetry"]),
    (
        "http",
        &[
            "access",
            "admission",
            "domain",
            "error_mapping",
            "store",
            "rooms",
            "orchestrator",
            "relay",
            "telemetry",
        ],
    ),
    ("grpc", &["access", "admission", "domain", "error_mapping", "store", "orchestrator", "relay"]),
    ("settings", &["admission", "orchestrator", "relay", "rooms", "store", "telemetry"]),
];

/// Frameworks and servers that the inner folders must not name.
const OUTSIDE: [&str; 6] = ["actix_web", "actix_cors", "tonic", "redis::", "livekit_api", "livekit_protocol"];
const PURE: [&str; 4] = ["access", "domain", "orchestrator", "relay"];

fn sources(path: &Path, found: &mut Vec<(String, String)>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let text = fs::read_to_string(path).unwrap();
        // What tests within a module use is their own affair; comments say what they like.
        let code = text.split("#[cfg(test)]\nmod").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        found.push((path.display().to_string(), lines.collect::<Vec<_>>().join("\n")));
    }
}

/// The first path segment after every `crate::`, also within `use crate::{…}`.
fn named(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(std::mem::take(&mut item)),
                    _ if depth == 0 => item.push(c),
                    _ => {}
                }
            }
            names.push(item);
        } else {
            names.push(rest.to_owned());
        }
    }
    let word = |text: &String| {
        text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    names.iter().map(word).filter(|name| !name.is_empty()).collect()
}

#[test]
fn nothing_points_from_left_to_right() {
    for (folder, allowed) in MAY_NAME {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        let path = root.join(folder);
        sources(&if path.is_dir() { path } else { path.with_extension("rs") }, &mut found);
        assert!(!found.is_empty(), "{folder} has sources");
        for (file, code) in found {
            for name in named(&code) {
                assert!(name == folder || allowed.contains(&name.as_str()), "{file} names {name}");
            }
            if PURE.contains(&folder) {
                assert!(!OUTSIDE.iter().any(|outside| code.contains(outside)), "{file} names a framework");
            }
        }
    }
}

#[test]
fn the_reader_of_imports_sees_them() {
    let code = "use crate::{\n    domain::{Cursor, Event},\n    store::Topic,\n};\nlet x = crate::http::y;";
    assert_eq!(named(code), ["domain", "store", "http"]);
}
