//! reeldeck: a folder of untrimmed videos to verified features for temporal action localization.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod cli;
pub mod commands;
pub mod config;
pub mod dataset;
pub mod error;

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
    let settings = Settings::resolve(&cli.global, &std::env::current_dir()?)?;
    match &cli.command {
        Some(Command::List(args)) => commands::list::run_list(&settings, args),
        _ => Err(Stop::new(Exit::Usage, "not built yet").into()),
    }
}
