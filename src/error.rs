//! Exit codes, and errors as text.
//!
//! An error type that determines the exit code implements `From<…> for ExitError` beside its definition. This module knows
//! no error type of another module.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use reeldeck_common::video::printable;

/// The exit codes. The numbers are part of the interface: scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything requested is done.
    Done = 0,
    /// An unexpected failure.
    Internal = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Finished, but some videos were refused, failed, or are missing or stale.
    Incomplete = 3,
    /// There is no video.
    Empty = 4,
    /// A run uses the output folder, and the command would remove files under it.
    Locked = 11,
    /// Interrupted by a signal. The next run continues from there.
    Interrupted = 130,
}

impl Exit {
    /// The exit with this code; `None` for an unknown code.
    pub fn of_code(code: i32) -> Option<Self> {
        let all =
            [Self::Done, Self::Internal, Self::Usage, Self::Incomplete, Self::Empty, Self::Locked, Self::Interrupted];
        all.into_iter().find(|exit| i32::from(exit.code()) == code)
    }

    /// The exit code of the process.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error and the exit code that it causes. Its message and its causes are those of the wrapped error.
#[derive(Debug)]
pub struct ExitError {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

impl ExitError {
    /// Creates an error from another error, or from a message that says what happened and what to do next.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, error: error.into() }
    }

    /// The error of a command that a signal has ended.
    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted; run the same command again")
    }
}

impl fmt::Display for ExitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for ExitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// The exit code of the outermost [`ExitError`] in the chain; [`Exit::Internal`] without one.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    // A context can be downcast only from the top of the chain, a cause only within the chain.
    let attached = error.downcast_ref::<ExitError>();
    attached.or_else(|| error.chain().find_map(|cause| cause.downcast_ref())).map_or(Exit::Internal, |found| found.exit)
}

/// The error and its causes as text, one per line.
pub(crate) fn text_of(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for (depth, cause) in error.chain().enumerate() {
        text.push_str(if depth == 0 { "error: " } else { "  caused by: " });
        // Messages may quote file names. Line breaks are from reeldeck, other control characters are not.
        for (number, line) in cause.to_string().trim_end().split('\n').enumerate() {
            if number > 0 {
                text.push_str("\n  ");
            }
            text.push_str(&printable(line));
        }
        text.push('\n');
    }
    text
}

/// An error and its causes on one line, separated by colons.
pub(crate) fn line_of(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| (**error).source()).map(ToString::to_string);
    chain.collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    fn failing<E: Into<anyhow::Error>>(error: E) -> anyhow::Error {
        error.into()
    }

    #[test]
    fn causes_are_printed_one_per_line_without_control_characters() {
        let error = failing(std::io::Error::other("no \u{1b}[2J luck")).context("failed to read a.toml\nline 2");
        assert_eq!(text_of(&error), "error: failed to read a.toml\n  line 2\n  caused by: no \\u{1b}[2J luck\n");
    }

    #[test]
    fn the_exit_code_is_found_anywhere_in_the_chain() {
        let config = || ExitError::new(Exit::Usage, std::io::Error::other("no config.toml"));
        assert_eq!(exit_of(&failing(config())), Exit::Usage);
        assert_eq!(exit_of(&failing(config()).context("failed to start")), Exit::Usage);
        assert_eq!(exit_of(&failing(ExitError::new(Exit::Locked, "held")).context("failed to start")), Exit::Locked);
        let failed: Result<(), _> = Err(std::io::Error::other("x"));
        assert_eq!(exit_of(&failed.context(ExitError::new(Exit::Empty, "no video")).unwrap_err()), Exit::Empty);
        assert_eq!(exit_of(&anyhow::anyhow!("x")), Exit::Internal);
        assert_eq!((Exit::Incomplete.code(), Exit::Interrupted.code()), (3, 130));
    }

    #[test]
    fn a_wrapped_error_is_printed_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("failed to read a.toml")]
        struct Outer(#[source] std::io::Error);
        let error = failing(ExitError::new(Exit::Usage, Outer(std::io::Error::other("no such file"))));
        assert_eq!(text_of(&error), "error: failed to read a.toml\n  caused by: no such file\n");
    }
}
