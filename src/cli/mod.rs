//! The command line as typed: options, subcommands and their help. Nothing here looks at a file.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use reeldeck_common::recipe::Output;

use crate::dataset::shard::Shard;
use crate::dataset::video_list::LabelStyle;
use crate::format::{Axes, Format};

/// Turns a folder of untrimmed videos into verified features for temporal action localization.
///
/// The dataset folder holds one folder for each class, with the videos in it: Class/video.mp4. It is only ever
/// read; everything that is made goes to the output folder. A run that was stopped goes on where it was.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "reeldeck", version, max_term_width = 100, after_help = AFTER)]
pub struct Cli {
    /// Do it all without a terminal interface: list, extract, export
    #[arg(long)]
    pub batch: bool,
    /// How the run is started.
    #[command(flatten)]
    pub run: RunArgs,
    /// How the terminal interface looks.
    #[command(flatten)]
    pub tui: TuiArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The options that every command takes.
    #[command(flatten)]
    pub global: Global,
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

/// The options that may stand before or after the subcommand.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Read this configuration file [default: ./config.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The dataset folder [default: data]
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// The output folder, outside the dataset folder [default: out]
    #[arg(long, global = true, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What to extract: a built-in recipe or a TOML file [default: slowonly-r50-8x8-k700]
    #[arg(long, global = true, value_name = "NAME|FILE")]
    pub recipe: Option<String>,
    /// The weights: a .pth file, the address of one, `published` for the recipe's own, which are downloaded once, or
    /// `seeded` for made-up weights whose numbers mean nothing
    #[arg(long, global = true, value_name = "FILE|URL|WORD")]
    pub checkpoint: Option<PathBuf>,
    /// What should be there: the official annotation file, or a list with a video a line
    #[arg(long, global = true, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Where to compute: cpu, cuda:0,cuda:1, cpu*2 for two workers on the CPU, or all [default: cpu]
    #[arg(long, global = true, value_name = "LIST")]
    pub devices: Option<String>,
    /// Work on the first N unfinished videos only; nothing is exported then
    #[arg(long, global = true, value_name = "N", value_parser = at_least_one)]
    pub limit: Option<usize>,
    /// Work on one part of the videos only, such as 0/4 for the first of four [default: all, or this task's of a Slurm array]
    #[arg(long, global = true, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Try videos again that failed before
    #[arg(long, global = true)]
    pub retry_failed: bool,
    /// Extract videos again that have changed since
    #[arg(long, global = true)]
    pub redo_stale: bool,
    /// Say what would be done, and change nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Print JSON on standard output: the events of a run (--batch, extract, attach), or an object (status, scan, doctor)
    #[arg(long, global = true)]
    pub json: bool,
    /// Print problems only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more; twice for even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

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
    Init {
        /// The dataset folder [default: data]
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Say what this machine has for a run and what it lacks, and what to do about it; exit code 3 where something lacks
    Doctor,
    /// Download the weights, where an address was chosen or none at all, and say where they are
    Fetch,
    /// Write the list of videos, hacs_data.txt, in the output folder
    List(ListArgs),
    /// Extract the features of all listed videos that have none yet
    Extract(RunArgs),
    /// Follow the run that holds the output folder; leaving does not end it
    Attach(AttachArgs),
    /// Say where the run that holds the output folder stands
    Status,
    /// End the run after the videos in hand
    Stop {
        /// Drop what is in hand
        #[arg(long)]
        now: bool,
    },
    /// Stop the workers where they are; memory and devices stay theirs
    Pause,
    /// Let a paused run go on
    Resume,
    /// Have videos tried again: failed ones by the run that goes on, or those of a list by the next run
    Retry(RetryArgs),
    /// The engine in the background
    #[command(hide = true)]
    Engine {
        /// Extract only
        #[arg(long)]
        no_export: bool,
        /// Begin when a client says so
        #[arg(long)]
        wait: bool,
    },
    /// Write what a trainer reads, from the features that are there
    Export(ExportArgs),
    /// Check every feature: its file, its provenance, its numbers; extract some anew; compare with others' features
    Verify(VerifyArgs),
    /// Show what is in the dataset folder, what should be, and what was refused, and change nothing
    Scan(ScanArgs),
    /// Write the lists by which to fetch or request what the manifest has and the dataset folder has not
    Missing(WatchArgs),
    /// Write the annotations that a trainer reads, hacs_anno_{train,val,test}.json, from the manifest
    Annotations,
    /// Measure how this machine's CPU runs the recipe's model fastest, and remember it
    Tune(TuneArgs),
    /// Write the seeded weights as a .pth file, for trying things out
    SeededCheckpoint {
        /// The file to write
        path: PathBuf,
    },
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

/// How a run is started.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq)]
pub struct RunArgs {
    /// Let the run go on in the background: `reeldeck attach` follows it, `stop`, `pause` and `retry` steer it
    #[arg(long)]
    pub detach: bool,
}

/// Options of `tune`.
#[derive(Args, Clone, Copy, Debug, PartialEq)]
pub struct TuneArgs {
    /// How long each way to use the machine is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=3600))]
    pub seconds: u64,
}

/// How the terminal interface looks.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Options of the terminal interface")]
pub struct TuiArgs {
    /// Colours: terminal, none, or a theme of its own [default: terminal]
    #[arg(long, value_name = "NAME")]
    pub theme: Option<String>,
    /// Show ASCII characters only
    #[arg(long)]
    pub ascii: bool,
    /// Show new data once a second, for slow connections
    #[arg(long)]
    pub low_bandwidth: bool,
    /// Use the mouse; the terminal's own selection of text does not work then
    #[arg(long)]
    pub mouse: bool,
}

/// Options of `attach`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct AttachArgs {
    /// Print lines instead of taking the terminal over
    #[arg(long)]
    pub plain: bool,
    /// How the terminal interface looks.
    #[command(flatten)]
    pub tui: TuiArgs,
}

/// Which videos to try again.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct RetryArgs {
    /// Class/file, file, or file without extension; * and ? match anything
    #[arg(value_name = "PATTERN", required_unless_present_any = ["failed", "list"])]
    pub patterns: Vec<String>,
    /// All that have failed
    #[arg(long, conflicts_with = "patterns")]
    pub failed: bool,
    /// Those in this list, such as the retry.txt of `verify`, whatever came of them; while no run holds the output folder.
    /// The next run extracts them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["patterns", "failed"])]
    pub list: Option<PathBuf>,
}

/// Options of `list`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ListArgs {
    /// The number after each video [default: minus-one]
    #[arg(long, value_name = "STYLE")]
    pub label_style: Option<LabelStyle>,
    /// Print the list instead of writing it
    #[arg(long)]
    pub stdout: bool,
}

/// Options of `scan`.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanArgs {
    /// Also check each video: container, file size and packets
    #[arg(long, conflicts_with = "deep")]
    pub quick: bool,
    /// Also check each video, and decode its first and last frames, all keyframes and a sample of the others
    #[arg(long)]
    pub deep: bool,
    /// Whether to stay.
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// Options of commands that can go on as files arrive.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchArgs {
    /// Stay, and tell what changes as files come, change and go; Ctrl-C ends it
    #[arg(long)]
    pub watch: bool,
    /// Look at everything from time to time instead of waiting for the operating system to report changes
    #[arg(long, requires = "watch")]
    pub poll: bool,
}

/// Options of `export`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ExportArgs {
    /// The formats to write, separated by commas
    #[arg(long, value_name = "FORMATS", value_delimiter = ',', default_value = "pkl")]
    pub format: Vec<Format>,
    /// csv: the fewest digits that give the same float32; about half the size
    #[arg(long)]
    pub compact: bool,
    /// npy, npz, h5: which way round a video's matrix is
    #[arg(long, value_name = "LAYOUT", default_value = "tc")]
    pub layout: Axes,
    /// What to export: logits or pooled [default: logits, where the recipe stores them]
    #[arg(long, value_name = "OUTPUT", value_parser = an_output)]
    pub output: Option<Output>,
}

/// Options of `verify`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct VerifyArgs {
    /// Extract N of the videos anew and compare; needs --checkpoint
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub sample: Option<usize>,
    /// Compare with features of the same videos made by MMAction2 or anyone: a result.pkl, or a folder of csv, npy, npz
    /// or reeldeck's own features
    #[arg(long, value_name = "FILE|DIR")]
    pub against: Option<PathBuf>,
    /// The list that goes with that result.pkl [default: hacs_data.txt beside it]
    #[arg(long, value_name = "FILE", requires = "against")]
    pub list: Option<PathBuf>,
    /// The largest difference that passes with --against [default: 2e-4, or a relative L2 of 1e-2 where the recipe is
    /// not fp32]
    #[arg(long, value_name = "X", requires = "against", value_parser = a_bound)]
    pub tolerance: Option<f64>,
}

impl Cli {
    /// Parses a command line, the program's name first.
    ///
    /// # Errors
    /// Anything that is not a valid command line, and requests for help or the version: print the error and end with
    /// its `exit_code`.
    pub fn read(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let cli = Self::try_parse_from(args)?;
        // clap can have a subcommand conflict with all options of its parent, but not with a single one.
        if cli.batch && cli.command.is_some() {
            let message = "--batch does everything and takes no subcommand; leave out one of the two";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        if cli.run.detach && !cli.batch {
            let message = "--detach goes with --batch or extract";
            return Err(Self::command().error(ErrorKind::MissingRequiredArgument, message));
        }
        if let Some(message) = cli.unsupported_flags() {
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        Ok(cli)
    }
}

impl Global {
    /// The same options as words of a command line, for a process that is to do the same.
    pub fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![];
        let mut option = |name: &str, value: Option<OsString>| {
            if let Some(value) = value {
                words.extend([OsString::from(name), value]);
            }
        };
        let path = |path: &Option<PathBuf>| path.clone().map(PathBuf::into_os_string);
        option("--config", path(&self.config));
        option("--root", path(&self.root));
        option("--out", path(&self.out));
        option("--recipe", self.recipe.clone().map(OsString::from));
        option("--checkpoint", path(&self.checkpoint));
        option("--manifest", path(&self.manifest));
        option("--devices", self.devices.clone().map(OsString::from));
        option("--limit", self.limit.map(|n| n.to_string().into()));
        option("--shard", self.shard.map(|shard| shard.to_string().into()));
        let flags = [
            (self.retry_failed, "--retry-failed"),
            (self.redo_stale, "--redo-stale"),
            (self.dry_run, "--dry-run"),
            (self.json, "--json"),
            (self.quiet, "--quiet"),
        ];
        words.extend(flags.iter().filter(|(set, _)| *set).map(|(_, name)| OsString::from(name)));
        words.extend((0..self.verbose).map(|_| OsString::from("-v")));
        words
    }
}

fn an_output(text: &str) -> Result<Output, String> {
    let all = [Output::Logits, Output::Pooled];
    all.into_iter().find(|output| output.name() == text).ok_or_else(|| "must be logits or pooled".into())
}

fn a_bound(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|bound| *bound >= 0.0).ok_or_else(|| "must be a number, not below zero".into())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "must be a whole number of 1 or more".into())
}

#[cfg(test)]
mod tests;
mod unsupported_flags;
