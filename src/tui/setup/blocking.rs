//! Runs the effects of the form that can block.

use std::path::PathBuf;

use super::check::{CheckResult, check};
use super::complete::{Completions, complete};
use super::write::write;
use super::{Effect, Setup};

/// The result of an effect.
#[derive(Debug)]
pub(crate) enum Answer {
    Checked(CheckResult),
    Completed(Completions),
    Written(Result<PathBuf, String>),
}

/// Runs an effect; `None` if it cannot block. Call it on another thread: disks can be slow.
pub(crate) fn run(effect: &Effect) -> Option<Answer> {
    match effect {
        Effect::Check(request) => Some(Answer::Checked(check(request))),
        Effect::Complete(request) => Some(Answer::Completed(complete(request))),
        Effect::Write(request) => Some(Answer::Written(write(request))),
        Effect::Done(_) | Effect::Suspend | Effect::Quit => None,
    }
}

impl Setup {
    /// Takes the result of an effect.
    pub(crate) fn answer(&mut self, answer: Answer) -> Vec<Effect> {
        match answer {
            Answer::Checked(result) => self.check_done(result),
            Answer::Completed(completions) => self.completed(&completions),
            Answer::Written(result) => self.written(result),
        }
    }
}
