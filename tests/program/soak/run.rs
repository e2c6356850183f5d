//! A run in progress, in the foreground or in the background.

use std::os::unix::process::ExitStatusExt;
use std::process::Child;

use crate::support::processes::Process;
use crate::support::wait_for;

/// A run in progress.
pub enum Run {
    Foreground(Child),
    Background(Process),
}

impl Run {
    pub fn pid(&self) -> u32 {
        match self {
            Self::Foreground(child) => child.id(),
            Self::Background(process) => process.pid,
        }
    }

    pub fn is_on(&mut self) -> bool {
        match self {
            Self::Foreground(child) => child.try_wait().unwrap().is_none(),
            Self::Background(process) => process.lives(),
        }
    }

    /// Kills it; false if it has already ended.
    pub fn kill(&mut self) -> bool {
        match self {
            Self::Foreground(child) => child.kill().is_ok() && child.wait().unwrap().signal() == Some(9),
            Self::Background(process) => {
                let hit = process.kill();
                wait_for("the engine is gone", || !process.lives());
                hit
            }
        }
    }
}
