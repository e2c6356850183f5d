//! The structure of the source, checked against ARCHITECTURE.md: which module and which crate may use which.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod made_up;
mod modules;
mod rules;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use modules::{Crate, Import};
use rules::{Barriers, Order, Violation, block, circles, top};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn architecture() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// Every Rust file below a folder: its path from the repository's root on, and its text.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root().join(folder)) {
        let path = entry.unwrap().into_path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    assert!(!files.is_empty(), "no sources in {folder}");
    files
}

/// The folders of the workspace's other packages.
fn crates() -> Vec<String> {
    let folders = fs::read_dir(root().join("crates")).unwrap();
    folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect()
}

/// Fails if an import breaks a rule.
#[track_caller]
fn check(violations: &[Violation]) {
    let report: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(report.is_empty(), "imports break the rules of ARCHITECTURE.md, `Layers`:\n{}", report.join("\n"));
}

#[test]
fn files_are_short() {
    let folders = ["src", "crates", "tests", "examples", "benches"];
    let long = folders.into_iter().flat_map(sources).filter(|(_, text)| text.lines().count() > 400);
    let long: Vec<String> = long.map(|(name, text)| format!("{name}: {}", text.lines().count())).collect();
    assert!(long.is_empty(), "CONTRIBUTING.md allows 400 lines a file:\n{}", long.join("\n"));
}

#[test]
fn documents_name_files_that_exist() {
    let folders = ["src/", "crates/", "tests/", "benches/", "examples/", "scripts/", "docs/", "assets/", "fuzz/"];
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let quoted = text.split('`').skip(1).step_by(2);
        let paths: Vec<&str> = quoted.filter(|name| folders.iter().any(|folder| name.starts_with(folder))).collect();
        assert!(!paths.is_empty(), "{document} names no file");
        for path in paths.into_iter().filter(|path| !path.contains(['*', ' '])) {
            assert!(root().join(path).exists(), "{document} names `{path}`, which does not exist");
        }
    }
}

/// Files that create a file without `reeldeck_common::atomic`, and why no half file appears under a final name.
const WRITERS: [(&str, &str); 7] = [
    ("crates/claims/src/disk.rs", "a temporary file of its own, which is renamed"),
    ("crates/probe/src/frames.rs", "pixels for developers"),
    ("crates/probe/src/synth.rs", "test media; `demo` makes them in a temporary folder"),
    ("src/commands/demo.rs", "a video in a temporary folder"),
    ("src/engine/output.rs", "a file that is removed at once"),
    ("src/export/pickle.rs", "a temporary file of `atomic`"),
    ("src/lib.rs", "input of a fuzz target"),
];

#[test]
fn files_are_written_atomically() {
    let mut folders: Vec<String> = crates().iter().map(|name| format!("crates/{name}/src")).collect();
    folders.push("src".into());
    let writes = ["fs::write(", "File::create(", "File::create_new("];
    for (file, text) in folders.iter().flat_map(|folder| sources(folder)).filter(|(file, _)| !file.contains("/tests")) {
        // Test modules are at the end of a file, unless they are in files of their own.
        let is_module =
            |part: &str| part.lines().next().is_some_and(|line| line.contains("mod ") && line.ends_with('{'));
        let parts = text.split("#[cfg(test)]\n").enumerate();
        let mut code = parts.take_while(|(at, part)| *at == 0 || !is_module(part));
        let is_listed = WRITERS.iter().any(|(listed, _)| *listed == file);
        let is_writer = code.any(|(_, code)| writes.iter().any(|call| code.contains(call)));
        assert_eq!(is_listed, is_writer, "{file}: use `atomic`, or change the list of writers in this test");
    }
}

#[test]
fn modules_import_only_from_lower_layers_and_never_in_a_circle() {
    let document = architecture();
    let order = Order::parse(&block(&document, "layers"));
    let barriers = Barriers::parse(&block(&document, "barriers"));
    let program = Crate::new("src", &sources("src"));
    assert_eq!(order.names(), program.top_modules(), "the layers in ARCHITECTURE.md are the modules of src/");
    assert!(barriers.names().is_subset(&order.names()), "a barrier in ARCHITECTURE.md names no module");
    let imports = program.imports();
    let mut violations = order.violations(&imports);
    violations.extend(barriers.violations(&imports));
    // The order of the modules forbids circles between them.
    let within_modules: Vec<Import> =
        imports.iter().filter(|import| top(&import.from) == top(&import.to)).cloned().collect();
    violations.extend(circles(&within_modules));
    check(&violations);
}

#[test]
fn files_of_other_crates_import_in_no_circle() {
    for name in crates() {
        let src = format!("crates/{name}/src");
        check(&circles(&Crate::new(&src, &sources(&src)).imports()));
    }
}

#[test]
fn crates_depend_only_on_lower_crates() {
    let order = Order::parse(&block(&architecture(), "crates"));
    let mut manifests: Vec<(String, String)> =
        crates().into_iter().map(|name| (name.clone(), format!("crates/{name}/Cargo.toml"))).collect();
    manifests.push(("reeldeck".into(), "Cargo.toml".into()));
    let names: BTreeSet<&str> = manifests.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(order.names(), names, "the crates in ARCHITECTURE.md are the packages of the workspace");
    for (name, file) in &manifests {
        let manifest: toml::Table = fs::read_to_string(root().join(file)).unwrap().parse().unwrap();
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(table).and_then(toml::Value::as_table) else { continue };
            for lower in dependencies.keys().filter_map(|dependency| dependency.strip_prefix("reeldeck-")) {
                assert!(
                    order.allows(name, lower),
                    "{file}: [{table}]: {name} may not depend on {lower}, which stands above it"
                );
            }
        }
    }
}
