//! The report as text: a line for each check, and the suggested fix below it.

use std::fmt::Write;

use reeldeck_common::video::printable;

use super::{Report, State};
use crate::out::count;

/// The whole report; with `quiet` only the problems.
pub(super) fn text(report: &Report, quiet: bool) -> String {
    let mut text = String::new();
    let shown = |state: State| !quiet || matches!(state, State::Warning | State::Missing);
    let mut area = "";
    for check in report.checks.iter().filter(|check| shown(check.state)) {
        if check.area != area {
            area = check.area;
            let _ = writeln!(text, "{}{area}", if text.is_empty() { "" } else { "\n" });
        }
        let word = match check.state {
            State::Ok => "ok",
            State::Note => "note",
            State::Warning => "WARNING",
            State::Missing => "MISSING",
        };
        let _ = writeln!(text, "  {word:<8} {:<18} {}", check.name, lines(&check.found));
        if let Some(next) = &check.next {
            let _ = writeln!(text, "{:29} → {}", "", lines(next));
        }
    }
    let verdict = match (report.missing, report.warnings) {
        (0, 0) => "nothing is missing".to_owned(),
        (0, warnings) => format!("nothing is missing; {}", count(warnings, "warning", "warnings")),
        (missing, 0) => format!("{missing} missing: runs will fail until this is fixed"),
        (missing, warnings) => {
            let warnings = count(warnings, "warning", "warnings");
            format!("{missing} missing, {warnings}: runs will fail until this is fixed")
        }
    };
    let _ = writeln!(text, "{}{verdict}", if text.is_empty() { "" } else { "\n" });
    text
}

/// Escapes control characters, and indents further lines.
fn lines(text: &str) -> String {
    let lines: Vec<String> = text.trim_end().lines().map(printable).map(|line| line.to_string()).collect();
    lines.join(&format!("\n{:31}", ""))
}
