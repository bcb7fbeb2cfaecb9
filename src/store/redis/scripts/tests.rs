use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{
    batch, calls, change_script, changes, constants,
    definition::{Definition, Position},
    egress_changes,
    linking::commands_in,
};

const FOLDER: &str = "src/store/redis/lua";

fn all_changes() -> impl Iterator<Item = &'static Definition> {
    changes::ALL.iter().chain(egress_changes::ALL)
}

fn definitions() -> impl Iterator<Item = &'static Definition> {
    all_changes().chain(calls::ALL).chain([&batch::DEFINITION])
}

/// The Lua files by their paths under [`FOLDER`].
fn files() -> BTreeMap<String, String> {
    fn collect(folder: &Path, files: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else {
                let name = path.strip_prefix(FOLDER).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    collect(Path::new(FOLDER), &mut files);
    files
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("--").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The names behind `prefix`, as in `KEY.name`.
fn names_after<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let end = |rest: &str| rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    text.split(prefix).skip(1).map(|rest| &rest[..end(rest)]).collect()
}

fn names(positions: [&'static [Position]; 2]) -> BTreeSet<&'static str> {
    positions.into_iter().flatten().map(|position| position.name).collect()
}

fn body(definition: &Definition) -> String {
    without_comments(&(definition.shared.concat() + &definition.own_text() + &definition.deferred_text()))
}

#[test]
fn every_name_in_a_script_is_declared_and_every_declared_name_is_used() {
    let (mut used_in_changes, mut used_constants) = (BTreeSet::new(), BTreeSet::new());
    // The keys that scripts make.
    used_in_changes.insert("ARG.key_prefix".to_owned());
    let constants: BTreeSet<_> = constants::all().into_iter().map(|(name, _)| name).collect();
    for definition in definitions() {
        let (file, body) = (definition.file, body(definition));
        let is_change = file.starts_with("changes/");
        let [key_names, arg_names] = [definition.key_names().into_iter().collect(), names(definition.args)];
        for (prefix, positions, declared) in
            [("KEY.", definition.keys, key_names), ("ARG.", definition.args, arg_names)]
        {
            let used = names_after(&body, prefix);
            let undeclared: Vec<_> = used.difference(&declared).collect();
            assert!(undeclared.is_empty(), "{file} uses {undeclared:?}");
            let unused: Vec<_> =
                positions[1].iter().filter(|position| !used.contains(position.name)).collect();
            assert!(unused.is_empty(), "{file} does not use {unused:?}");
            if is_change {
                used_in_changes.extend(used.into_iter().map(|name| format!("{prefix}{name}")));
            }
            let count = positions.into_iter().flatten().count();
            assert!(names(positions).len() == count, "{file} has a name twice");
        }
        let named = names_after(&body, "CONST.");
        let undeclared: Vec<_> = named.difference(&constants).collect();
        assert!(undeclared.is_empty(), "{file} uses {undeclared:?}");
        used_constants.extend(named.into_iter().map(str::to_owned));
    }
    let unused: Vec<_> = constants.iter().filter(|name| !used_constants.contains(**name)).collect();
    assert!(unused.is_empty(), "no script uses {unused:?}");
    for (prefix, positions) in ["KEY.", "ARG."].into_iter().zip(change_script::SHARED) {
        for position in positions {
            let name = format!("{prefix}{}", position.name);
            assert!(used_in_changes.contains(&name), "no change uses {name}");
        }
    }
}

#[test]
fn every_file_is_part_of_a_script_and_names_no_position() {
    let texts: BTreeSet<_> =
        definitions().flat_map(|one| one.shared.iter().copied().chain([one.own])).collect();
    for (name, text) in files() {
        assert!(texts.contains(text.as_str()), "no script contains {name}");
        for positional in ["KEYS", "ARGV"] {
            assert!(!text.contains(positional), "{name} contains {positional}");
        }
        assert!(text.lines().all(|line| line.len() <= 120), "{name} has a line over 120 columns");
    }
}

#[test]
fn only_the_clock_reads_the_time() {
    for (name, text) in files() {
        assert_eq!(text.contains("call('TIME')"), name == "shared/clock.lua", "{name}");
    }
}

#[test]
fn a_list_of_values_is_the_last_argument() {
    for definition in definitions() {
        let positions: Vec<_> = definition.args.into_iter().flatten().rev().skip(1).collect();
        assert!(positions.iter().all(|position| !position.is_tail), "{}", definition.file);
    }
}

#[test]
fn text_has_positions_for_names_and_values_for_constants() {
    let definition = calls::ALL.iter().find(|one| one.file == "record_missing.lua").unwrap();
    let text = definition.text();
    let header = "-- record_missing.lua\nlocal ARG_stream_ids = { unpack(ARGV, 2) }\n--";
    assert!(text.starts_with(header), "{text}");
    assert!(text.contains("ipairs(ARG_stream_ids)") && text.contains("KEYS[1], ARGV[1]"), "{text}");
    for definition in definitions() {
        let text = without_comments(&definition.text());
        for name in ["KEY.", "ARG.", "CONST.", "check_permissions"] {
            assert!(!text.contains(name), "{}: {text}", definition.file);
        }
    }
    let definition = changes::ALL.iter().find(|one| one.file == "changes/close.lua").unwrap();
    let text = definition.text();
    assert!(text.contains("], 100\n") && text.contains("bytes < 262144"), "{text}");
}

#[test]
fn change_checks_permission_for_every_command_that_it_runs_after_a_write() {
    assert!(all_changes().count() >= 12);
    for change in all_changes().chain([&batch::DEFINITION]) {
        let text = change.text();
        let lists = text.split("denial_of({ ").skip(1).map(|rest| rest.split(" }").next().unwrap());
        let checked: BTreeSet<_> =
            lists.flat_map(|list| list.split(", ").map(|name| name.trim_matches('\'').to_owned())).collect();
        let unchecked: BTreeSet<_> = commands_in(&text).difference(&checked).cloned().collect();
        // Reads, and publishing, which has a check of its own.
        let permitted = ["EXISTS", "GET", "HGET", "HMGET", "TIME", "ZRANGE", "ZSCORE", "SPUBLISH"];
        let permitted = permitted.map(str::to_owned).into();
        assert!(unchecked.is_subset(&permitted), "{}: {unchecked:?}", change.file);
        assert!(checked.contains("HSET") && text.contains("or denial_of_publish()"), "{}", change.file);
    }
}
