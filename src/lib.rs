//! reeldeck: a folder of untrimmed videos to verified features for temporal action localization.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod batch;
pub mod cli;
pub mod commands;
pub mod config;
pub mod dataset;
pub mod engine;
pub mod error;
pub mod export;
pub mod parallel;
pub mod verify;

use std::process::ExitCode;

use cli::{Cli, Command};
use config::Settings;
use error::{Exit, Stop};

/// The whole program: reads the command line, runs what it asks for, and gives the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Where the stream is closed there is nobody left to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()));
        }
    };
    match run(&cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprint!("{}", error::text_of(&error));
            error::exit_of(&error).into()
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    let settings = || Settings::resolve(&cli.global, &std::env::current_dir()?).map_err(anyhow::Error::from);
    match &cli.command {
        Some(Command::Demo { dir }) => commands::demo::run_demo(dir),
        Some(Command::List(args)) => commands::list::run_list(&settings()?, args),
        Some(Command::Scan) => commands::scan::run_scan(&settings()?),
        Some(Command::Extract) => batch::run_batch(&settings()?, batch::Steps { export: false }),
        Some(Command::Export(args)) => commands::export::run_export(&settings()?, args),
        Some(Command::Verify(args)) => commands::verify::run_verify(&settings()?, args),
        Some(Command::SeededCheckpoint { path }) => commands::seeded::run_seeded(&settings()?, path),
        None if cli.batch => batch::run_batch(&settings()?, batch::Steps { export: true }),
        None => Err(Stop::new(
            Exit::Usage,
            "nothing to do was named: `reeldeck --batch` lists, extracts and exports; `reeldeck --help` shows everything",
        )
        .into()),
    }
}
