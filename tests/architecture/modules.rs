//! The modules of one crate, and which file imports from which.

use std::collections::{BTreeMap, BTreeSet};

use crate::scan::{ImportPath, Source, scan};

/// An import from one file of a crate to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The importing file, from the repository's root on.
    pub file: String,
    pub line: usize,
    /// The path as the source has it.
    pub path: String,
    /// The importing module without `crate::`; empty for the root.
    pub from: String,
    /// The module whose file defines what is imported.
    pub to: String,
}

/// All modules of a crate that are not compiled for tests alone, by path.
pub struct Crate {
    modules: BTreeMap<String, (String, Source)>,
    macros: BTreeMap<String, String>,
}

impl Crate {
    /// From the files below `src`: their path from the repository's root on, and their text.
    pub fn new(src: &str, files: &BTreeMap<String, String>) -> Self {
        let mut modules = BTreeMap::new();
        for (file, text) in files {
            modules.insert(module_of(src, file), (file.clone(), scan(text)));
        }
        let tests: Vec<String> = modules
            .iter()
            .flat_map(|(module, (_, source))| source.test_modules.iter().map(move |name| child(module, name)))
            .collect();
        modules.retain(|module: &String, _| !tests.iter().any(|test| contains(test, module)));
        let macros = modules
            .iter()
            .flat_map(|(module, (_, source))| {
                source.exported_macros.iter().map(move |name| (name.clone(), module.clone()))
            })
            .collect();
        Self { modules, macros }
    }

    /// Every import from one module of this crate to another one.
    pub fn imports(&self) -> Vec<Import> {
        let mut imports = vec![];
        for (from, (file, source)) in &self.modules {
            for path in &source.paths {
                let Some(to) = self.resolve(from, path, &mut BTreeSet::new()) else { continue };
                if to != *from {
                    let (file, from, path_text) = (file.clone(), from.clone(), path.segments.join("::"));
                    imports.push(Import { file, line: path.line, path: path_text, from, to });
                }
            }
        }
        imports
    }

    /// The names of the modules at the top, without the root itself.
    pub fn top_modules(&self) -> BTreeSet<&str> {
        self.modules.keys().filter_map(|module| module.split("::").next()).filter(|name| !name.is_empty()).collect()
    }

    /// The module in which a path ends; none for another crate's. Follows `use` declarations on the way.
    fn resolve(&self, from: &str, path: &ImportPath, seen: &mut BTreeSet<(String, String)>) -> Option<String> {
        let (mut module, mut inline) = (from.to_owned(), path.inline_depth);
        let mut segments = path.segments.as_slice();
        let mut is_relative = true;
        while let Some((first, rest)) = segments.split_first() {
            match first.as_str() {
                "crate" => module = String::new(),
                "self" => {}
                "super" if inline > 0 => inline -= 1,
                "super" => module = parent(&module)?.to_owned(),
                _ => break,
            }
            (segments, is_relative) = (rest, false);
        }
        let name = segments.first()?;
        if is_relative && !self.has(&module, name) {
            return None;
        }
        if module.is_empty() && !self.has("", name) && self.macros.contains_key(name) {
            return self.macros.get(name).cloned();
        }
        self.walk(&module, segments, seen)
    }

    /// Whether a module has a child or an import of this name.
    fn has(&self, module: &str, name: &str) -> bool {
        self.modules.contains_key(&child(module, name)) || self.binding(module, name).is_some()
    }

    fn binding(&self, module: &str, name: &str) -> Option<&ImportPath> {
        self.modules.get(module)?.1.paths.iter().find(|path| {
            // `use name::…` binds a name that its own path must not be looked up by.
            path.binds.as_deref() == Some(name) && path.segments != [name]
        })
    }

    fn walk(&self, module: &str, segments: &[String], seen: &mut BTreeSet<(String, String)>) -> Option<String> {
        let Some((name, rest)) = segments.split_first() else { return Some(module.to_owned()) };
        if name == "*" || !seen.insert((module.to_owned(), name.clone())) {
            return Some(module.to_owned());
        }
        let inner = child(module, name);
        if self.modules.contains_key(&inner) {
            return self.walk(&inner, rest, seen);
        }
        let (_, source) = self.modules.get(module)?;
        if source.items.contains(name) {
            return Some(module.to_owned());
        }
        if let Some(bound) = self.binding(module, name) {
            let mut longer = bound.clone();
            longer.segments.extend_from_slice(rest);
            return self.resolve(module, &longer, seen).or_else(|| Some(module.to_owned()));
        }
        for glob in source.paths.iter().filter(|path| path.binds.as_deref() == Some("*")) {
            let mut longer = glob.clone();
            longer.segments.extend_from_slice(segments);
            if let Some(found) = self.resolve(module, &longer, seen)
                && self.modules.get(&found).is_some_and(|(_, source)| source.items.contains(name))
            {
                return Some(found);
            }
        }
        Some(module.to_owned())
    }
}

/// Whether a module is another one or lies in it.
pub fn contains(outer: &str, inner: &str) -> bool {
    outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The module around a module; none for the root.
pub fn parent(module: &str) -> Option<&str> {
    (!module.is_empty()).then(|| module.rsplit_once("::").map_or("", |(outer, _)| outer))
}

fn child(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

fn module_of(src: &str, file: &str) -> String {
    let path = file.strip_prefix(src).unwrap().trim_start_matches('/').trim_end_matches(".rs");
    let path = path.strip_suffix("mod").map_or(path, |folder| folder.trim_end_matches('/'));
    if matches!(path, "lib" | "main") { String::new() } else { path.replace('/', "::") }
}
