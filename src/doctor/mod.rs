//! `reeldeck doctor`: checks this machine and suggests fixes. Changes nothing.

mod allocation;
mod code;
mod folders;
mod gpu;
mod machine;
mod programs;
mod report;
mod session;
mod weights;

use anyhow::Context;
use reeldeck_common::json;
use serde::Serialize;

use crate::config::{Overrides, Settings};
use crate::error::{Exit, ExitError};
use crate::out;

/// The version of the JSON object. It increases when a field is removed or changes its meaning, not when one is added.
const SCHEMA: u32 = 1;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// As it should be.
    Ok,
    /// For information.
    Note,
    /// Runs work, but slower than they could, or only for a while.
    Warning,
    /// Runs do not work.
    Missing,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    area: &'static str,
    name: &'static str,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// All checks.
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    tool: &'static str,
    missing: usize,
    warnings: usize,
    checks: Vec<Check>,
}

/// Collects checks of one area.
struct Area<'r> {
    area: &'static str,
    checks: &'r mut Vec<Check>,
}

impl Area<'_> {
    fn ok(&mut self, name: &'static str, found: impl Into<String>) {
        self.push(name, State::Ok, found.into(), None);
    }

    fn note(&mut self, name: &'static str, found: impl Into<String>) {
        self.push(name, State::Note, found.into(), None);
    }

    fn warning(&mut self, name: &'static str, found: impl Into<String>, next: impl Into<String>) {
        self.push(name, State::Warning, found.into(), Some(next.into()));
    }

    fn missing(&mut self, name: &'static str, found: impl Into<String>, next: impl Into<String>) {
        self.push(name, State::Missing, found.into(), Some(next.into()));
    }

    fn push(&mut self, name: &'static str, state: State, found: String, next: Option<String>) {
        self.checks.push(Check { area: self.area, name, state, found, next });
    }
}

/// Runs all checks and prints the report.
///
/// # Errors
/// When the report cannot be printed. Checks that fail are part of the report.
pub(crate) fn run_doctor(typed: &Overrides, settings: Result<Settings, ExitError>) -> anyhow::Result<Exit> {
    let mut checks = vec![];
    let settings = configuration(&mut Area { area: "configuration", checks: &mut checks }, settings);
    let libraries = programs::look(&mut Area { area: "programs", checks: &mut checks });
    let mut area = |area, look: &dyn Fn(&mut Area<'_>)| look(&mut Area { area, checks: &mut checks });
    area("files that are run", &|area| code::look(area, settings.as_ref(), &libraries));
    area("machine", &|area| machine::look(area));
    area("allocation", &|area| allocation::look(area, settings.as_ref()));
    area("gpu", &|area| gpu::look(area, settings.as_ref()));
    if let Some(settings) = &settings {
        area("weights", &|area| weights::look(area, settings));
        area("folders", &|area| folders::look(area, settings));
    }
    area("session", &|area| session::look(area));
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let (missing, warnings) = (count(State::Missing), count(State::Warning));
    let report =
        Report { schema: SCHEMA, tool: concat!("reeldeck ", env!("CARGO_PKG_VERSION")), missing, warnings, checks };
    if typed.json {
        out::document(format!("{}\n", json::to_string(&report)?).as_bytes()).context("failed to print the report")?;
    } else {
        out::stdout(format_args!("{}", report::text(&report, typed.quiet)));
    }
    Ok(if missing > 0 { Exit::Incomplete } else { Exit::Done })
}

/// The settings; `None`, after a check that says so, if the configuration is invalid.
fn configuration(area: &mut Area<'_>, settings: Result<Settings, ExitError>) -> Option<Settings> {
    match settings {
        Ok(settings) => {
            match &settings.config_file {
                Some(path) => area.ok("configuration", path.display().to_string()),
                None => area.note("configuration", "no config.toml here; defaults. `reeldeck init` writes one"),
            }
            area.ok("recipe", settings.recipe.name.clone());
            Some(settings)
        }
        Err(error) => {
            let text = format!("{:#}", anyhow::Error::from(error));
            area.missing("configuration", text, "correct it; config.example.toml explains every key");
            None
        }
    }
}
