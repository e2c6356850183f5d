//! The rules for imports, as ARCHITECTURE.md writes them down, and what breaks them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::modules::{Import, contains, parent};

/// The order of the modules and crates. Everything may use only what stands before it.
pub struct Order(Vec<String>);

/// For a module: those whose files it must not import although they stand before it.
pub struct Barriers(BTreeMap<String, BTreeSet<String>>);

/// An import that breaks a rule.
#[derive(Debug)]
pub struct Violation {
    pub import: Import,
    pub rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Import { file, line, path, .. } = &self.import;
        write!(f, "{file}:{line}: `{path}`: {}", self.rule)
    }
}

/// The lines of the fenced block that begins with "```text NAME".
pub fn block<'a>(document: &'a str, name: &str) -> Vec<&'a str> {
    let opening = format!("```text {name}");
    let mut lines = document.lines().skip_while(|line| *line != opening);
    assert!(lines.next().is_some(), "ARCHITECTURE.md has no block `{opening}`");
    lines.take_while(|line| *line != "```").collect()
}

impl Order {
    /// Names separated by white space, lowest first.
    pub fn parse(lines: &[&str]) -> Self {
        Self(lines.iter().flat_map(|line| line.split_whitespace()).map(str::to_owned).collect())
    }

    pub fn names(&self) -> BTreeSet<&str> {
        self.0.iter().map(String::as_str).collect()
    }

    /// Where a name stands. The root of the crate, and what the list lacks, stand above all.
    fn rank(&self, name: &str) -> usize {
        self.0.iter().position(|other| other == name).unwrap_or(self.0.len())
    }

    /// Whether `upper` may use `lower`.
    pub fn allows(&self, upper: &str, lower: &str) -> bool {
        upper == lower || self.rank(lower) < self.rank(upper)
    }

    /// Imports of a module that does not stand before the importing one.
    pub fn violations(&self, imports: &[Import]) -> Vec<Violation> {
        let rule = |import: &Import| {
            let (upper, lower) = (top(&import.from), top(&import.to));
            let lower = if lower.is_empty() { "the crate's root" } else { lower };
            (!self.allows(upper, lower))
                .then(|| format!("`{upper}` may not import from `{lower}`, which stands above it"))
        };
        violations(imports, rule)
    }
}

impl Barriers {
    /// Lines of the form `module: forbidden forbidden …`.
    pub fn parse(lines: &[&str]) -> Self {
        let parse = |line: &&str| {
            let (module, forbidden) = line.split_once(':').expect("a line of the form `module: forbidden …`");
            (module.trim().to_owned(), forbidden.split_whitespace().map(str::to_owned).collect())
        };
        Self(lines.iter().map(parse).collect())
    }

    pub fn names(&self) -> BTreeSet<&str> {
        self.0.iter().flat_map(|(module, forbidden)| forbidden.iter().chain([module])).map(String::as_str).collect()
    }

    pub fn violations(&self, imports: &[Import]) -> Vec<Violation> {
        let rule = |import: &Import| {
            let (upper, lower) = (top(&import.from), top(&import.to));
            let is_forbidden = self.0.get(upper).is_some_and(|forbidden| forbidden.contains(lower));
            is_forbidden.then(|| format!("`{upper}` may not import from `{lower}`; see the barriers"))
        };
        violations(imports, rule)
    }
}

/// Imports that close a circle between two children of one module. A child and its parent may import from each other.
pub fn circles(imports: &[Import]) -> Vec<Violation> {
    let mut edges: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for import in imports {
        if let Some((around, from, to)) = siblings(import) {
            edges.entry(around).or_default().insert((from, to));
        }
    }
    let rule = |import: &Import| {
        let (around, from, to) = siblings(import)?;
        let back = route(&edges[around], to, from)?;
        Some(format!("closes a circle: {from} → {}", back.join(" → ")))
    };
    violations(imports, rule)
}

/// The innermost module around both ends of an import, and its two children in which they lie; none for parent and child.
fn siblings(import: &Import) -> Option<(&str, &str, &str)> {
    let (from, to) = (import.from.as_str(), import.to.as_str());
    let mut around = parent(from)?;
    while !contains(around, to) {
        around = parent(around)?;
    }
    if contains(from, to) || around == to {
        return None;
    }
    let child = |module: &'_ str| {
        let start = if around.is_empty() { 0 } else { around.len() + 2 };
        module[start..].find("::").map_or(module.len(), |length| start + length)
    };
    Some((around, &from[..child(from)], &to[..child(to)]))
}

/// The shortest way along the edges, both ends included.
fn route<'a>(edges: &BTreeSet<(&'a str, &'a str)>, from: &'a str, to: &'a str) -> Option<Vec<&'a str>> {
    let mut routes = vec![vec![from]];
    let mut seen = BTreeSet::from([from]);
    let mut next = 0;
    while let Some(route) = routes.get(next).cloned() {
        let last = *route.last()?;
        if last == to {
            return Some(route);
        }
        for (_, target) in edges.iter().filter(|(source, _)| *source == last) {
            if seen.insert(target) {
                routes.push(route.iter().copied().chain([*target]).collect());
            }
        }
        next += 1;
    }
    None
}

fn violations(imports: &[Import], rule: impl Fn(&Import) -> Option<String>) -> Vec<Violation> {
    let check = |import: &Import| Some(Violation { rule: rule(import)?, import: import.clone() });
    imports.iter().filter_map(check).collect()
}

/// The module at the top in which a module lies.
pub fn top(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}
