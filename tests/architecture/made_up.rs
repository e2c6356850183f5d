//! The checker itself, on small invented crates.

use std::collections::BTreeMap;

use crate::modules::{Crate, Import};
use crate::rules::{Barriers, Order, circles};

fn imports(files: &[(&str, &str)]) -> Vec<Import> {
    let files: BTreeMap<String, String> =
        files.iter().map(|(name, text)| (format!("src/{name}"), (*text).to_owned())).collect();
    Crate::new("src", &files).imports()
}

/// `file:line module` of each import, sorted.
fn short(imports: &[Import]) -> Vec<String> {
    let mut short: Vec<String> = imports.iter().map(|i| format!("{}:{} {}", &i.file[4..], i.line, i.to)).collect();
    short.sort();
    short
}

#[test]
fn an_import_of_a_higher_module_is_reported_with_its_place() {
    let imports = imports(&[
        ("lib.rs", "mod high;\nmod low;"),
        ("high.rs", "use crate::low::Low;\npub struct High;"),
        ("low.rs", "pub struct Low;\n\nfn f() -> crate::high::High { todo!() }"),
    ]);
    let violations = Order::parse(&["low", "high"]).violations(&imports);
    let [violation] = &violations[..] else { panic!("{violations:?}") };
    assert_eq!(
        violation.to_string(),
        "src/low.rs:3: `crate::high::High`: `low` may not import from `high`, which stands above it"
    );
    assert!(Order::parse(&["high", "low"]).violations(&imports).iter().all(|v| v.import.file == "src/high.rs"));
}

#[test]
fn a_barrier_forbids_a_lower_module() {
    let imports = imports(&[("engine.rs", ""), ("protocol.rs", ""), ("tui.rs", "use crate::{engine, protocol};")]);
    let violations = Barriers::parse(&["tui: engine"]).violations(&imports);
    let [violation] = &violations[..] else { panic!("{violations:?}") };
    assert_eq!((violation.import.line, violation.import.to.as_str()), (1, "engine"));
}

#[test]
fn a_circle_is_reported_at_each_of_its_imports() {
    let imports = imports(&[
        ("m/mod.rs", "mod a;\nmod b;\nmod c;\nuse a::A;\npub struct M;"),
        ("m/a.rs", "use super::M;\nuse super::b::B;\npub struct A;"),
        ("m/b/mod.rs", "mod deep;\npub struct B;"),
        ("m/b/deep.rs", "use crate::m::c::C;\nuse super::B;"),
        ("m/c.rs", "pub struct C(super::a::A);"),
    ]);
    let violations = circles(&imports);
    let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "src/m/a.rs:2: `super::b::B`: closes a circle: m::a → m::b → m::c → m::a",
            "src/m/b/deep.rs:1: `crate::m::c::C`: closes a circle: m::b → m::c → m::a → m::b",
            "src/m/c.rs:1: `super::a::A`: closes a circle: m::c → m::a → m::b → m::c",
        ]
    );
}

#[test]
fn a_parent_and_its_child_are_no_circle() {
    let imports =
        imports(&[("m/mod.rs", "mod a;\nuse a::A;\npub struct M;"), ("m/a.rs", "use super::M;\npub struct A;")]);
    assert_eq!(short(&imports), ["m/a.rs:1 m", "m/mod.rs:2 m::a"]);
    assert!(circles(&imports).is_empty());
}

#[test]
fn an_import_through_a_reexport_counts_as_one_of_the_defining_file() {
    let imports = imports(&[
        ("lib.rs", "#[macro_use] mod out;\nmod m;"),
        ("m/mod.rs", "mod a;\nmod b;\nmod c;\npub use b::B as Renamed;\npub use c::*;"),
        ("m/a.rs", "use super::{Renamed, C, Own};\nfn f() { crate::say!(1) }"),
        ("m/b.rs", "pub struct B;"),
        ("m/c.rs", "pub enum C {}"),
        ("out.rs", "#[macro_export]\nmacro_rules! say { () => { $crate::m::f() } }"),
    ]);
    assert_eq!(
        short(&imports),
        ["m/a.rs:1 m", "m/a.rs:1 m::b", "m/a.rs:1 m::c", "m/a.rs:2 out", "m/mod.rs:4 m::b", "m/mod.rs:5 m::c"]
    );
}

#[test]
fn comments_literals_tests_and_other_crates_are_no_imports() {
    let text = r##"
//! [`crate::b::B`]
/* use crate::b::B; /* crate::b */ crate::b::B */
use serde::b::B;
pub(crate) fn f<'a>(x: &'a str) -> char { let _ = ("crate::b::B \" ", r#"" crate::b::B"#, b"crate::b::B"); '"' }
#[cfg(test)]
use crate::b::{B, self};
#[cfg(test)]
mod tests;
#[cfg(test)]
mod inline { use crate::b::B; }
mod other { use super::own; use super::super::b; }
"##;
    let imports = imports(&[("a/mod.rs", text), ("a/tests.rs", "use crate::b::B;"), ("b.rs", "pub struct B;")]);
    assert_eq!(short(&imports), ["a/mod.rs:12 b"]);
}

#[test]
fn trees_of_imports_are_taken_apart() {
    let text = "use crate::{b::{self, c::{C as D, *}}, d::d,};\nuse crate::b as e;\nfn f() { use super::d::x::<u8>; }";
    let imports = imports(&[("a.rs", text), ("b/mod.rs", ""), ("b/c.rs", ""), ("d.rs", "")]);
    assert_eq!(short(&imports), ["a.rs:1 b", "a.rs:1 b::c", "a.rs:1 b::c", "a.rs:1 d", "a.rs:2 b", "a.rs:3 d"]);
}
