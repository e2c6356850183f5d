//! The command line: options, subcommands and their help. Nothing here reads a file.

mod args;
mod options;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::Overrides;
use options::Override;

pub(crate) use args::{
    AnnotationsArgs, AttachArgs, DoctorArgs, EngineArgs, ExportArgs, ExtractArgs, FetchArgs, InitArgs, ListArgs,
    MissingArgs, OrderArgs, RetryArgs, ScanArgs, SeededCheckpointArgs, StatusArgs, StopArgs, TuneArgs, VerifyArgs,
    WatchArgs,
};
pub(crate) use options::TuiArgs;

/// Turns a folder of untrimmed videos into verified features for temporal action localization.
///
/// The dataset folder holds one folder for each class, with the videos in it: Class/video.mp4. It is only ever
/// read; everything that is made goes to the output folder. A run that was stopped goes on where it was.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "reeldeck", version, max_term_width = 100, after_help = AFTER, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Do it all without a terminal interface: list, extract, export
    #[arg(long, conflicts_with = "TuiArgs")]
    pub batch: bool,
    /// Let the run go on in the background: `reeldeck attach` follows it, `stop`, `pause` and `retry` steer it
    #[arg(long, requires = "batch", conflicts_with_all = ["json", "dry_run"])]
    pub detach: bool,
    /// Say what would be done, and change nothing
    #[arg(long, requires = "batch")]
    pub dry_run: bool,
    /// Print the events of the run on standard output, as lines of JSON
    #[arg(long, requires = "batch")]
    pub json: bool,
    /// Print problems only
    #[arg(short, long, requires = "batch", conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more
    #[arg(short, long, requires = "batch")]
    pub verbose: bool,
    #[command(flatten)]
    run: options::RunArgs,
    /// How the terminal interface looks.
    #[command(flatten)]
    pub tui: TuiArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const AFTER: &str = "\
Begin here:
  reeldeck demo                     try everything out on generated videos
  reeldeck init data/hacs           write config.toml for a dataset folder
  reeldeck doctor                   see what is missing
  reeldeck --batch --detach         list, extract, export; the window may close
  reeldeck attach                   follow it

Exit codes:
  0    all that was wanted is finished, now or before
  1    it could not go on, and says why
  2    usage or configuration
  3    finished, but some videos were refused, failed, or are missing or stale
  4    no video
  11   another run holds the output folder
  130  interrupted; the same command goes on where it was";

/// The subcommands.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Make a small dataset of generated videos and run everything on it
    Demo {
        /// The folder to work in; it is made if it does not exist
        #[arg(long, value_name = "DIR", default_value = "reeldeck-demo")]
        dir: PathBuf,
    },
    /// Write config.toml for a dataset folder, with every setting explained
    Init(InitArgs),
    /// Say what this machine has for a run and what it lacks, and what to do about it; exit code 3 where something lacks
    Doctor(DoctorArgs),
    /// Download the weights, where an address was chosen or none at all, and say where they are
    Fetch(FetchArgs),
    /// Write the list of videos, hacs_data.txt, in the output folder
    List(ListArgs),
    /// Extract the features of all listed videos that have none yet
    Extract(ExtractArgs),
    /// Follow the run that holds the output folder; leaving does not end it
    Attach(AttachArgs),
    /// Say where the run that holds the output folder stands
    Status(StatusArgs),
    /// End the run after the videos in hand
    Stop(StopArgs),
    /// Stop the workers where they are; memory and devices stay theirs
    Pause(OrderArgs),
    /// Let a paused run go on
    Resume(OrderArgs),
    /// Have videos tried again: failed ones by the run that goes on, or those of a list by the next run
    Retry(RetryArgs),
    /// The engine in the background
    #[command(hide = true)]
    Engine(EngineArgs),
    /// Write what a trainer reads, from the features that are there
    Export(ExportArgs),
    /// Check every feature: its file, its provenance, its numbers; extract some anew; compare with others' features
    Verify(VerifyArgs),
    /// Show what is in the dataset folder, what should be, and what was refused, and change nothing
    Scan(ScanArgs),
    /// Write download and request lists for manifest videos that are not on disk
    Missing(MissingArgs),
    /// Write the annotations that a trainer reads, hacs_anno_{train,val,test}.json, from the manifest
    Annotations(AnnotationsArgs),
    /// Measure how this machine's CPU runs the recipe's model fastest, and remember it
    Tune(TuneArgs),
    /// Write the seeded weights as a .pth file, for trying things out
    SeededCheckpoint(SeededCheckpointArgs),
    /// Print what a shell needs to complete commands and options
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual; with --dir write a page for each command
    Man {
        /// Write the pages into this folder
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

impl Cli {
    /// Parses a command line, the program's name first.
    ///
    /// # Errors
    /// Anything that is not a valid command line, and requests for help or the version: print the error and end with
    /// its `exit_code`.
    pub fn read(args: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self, clap::Error> {
        Self::try_parse_from(subcommand_first(args.into_iter().map(Into::into).collect()))
    }

    /// The settings that the command line overrides.
    pub fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::default();
        let options: &dyn Override = match &self.command {
            None => self,
            Some(Command::Init(args)) => args,
            Some(Command::Doctor(args)) => args,
            Some(Command::Fetch(args)) => args,
            Some(Command::List(args)) => args,
            Some(Command::Extract(args)) => args,
            Some(Command::Attach(args)) => args,
            Some(Command::Status(args)) => args,
            Some(Command::Stop(args)) => args,
            Some(Command::Pause(args) | Command::Resume(args)) => args,
            Some(Command::Retry(args)) => args,
            Some(Command::Engine(args)) => args,
            Some(Command::Export(args)) => args,
            Some(Command::Verify(args)) => args,
            Some(Command::Scan(args)) => args,
            Some(Command::Missing(args)) => args,
            Some(Command::Annotations(args)) => args,
            Some(Command::Tune(args)) => args,
            Some(Command::SeededCheckpoint(args)) => args,
            Some(Command::Demo { .. } | Command::Completions { .. } | Command::Man { .. }) => return overrides,
        };
        options.override_in(&mut overrides);
        overrides
    }
}

options::overrides!(Cli: run; dry_run, json, quiet, verbose);

/// Moves the options before a subcommand behind it: `reeldeck --root data list` is `reeldeck list --root data`, and the
/// subcommand accepts or refuses them.
fn subcommand_first(mut words: Vec<OsString>) -> Vec<OsString> {
    let command = Cli::command();
    let mut at = 1;
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        if command.find_subcommand(word).is_some() {
            if let Some(front) = words.get_mut(1..=at) {
                front.rotate_right(1);
            }
            break;
        }
        at += match word.strip_prefix("--") {
            // Nothing before a subcommand is a path.
            None if !word.starts_with('-') => break,
            None => 1,
            Some(name) => {
                let is_it = |option: &&clap::Arg| option.get_long() == Some(name);
                let takes_value = command.get_arguments().find(is_it).is_some_and(|o| o.get_action().takes_values());
                1 + usize::from(takes_value)
            }
        };
    }
    words
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "must be a whole number of 1 or more".into())
}
