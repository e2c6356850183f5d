//! The failed attempts: time, device, error chain and the worker's last lines.

use jiff::tz::TimeZone;
use ratatui::text::Span;
use reeldeck_common::error::{ErrorKind, without_advice};
use reeldeck_common::failure::Attempt;

use super::format_time;
use super::page::Page;
use crate::tui::text;
use crate::tui::theme::Role;

/// `is_earlier`: they were made with an earlier version of the file.
pub(super) fn write(page: &mut Page, attempts: &[Attempt], is_earlier: bool, zone: &TimeZone) {
    if attempts.is_empty() {
        return;
    }
    page.gap();
    if is_earlier {
        let dim = page.theme.style(Role::Dim);
        page.pieces("", [("with an earlier version of the file:".to_owned(), dim)]);
    }
    for (number, attempt) in attempts.iter().enumerate() {
        one(page, number, attempt, zone);
    }
}

fn one(page: &mut Page, number: usize, attempt: &Attempt, zone: &TimeZone) {
    let label = if number == 0 { "attempts" } else { "" };
    let seconds = attempt.ended.duration_since(attempt.started).as_secs_f64();
    let [plain, bold, bad] = [Role::Base, Role::Title, Role::Error].map(|role| page.theme.style(role));
    page.pieces(
        label,
        [
            (format!("{}", number + 1), bold),
            (word(attempt.failure.kind).to_owned(), bad),
            (format_time(attempt.started, zone), plain),
            (format!("after {}", text::duration(seconds)), plain),
            (format!("on {}", attempt.device), plain),
        ],
    );
    let (first, further, stderr) =
        if page.theme.is_ascii() { ("   ", "   < ", "   | ") } else { ("   ", "   ↳ ", "   │ ") };
    for (depth, message) in attempt.failure.chain.iter().enumerate() {
        // Continuation lines of a message are indented below its first line.
        for (at, line) in without_advice(message).lines().enumerate() {
            let head = match (depth, at) {
                (0, _) => first,
                (_, 0) => further,
                _ => "     ",
            };
            page.hanging("", head, line, plain);
        }
    }
    if !attempt.stderr.is_empty() {
        page.line("", vec![Span::styled("   last lines of the worker", page.theme.style(Role::Dim))]);
    }
    for line in &attempt.stderr {
        page.hanging("", stderr, line, page.theme.style(Role::Dim));
    }
}

fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Limit => "over a limit",
        ErrorKind::Io => "input or output",
        ErrorKind::Missing => "file missing",
        ErrorKind::OutOfMemory => "out of memory",
        ErrorKind::DiskFull => "disk full",
        ErrorKind::Output => "output folder",
        ErrorKind::WorkerCrashed => "worker crashed",
        ErrorKind::WorkerHung => "worker hung",
        ErrorKind::Device => "device",
        ErrorKind::Interrupted => "interrupted",
        ErrorKind::Internal => "internal",
    }
}
