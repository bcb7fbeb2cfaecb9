//! One module as its source text declares it: its items, its imports, and every path that it names.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Item, ItemUse, Macro, Meta, UseTree, Visibility,
    visit::{self, Visit},
};

/// Path of a module or an item, one segment an element. The crate root is empty.
pub type ModulePath = Vec<String>;

/// What one module declares and names. An inline module is a module of its own.
#[derive(Default)]
pub struct Module {
    /// Items that the module defines.
    pub items: BTreeSet<String>,
    /// Names that `use` brings into scope, with the paths that they stand for.
    pub imports: BTreeMap<String, ModulePath>,
    /// Paths of glob imports.
    pub globs: Vec<ModulePath>,
    /// Paths that the module names. Re-exports are left out, because they are declarations.
    pub references: Vec<ModulePath>,
    /// Child modules in files of their own.
    pub children: Vec<String>,
    /// Child modules of other folders, declared with `#[path]`.
    pub elsewhere: BTreeSet<String>,
    /// Child modules with bodies in the same file.
    pub inline: Vec<(String, Module)>,
}

impl Module {
    /// Reads the items of a file or of an inline module. Modules for tests are left out.
    pub fn read(items: &[Item]) -> Self {
        let mut module = Self::default();
        for item in items {
            module.declare(item);
            module.visit_item(item);
        }
        module
    }

    fn declare(&mut self, item: &Item) {
        let name = match item {
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::Type(item) => &item.ident,
            _ => return,
        };
        self.items.insert(name.to_string());
    }

    fn import(&mut self, prefix: &[String], tree: &UseTree, is_reference: bool) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&with(&path.ident), &path.tree, is_reference),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(prefix, tree, is_reference));
            }
            UseTree::Glob(_) => self.globs.push(prefix.to_vec()),
            UseTree::Name(name) if name.ident == "self" => {
                self.bring_into_scope(prefix.last().cloned(), prefix.to_vec(), is_reference);
            }
            UseTree::Name(name) => {
                self.bring_into_scope(Some(name.ident.to_string()), with(&name.ident), is_reference);
            }
            UseTree::Rename(rename) if rename.ident == "self" => {
                self.bring_into_scope(Some(rename.rename.to_string()), prefix.to_vec(), is_reference);
            }
            UseTree::Rename(rename) => {
                self.bring_into_scope(Some(rename.rename.to_string()), with(&rename.ident), is_reference);
            }
        }
    }

    fn bring_into_scope(&mut self, name: Option<String>, path: ModulePath, is_reference: bool) {
        if is_reference {
            self.references.push(path.clone());
        }
        self.imports.extend(name.map(|name| (name, path)));
    }

    /// Adds the paths in a macro's arguments. Single lower-case words are left out: most are variables or fields.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path = ModulePath::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if colons == 2 || path.is_empty() => path.push(ident.to_string()),
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                other => {
                    self.end_token_path(&mut path);
                    match other {
                        TokenTree::Ident(ident) => path.push(ident.to_string()),
                        TokenTree::Group(group) => self.read_tokens(group.stream()),
                        _ => {}
                    }
                }
            }
            colons = 0;
        }
        self.end_token_path(&mut path);
    }

    fn end_token_path(&mut self, path: &mut ModulePath) {
        let is_type = |name: &String| name.starts_with(char::is_uppercase);
        if path.len() > 1 || path.first().is_some_and(is_type) {
            self.references.push(std::mem::take(path));
        }
        path.clear();
    }
}

fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        matches!(&attribute.meta, Meta::List(list) if list.path.is_ident("cfg") && list.tokens.to_string() == "test")
    })
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        let is_elsewhere = item.attrs.iter().any(|attribute| attribute.path().is_ident("path"));
        match &item.content {
            _ if is_test_only(&item.attrs) => {}
            _ if is_elsewhere => drop(self.elsewhere.insert(name)),
            Some((_, items)) => self.inline.push((name, Self::read(items))),
            None => self.children.push(name),
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test_only(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_test_only(&item.attrs) {
            self.import(&[], &item.tree, matches!(item.vis, Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        // A path of one segment names a variable or an imported item, whose `use` counts.
        if path.segments.len() > 1 {
            self.references.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {
        // `pub(super)` grants access and names no item.
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.read_tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.read_tokens(list.tokens.clone());
        }
    }
}
