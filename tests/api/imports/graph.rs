//! The modules of a crate and which file names items of which other file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::module::{Module, ModulePath};

/// Maximum number of re-exports that a path is followed through.
const MAX_HOPS: usize = 32;

/// What a path stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A module of the crate.
    Module(ModulePath),
    /// An item that this module defines.
    Item(ModulePath),
    /// Something in another crate, or a name of the language; its first segment.
    External(String),
}

/// All modules of one crate, with the file of each.
pub struct Graph {
    modules: BTreeMap<ModulePath, (String, Module)>,
}

/// A reference from one file to an item of another file of the crate, or to another crate.
pub struct Reference {
    /// Module that names the item.
    pub module: ModulePath,
    /// File that names the item, relative to the root of the package.
    pub from: String,
    /// Path as the file writes it.
    pub path: String,
    /// File that defines the item, and its module; the name of the other crate otherwise.
    pub target: Result<(String, ModulePath), String>,
}

impl Graph {
    /// Reads a crate from its root file, such as `src/lib.rs`, relative to the root of the package.
    pub fn of_crate(root: &str) -> Self {
        let mut graph = Self { modules: BTreeMap::new() };
        let folder = root.rsplit_once('/').expect("a root in a folder").0;
        graph.read_file(root, folder, Vec::new());
        graph
    }

    fn read_file(&mut self, file: &str, folder: &str, module: ModulePath) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let source = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let contents = Module::read(&source.items);
        for child in &contents.children {
            let inner = format!("{folder}/{child}");
            let flat = format!("{inner}.rs");
            let is_flat = Path::new(env!("CARGO_MANIFEST_DIR")).join(&flat).is_file();
            let file = if is_flat { flat } else { format!("{inner}/mod.rs") };
            self.read_file(&file, &inner, [&module[..], std::slice::from_ref(child)].concat());
        }
        self.add(file, module, contents);
    }

    fn add(&mut self, file: &str, path: ModulePath, mut module: Module) {
        for (name, inline) in std::mem::take(&mut module.inline) {
            self.add(file, [&path[..], &[name]].concat(), inline);
        }
        self.modules.insert(path, (file.to_owned(), module));
    }

    /// Returns what a path in a module stands for. Re-exports are followed to the definition.
    pub fn resolve(&self, module: &[String], path: &[String]) -> Target {
        self.resolve_within(module, path, MAX_HOPS)
    }

    fn resolve_within(&self, module: &[String], path: &[String], hops: usize) -> Target {
        let mut current = module.to_vec();
        let mut rest = path;
        while let Some((first, others)) = rest.split_first() {
            match first.as_str() {
                "crate" => current.clear(),
                "self" => {}
                "super" => drop(current.pop()),
                _ => break,
            }
            rest = others;
        }
        let is_relative = rest.len() == path.len();
        for (position, name) in rest.iter().enumerate() {
            match self.lookup(&current, name, hops) {
                Some(Target::Module(module)) => current = module,
                Some(other) => return other,
                None if position == 0 && is_relative => return Target::External(name.clone()),
                // A macro defines the item, or it is a name of an enum's variant.
                None => return Target::Item(current),
            }
        }
        Target::Module(current)
    }

    fn lookup(&self, module: &[String], name: &str, hops: usize) -> Option<Target> {
        let child = [module, &[name.to_owned()]].concat();
        if self.modules.contains_key(&child) {
            return Some(Target::Module(child));
        }
        let (_, contents) = self.modules.get(module)?;
        if contents.items.contains(name) {
            return Some(Target::Item(module.to_vec()));
        }
        if contents.elsewhere.contains(name) {
            return Some(Target::External(name.to_owned()));
        }
        let hops = hops.checked_sub(1)?;
        if let Some(path) = contents.imports.get(name).filter(|path| **path != [name]) {
            return Some(self.resolve_within(module, path, hops));
        }
        contents.globs.iter().find_map(|glob| match self.resolve_within(module, glob, hops) {
            Target::Module(glob) if glob != module => self.lookup(&glob, name, hops),
            _ => None,
        })
    }

    /// Returns all references between files, and to other crates.
    pub fn references(&self) -> Vec<Reference> {
        let mut all = Vec::new();
        for (module, (from, contents)) in &self.modules {
            for path in &contents.references {
                let target = match self.resolve(module, path) {
                    Target::Item(target) | Target::Module(target) => Ok(target),
                    Target::External(name) => Err(name),
                };
                let target = target.map(|target| (self.modules[&target].0.clone(), target));
                if target.as_ref().is_ok_and(|(file, _)| file == from) {
                    continue;
                }
                all.push(Reference {
                    module: module.clone(),
                    from: from.clone(),
                    path: path.join("::"),
                    target,
                });
            }
        }
        all
    }

    /// Returns the groups of files that name each other in a circle, each with the paths that make the circle.
    pub fn cycles(&self) -> Vec<(BTreeSet<String>, Vec<String>)> {
        let mut edges: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for reference in self.references() {
            let Ok((to, _)) = reference.target else { continue };
            edges.entry(reference.from).or_default().entry(to).or_insert(reference.path);
        }
        let reachable: BTreeMap<_, _> = edges.keys().map(|file| (file, reachable(&edges, file))).collect();
        let mut groups = BTreeSet::new();
        for (file, others) in &reachable {
            let returns = |other: &&String| reachable.get(other).is_some_and(|back| back.contains(*file));
            let group: BTreeSet<String> = others.iter().filter(returns).cloned().collect();
            if group.len() > 1 {
                groups.insert(group);
            }
        }
        groups
            .into_iter()
            .map(|group| (described(&edges, &group), group))
            .map(|(text, group)| (group, text))
            .collect()
    }
}

type Edges = BTreeMap<String, BTreeMap<String, String>>;

fn reachable(edges: &Edges, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(file) = open.pop() {
        for next in edges.get(&file).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    found
}

fn described(edges: &Edges, group: &BTreeSet<String>) -> Vec<String> {
    let within = |file: &String| {
        let inner = edges[file].iter().filter(|(to, _)| group.contains(*to));
        inner.map(|(to, path)| format!("{file} → {to} ({path})")).collect::<Vec<_>>()
    };
    group.iter().flat_map(within).collect()
}
