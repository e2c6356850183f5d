//! How reeldeck ends: its exit codes, and how an error becomes text.

use std::error::Error;
use std::process::ExitCode;

use reeldeck_common::recipe::RecipeError;
use reeldeck_common::strict::TomlError;
use reeldeck_common::video::printable;

use crate::client::ClientError;
use crate::config::ConfigError;
use crate::dataset::manifest::ManifestError;

/// What the exit code says. The numbers are part of the interface: scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All that was wanted is finished, now or before.
    Done = 0,
    /// Something failed that is neither the user's nor a video's fault.
    Internal = 1,
    /// The command line or the configuration cannot be followed.
    Usage = 2,
    /// Finished, but some videos were refused, failed, or are missing or stale. So on every run while it is so.
    Incomplete = 3,
    /// There is no video to work on.
    Empty = 4,
    /// Another run holds the output folder.
    Locked = 11,
    /// Stopped by a signal; the next run goes on from there.
    Interrupted = 130,
}

impl Exit {
    /// The exit with this number, if it is one.
    pub fn of_code(code: i32) -> Option<Self> {
        let all =
            [Self::Done, Self::Internal, Self::Usage, Self::Incomplete, Self::Empty, Self::Locked, Self::Interrupted];
        all.into_iter().find(|exit| i32::from(exit.code()) == code)
    }

    /// The number the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that knows its exit code, for where no typed error says it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Stop {
    /// How the process is to end.
    pub exit: Exit,
    /// What happened, and what to do next.
    pub message: String,
}

impl Stop {
    /// An error that ends the process with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

/// The exit code that an error asks for, wherever in its chain the reason lies.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    // What was attached by `.context` can be found from the top only, what lies below it only by the chain.
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return stop.exit;
    }
    error.chain().find_map(exit_of_one).unwrap_or(Exit::Internal)
}

fn exit_of_one(error: &(dyn Error + 'static)) -> Option<Exit> {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return Some(stop.exit);
    }
    let usage = matches!(
        error.downcast_ref(),
        Some(ClientError::NoRun { .. } | ClientError::NoSuchPart { .. } | ClientError::Several { .. })
    ) || error.is::<ConfigError>()
        || error.is::<RecipeError>()
        || error.is::<TomlError>()
        || error.is::<ManifestError>();
    usage.then_some(Exit::Usage)
}

/// The text for people: `error: …`, then a line for each cause.
pub fn text_of(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for (depth, cause) in error.chain().enumerate() {
        text.push_str(if depth == 0 { "error: " } else { "  caused by: " });
        // Messages may quote names from disk: line breaks are ours, any other control character is not.
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

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    fn failing<E: Into<anyhow::Error>>(error: E) -> anyhow::Error {
        error.into()
    }

    #[test]
    fn causes_follow_line_by_line_and_cannot_steer_the_terminal() {
        let error = failing(std::io::Error::other("no \u{1b}[2J luck")).context("failed to read a.toml\nline 2");
        assert_eq!(text_of(&error), "error: failed to read a.toml\n  line 2\n  caused by: no \\u{1b}[2J luck\n");
    }

    #[test]
    fn the_exit_code_is_found_wherever_the_reason_lies() {
        let config = || ConfigError::Value { place: "config.toml".into(), message: "devices".into() };
        assert_eq!(exit_of(&failing(config())), Exit::Usage);
        assert_eq!(exit_of(&failing(config()).context("failed to start")), Exit::Usage);
        assert_eq!(exit_of(&failing(Stop::new(Exit::Locked, "held")).context("failed to start")), Exit::Locked);
        let failed: Result<(), _> = Err(std::io::Error::other("x"));
        assert_eq!(exit_of(&failed.context(Stop::new(Exit::Empty, "no video")).unwrap_err()), Exit::Empty);
        assert_eq!(exit_of(&anyhow::anyhow!("x")), Exit::Internal);
        assert_eq!((Exit::Incomplete.code(), Exit::Interrupted.code()), (3, 130));
    }
}
