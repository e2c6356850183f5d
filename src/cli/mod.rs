//! The command line: options, subcommands and their help. Nothing here reads a file.

mod args;
mod options;
mod slurm;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::config::Overrides;
use options::Override;

pub(crate) use args::{
    AnnotationsArgs, AttachArgs, DoctorArgs, EngineArgs, ExportArgs, ExtractArgs, FetchArgs, InitArgs, ListArgs,
    MissingArgs, OrderArgs, RetryArgs, ScanArgs, SeededCheckpointArgs, StatusArgs, StopArgs, TuneArgs, VerifyArgs,
    WatchArgs,
};
pub(crate) use options::TuiArgs;
pub(crate) use slurm::{SlurmArgs, SlurmCommand, SlurmInitArgs};

/// Extract features from untrimmed videos for temporal action localization.
///
/// The dataset folder usually contains one folder per class: Class/video.mp4. reeldeck never changes it and writes all results to
/// the output folder. An engine is the process that runs the workers and writes the results. A run can be stopped at any time; the
/// same command resumes it. Without a command and without --batch, the terminal interface opens. Options override the
/// configuration file, which overrides the defaults.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "reeldeck", version, max_term_width = 100, after_help = AFTER, after_long_help = LONG_AFTER)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// List, extract and export, without a window
    ///
    /// List the videos, extract their features and export result.pkl, without the terminal interface.
    #[arg(long, conflicts_with = "TuiArgs")]
    pub batch: bool,
    /// Run in the background
    ///
    /// `reeldeck attach` follows the run, and `stop`, `pause` and `retry` control it.
    #[arg(long, requires = "batch", conflicts_with_all = ["json", "dry_run"])]
    pub detach: bool,
    /// Print what would be done and change nothing
    #[arg(long, requires = "batch")]
    pub dry_run: bool,
    /// Print the events of the run to standard output, one JSON object per line
    #[arg(long, requires = "batch")]
    pub json: bool,
    /// Print only problems
    #[arg(short, long, requires = "batch", conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more details
    #[arg(short, long, requires = "batch")]
    pub verbose: bool,
    #[command(flatten)]
    run: options::RunArgs,
    /// Options of the terminal interface.
    #[command(flatten)]
    pub tui: TuiArgs,
    /// The subcommand, if any.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const AFTER: &str = "`reeldeck --help` shows all options, `reeldeck <COMMAND> -h` those of a command.";

const LONG_AFTER: &str = "\
Getting started:
  reeldeck demo                     try everything on generated videos
  reeldeck init data/hacs           write config.toml for a dataset folder
  reeldeck doctor                   check this machine
  reeldeck --batch --detach         list, extract and export in the background
  reeldeck attach                   follow the run

Exit codes:
  0    success: everything requested is done
  1    failure: the command could not finish, or its output could not be written
  2    invalid command line or configuration
  3    finished, but some videos failed, were refused, or are missing or stale;
       doctor: something is missing
  4    no videos, or no features, were found
  11   a run is using the output folder, and the command would remove files
       under it
  130  interrupted; run the same command again to resume";

/// The subcommands.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Try everything on a small generated dataset
    ///
    /// Generates the dataset, runs everything on it and checks the result.
    Demo {
        /// Working folder; created if it does not exist
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = "reeldeck-demo")]
        dir: PathBuf,
    },
    /// Write a config.toml for a dataset folder
    ///
    /// Every setting has a comment.
    Init(InitArgs),
    /// Check this machine and suggest fixes
    ///
    /// Exits 3 if anything is missing.
    Doctor(DoctorArgs),
    /// Download the weights and print their path
    ///
    /// Downloads the recipe's weights by default.
    Fetch(FetchArgs),
    /// Write the list of videos, hacs_data.txt
    ///
    /// It is written to the output folder.
    List(ListArgs),
    /// Extract the features that are missing, without an export
    ///
    /// Extracts the features of all videos that have none yet.
    Extract(ExtractArgs),
    /// Follow the current run; quitting does not stop it
    Attach(AttachArgs),
    /// Show the current run, or how the last one ended
    Status(StatusArgs),
    /// Stop the current run after the videos in progress
    Stop(StopArgs),
    /// Pause the current run
    ///
    /// The workers keep their memory and devices.
    Pause(OrderArgs),
    /// Resume the paused run
    Resume(OrderArgs),
    /// Retry failed videos, or queue a list of videos
    ///
    /// Retries failed videos in the current run, or queues a list of videos for the next run.
    Retry(RetryArgs),
    /// Run engines on a Slurm cluster
    ///
    /// Writes and submits the scripts; shows, adds and stops engines.
    Slurm(SlurmArgs),
    /// The engine in the background
    #[command(hide = true)]
    Engine(EngineArgs),
    /// Export the features in the formats that trainers read
    Export(ExportArgs),
    /// Check the features, or compare them with others
    ///
    /// Optionally re-extracts a sample or compares with other features. Exits 3 if any feature is wrong or missing.
    Verify(VerifyArgs),
    /// Report missing, corrupt, duplicate and unlisted videos
    ///
    /// Also reports refused files. Exits 3 if there are problems.
    Scan(ScanArgs),
    /// Write lists of missing videos, to download or request
    ///
    /// They contain the videos of the manifest that are missing or corrupt.
    Missing(MissingArgs),
    /// Write annotation files for trainers from the manifest
    ///
    /// The files are hacs_anno_{train,val,test}.json.
    Annotations(AnnotationsArgs),
    /// List the built-in recipes
    ///
    /// Shows the width, stride and cost of their features.
    Recipes,
    /// List the keys of the interface, and the actions that `[tui.keys]` can change
    Keys,
    /// Measure the fastest CPU settings and save them
    ///
    /// Measures the recipe's model. Later runs use the result.
    Tune(TuneArgs),
    /// Write the seeded weights as a .pth file
    ///
    /// These are the weights of `--checkpoint seeded`.
    SeededCheckpoint(SeededCheckpointArgs),
    /// Print the completion script for a shell
    Completions {
        /// Shell that will read the script
        shell: Shell,
    },
    /// Print the manual page
    ///
    /// With --dir, writes one page per command.
    Man {
        /// Write the pages to this folder; created if it does not exist
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
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
        let words = subcommand_first(args.into_iter().map(Into::into).collect());
        let matches = definition().try_get_matches_from(words)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut definition()))
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
            Some(Command::Slurm(args)) => args,
            Some(Command::Export(args)) => args,
            Some(Command::Verify(args)) => args,
            Some(Command::Scan(args)) => args,
            Some(Command::Missing(args)) => args,
            Some(Command::Annotations(args)) => args,
            Some(Command::Tune(args)) => args,
            Some(Command::SeededCheckpoint(args)) => args,
            Some(
                Command::Demo { .. }
                | Command::Recipes
                | Command::Keys
                | Command::Completions { .. }
                | Command::Man { .. },
            ) => return overrides,
        };
        options.override_in(&mut overrides);
        overrides
    }
}

options::overrides!(Cli: run; dry_run, json, quiet, verbose);

/// The command line with a short help (`-h`) that fits on a screen: it omits the options that few runs need.
fn definition() -> clap::Command {
    let rare = [
        "dry_run",
        "json",
        "quiet",
        "verbose",
        "limit",
        "retry_failed",
        "redo_stale",
        "strict",
        "theme",
        "ascii",
        "low_bandwidth",
        "mouse",
    ];
    rare.into_iter().fold(Cli::command(), |command, id| command.mut_arg(id, |arg| arg.hide_short_help(true)))
}

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
