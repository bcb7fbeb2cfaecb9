//! Documents and operators' files, compared with the code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::servers::run;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Quoted strings of a source text that match.
fn quoted(text: &str, matches: impl Fn(&str) -> bool) -> BTreeSet<String> {
    text.split('"').skip(1).step_by(2).filter(|word| matches(word)).map(str::to_owned).collect()
}

fn metrics() -> BTreeSet<String> {
    let names = quoted(&read("src/telemetry/metrics/families.rs"), |word| {
        word.starts_with("lso_") || ["active_streams", "total_participants"].contains(&word)
    });
    assert!(names.len() > 20, "{names:?}");
    names
}

/// Names of metrics in a text, without the suffixes that Prometheus adds.
fn metrics_named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let named = words
        .filter(|word| word.starts_with("lso_") || ["active_streams", "total_participants"].contains(word));
    let plain = |word: &str| {
        let added = ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end));
        added.unwrap_or(word).to_owned()
    };
    named.map(plain).collect()
}

#[test]
fn metrics_in_reference_equal_those_in_code() {
    let reference = read("docs/REFERENCE.md");
    let table: BTreeSet<_> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned()))
        .filter(|name| name.starts_with("lso_") || name == "active_streams" || name == "total_participants")
        .collect();
    assert_eq!(table, metrics());
}

#[test]
fn dashboards_and_alerts_name_only_existing_metrics() {
    let known = metrics();
    for file in [
        "grafana/dashboards/livestream-orchestrator.json",
        "prometheus/alerts.yml",
        "prometheus/alerts_test.yml",
    ] {
        let named = metrics_named(&read(file));
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
        assert!(!named.is_empty(), "{file}");
    }
}

#[test]
fn prometheus_rules_pass_promtool_checks_and_tests() {
    run("promtool", &["check", "rules", "prometheus/alerts.yml"], "");
    run("promtool", &["test", "rules", "prometheus/alerts_test.yml"], "");
    run("promtool", &["check", "config", "--syntax-only", "prometheus/prometheus.yml"], "");
    let dashboard = read("grafana/dashboards/livestream-orchestrator.json");
    assert!(
        serde_json::from_str::<serde_json::Value>(&dashboard).unwrap()["panels"].as_array().unwrap().len()
            > 5
    );
}

#[test]
fn every_alert_has_runbook_section() {
    let (rules, runbook) = (read("prometheus/alerts.yml"), read("docs/OPERATIONS.md"));
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        assert!(runbook.contains(&format!("### {alert}\n")), "{alert}");
    }
}

#[test]
fn permissions_in_readme_equal_permission_table() {
    use livestream_orchestrator::access::{Grant, PERMISSIONS};
    let readme = read("README.md");
    for permission in PERMISSIONS {
        let grant = |grant: &Grant| {
            let of = match grant {
                Grant::RoomAdmin => " of its room",
                Grant::RoomJoin => " to its room",
                _ => "",
            };
            format!("`{}`{of}", grant.as_str())
        };
        let grants: Vec<_> = permission.grants.iter().map(grant).collect();
        let separator = if permission.needs_all { " and " } else { ", " };
        let row = format!("| {} | {} |", permission.description, grants.join(separator));
        assert!(readme.lines().any(|line| line == row), "the README has: {row}");
    }
    let rows = readme
        .split("| to | a token needs, with alternatives after commas |")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    assert_eq!(
        rows.lines().filter(|line| line.starts_with("| ")).count(),
        PERMISSIONS.len() + 1,
        "and no other row"
    );
}

/// Names of all environment variables of the settings.
fn settings() -> BTreeSet<String> {
    let source =
        ["arguments", "admission", "egress"].map(|file| read(&format!("src/settings/{file}.rs"))).concat();
    let names: BTreeSet<_> =
        source.split("env = \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    assert!(names.len() > 15, "{names:?}");
    names
}

#[test]
fn every_setting_is_in_reference_example_and_compose_file() {
    let (reference, example, compose) =
        (read("docs/REFERENCE.md"), read(".env.example"), read("docker-compose.yml"));
    let names = settings();
    let service = compose.split("  api:\n").nth(1).unwrap().split("\n    networks:").next().unwrap();
    let environment = service.split("environment:").nth(1).unwrap();
    for line in environment.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((name, _)) = line.split_once(": ") else { continue };
        assert!(name == "RUST_LOG" || names.contains(name), "{name} of docker-compose.yml is a setting");
    }
    for name in names {
        assert!(reference.contains(&format!("`{name}`")), "{name} is in docs/REFERENCE.md");
        let line = |line: &str| line.trim_start_matches('#').starts_with(&format!("{name}="));
        assert!(example.lines().any(line), "{name} is in .env.example");
        if name != "LIVEKIT_HOST" {
            assert!(compose.contains(&format!("{name}: ")), "{name} is in docker-compose.yml");
        }
    }
}

/// nginx writes the service's problem documents where it refuses a request by itself.
#[test]
fn problem_documents_of_nginx_match_error_table() {
    use livestream_orchestrator::{domain::ErrorCode, error_mapping::ErrorMapping};
    let mappings = ErrorCode::ALL.into_iter().map(ErrorMapping::of);
    let (config, reference) = (read("nginx/problems.conf"), read("docs/REFERENCE.md"));
    let documents = config.lines().filter_map(|line| line.trim().strip_prefix("return ")?.split_once(' '));
    let mut shared = 0;
    for (status, document) in documents.filter(|(_, document)| document.starts_with('\'')) {
        let document = document.trim_end_matches(';').trim_matches('\'');
        let document: serde_json::Value = serde_json::from_str(document).unwrap();
        let code = document["code"].as_str().unwrap();
        assert_eq!(document["status"].to_string(), status, "{code}");
        assert_eq!(document["type"], format!("urn:livestream-orchestrator:problem:{code}"));
        assert!(document["title"].is_string() && document["detail"].is_string(), "{code}");
        assert!(reference.contains(&format!("`{code}`")), "{code} is in docs/REFERENCE.md");
        if let Some(mapping) = mappings.clone().find(|mapping| mapping.code == code) {
            assert_eq!(
                (&document["title"], &document["status"]),
                (&mapping.title.into(), &mapping.http.into())
            );
            shared += 1;
        }
    }
    assert!(shared >= 5, "{shared}");
}

#[test]
fn every_image_is_in_digest_command_of_runbook() {
    let (compose, dockerfile) = (read("docker-compose.yml"), read("Dockerfile"));
    let arguments: Vec<_> =
        dockerfile.lines().filter_map(|line| line.strip_prefix("ARG ")?.split_once('=')).collect();
    let named = compose.lines().filter_map(|line| line.trim().strip_prefix("image: "));
    let bases = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next());
    let images: BTreeSet<_> = named
        .chain(bases)
        .filter(|image| !image.starts_with("livestream-orchestrator:"))
        .map(|image| {
            let fill =
                |text: String, (name, value): &(&str, &str)| text.replace(&format!("${{{name}}}"), value);
            arguments.iter().fold(image.split('@').next().unwrap().to_owned(), fill)
        })
        .collect();
    let runbook = read("docs/OPERATIONS.md");
    let command = runbook.split("for image in ").nth(1).unwrap().split("; do").next().unwrap();
    let listed = command.split_whitespace().filter(|word| *word != "\\").map(str::to_owned).collect();
    assert_eq!(images, listed);
}

#[test]
fn grafana_in_compose_file_has_no_basic_auth() {
    assert!(read("docker-compose.yml").contains("\n      GF_AUTH_BASIC_ENABLED: \"false\"\n"));
}

#[test]
fn every_variable_of_compose_file_is_in_example() {
    let (compose, example) = (read("docker-compose.yml"), read(".env.example"));
    let names: BTreeSet<_> = compose
        .split("${")
        .skip(1)
        .map(|rest| rest.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_').next().unwrap())
        .collect();
    assert!(names.contains("REDIS_URL"), "{names:?}");
    for name in names {
        let line = |line: &str| line.trim_start_matches('#').starts_with(&format!("{name}="));
        assert!(example.lines().any(line), "{name} is in .env.example");
    }
}

/// `scripts/vendor` reads the version and the hash from the module, in the image too.
#[test]
fn dockerfile_copies_pin_of_every_browser_library() {
    let (script, dockerfile) = (read("scripts/vendor"), read("Dockerfile"));
    let copies = dockerfile.lines().filter(|line| line.starts_with("COPY static/assets/"));
    let copied: BTreeSet<_> = copies.flat_map(str::split_whitespace).collect();
    let pins: Vec<_> =
        script.lines().filter_map(|line| line.strip_prefix("fetch ")?.split(' ').nth(2)).collect();
    assert!(!pins.is_empty(), "scripts/vendor fetches libraries");
    for pin in pins {
        assert!(copied.contains(format!("static/assets/{pin}").as_str()), "{pin} is copied");
    }
}
