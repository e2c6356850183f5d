//! The command line as typed: options, subcommands and their help. Nothing here looks at a file.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use reeldeck_contract::recipe::Output;

use crate::dataset::shard::Shard;
use crate::dataset::video_list::LabelStyle;
use crate::export::{Axes, Format};

/// Turns a folder of untrimmed videos into verified features for temporal action localization.
///
/// The dataset folder holds one folder for each class, with the videos in it: Class/video.mp4. It is only ever
/// read; everything that is made goes to the output folder. A run that was stopped goes on where it was.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "reeldeck", version, max_term_width = 100, after_help = EXIT_CODES)]
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

const EXIT_CODES: &str = "Exit codes: 0 all is finished, 1 internal error, 2 usage or configuration, 3 finished but some \
    videos were refused, failed, or are missing or stale, 4 no video, 11 another run holds the output folder, 130 \
    interrupted";

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
    /// The weights: a .pth file, or `seeded` for made-up weights whose numbers mean nothing
    #[arg(long, global = true, value_name = "FILE|seeded")]
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
    /// Print JSON on standard output: events of a run, the state of a run, or what a scan found
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
    /// Have a run try failed videos again
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
    Missing,
    /// Write the annotations that a trainer reads, hacs_anno_{train,val,test}.json, from the manifest
    Annotations,
    /// Write the seeded weights as a .pth file, for trying things out
    SeededCheckpoint {
        /// The file to write
        path: PathBuf,
    },
    /// Make a small dataset of generated videos and run everything on it
    Demo {
        /// The folder to work in; it is made if it does not exist
        #[arg(long, value_name = "DIR", default_value = "reeldeck-demo")]
        dir: PathBuf,
    },
}

/// How a run is started.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq)]
pub struct RunArgs {
    /// Let the run go on in the background: `reeldeck attach` follows it, `stop`, `pause` and `retry` steer it
    #[arg(long)]
    pub detach: bool,
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
    #[arg(value_name = "PATTERN", required_unless_present = "failed")]
    pub patterns: Vec<String>,
    /// All that have failed
    #[arg(long, conflicts_with = "patterns")]
    pub failed: bool,
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
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(std::iter::once("reeldeck").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_subcommand() {
        let options = "--config c.toml --root d --out o --recipe r --checkpoint seeded --manifest m.json --shard 1/2 --json \
             --devices cpu*2 --limit 3 --retry-failed --redo-stale --dry-run -vv";
        let before = read(&format!("{options} extract")).unwrap();
        assert_eq!(before, read(&format!("extract {options}")).unwrap());
        assert_eq!(before.command, Some(Command::Extract(RunArgs::default())));
        let global = Global {
            config: Some("c.toml".into()),
            root: Some("d".into()),
            out: Some("o".into()),
            recipe: Some("r".into()),
            checkpoint: Some("seeded".into()),
            manifest: Some("m.json".into()),
            devices: Some("cpu*2".into()),
            limit: Some(3),
            shard: Some(Shard { index: 1, of: 2 }),
            json: true,
            retry_failed: true,
            redo_stale: true,
            dry_run: true,
            quiet: false,
            verbose: 2,
        };
        assert_eq!(before.global, global);
        let words = std::iter::once("reeldeck".into()).chain(global.words());
        assert_eq!(Cli::read(words).unwrap().global, global, "as another process would read it");
        assert_eq!(read("").unwrap().global, Global::default());
    }

    #[test]
    fn subcommands_take_their_own_options() {
        let list = |label_style, stdout| Some(Command::List(ListArgs { label_style, stdout }));
        assert_eq!(read("list").unwrap().command, list(None, false));
        let styled = read("-q list --label-style index --stdout").unwrap();
        assert_eq!(styled.command, list(Some(LabelStyle::Index), true));
        assert!(styled.global.quiet);
        let export = |args| Some(Command::Export(args));
        let plain = ExportArgs { format: vec![Format::Pkl], ..ExportArgs::default() };
        assert_eq!(read("export").unwrap().command, export(plain.clone()));
        assert_eq!(read("export --format pkl").unwrap().command, export(plain));
        let all = ExportArgs {
            format: vec![Format::Csv, Format::Npy, Format::H5],
            compact: true,
            layout: Axes::Ct,
            output: Some(Output::Pooled),
        };
        let line = "export --format csv,npy --format h5 --compact --layout ct --output pooled";
        assert_eq!(read(line).unwrap().command, export(all));
        let verify = VerifyArgs {
            sample: Some(3),
            against: Some("r.pkl".into()),
            list: Some("l.txt".into()),
            tolerance: Some(1e-3),
        };
        let line = "verify --sample 3 --against r.pkl --list l.txt --tolerance 1e-3";
        assert_eq!(read(line).unwrap().command, Some(Command::Verify(verify)));
        assert_eq!(read("verify").unwrap().command, Some(Command::Verify(VerifyArgs::default())));
        assert_eq!(read("scan").unwrap().command, Some(Command::Scan(ScanArgs::default())));
        assert!(read("scan --quick --deep").is_err());
        assert_eq!(read("missing").unwrap().command, Some(Command::Missing));
        assert_eq!(read("annotations --manifest m").unwrap().command, Some(Command::Annotations));
        let seeded = Command::SeededCheckpoint { path: "w.pth".into() };
        assert_eq!(read("seeded-checkpoint w.pth").unwrap().command, Some(seeded));
        assert_eq!(read("demo").unwrap().command, Some(Command::Demo { dir: "reeldeck-demo".into() }));
        assert!(read("--batch --root x").unwrap().batch);
        assert!(read("--batch --detach").unwrap().run.detach);
        assert_eq!(read("extract --detach").unwrap().command, Some(Command::Extract(RunArgs { detach: true })));
        let retry = |patterns: &[&str], failed| {
            Some(Command::Retry(RetryArgs { patterns: patterns.iter().map(ToString::to_string).collect(), failed }))
        };
        assert_eq!(read("retry A/* v_b").unwrap().command, retry(&["A/*", "v_b"], false));
        assert_eq!(read("retry --failed").unwrap().command, retry(&[], true));
        assert_eq!(read("stop --now").unwrap().command, Some(Command::Stop { now: true }));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_code_2_and_help_with_code_0() {
        for (line, says) in [
            ("lsit", "list"),
            ("--limit 0 extract", "1 or more"),
            ("list -q -v", "cannot be used with"),
            ("--batch list", "takes no subcommand"),
            ("list --batch", "--batch"),
            ("list --label-style minus", "minus-one"),
            ("export --format np", "npy"),
            ("export --format npy,", "pkl, csv, npy, npz, h5"),
            ("export --layout t", "tc"),
            ("export --output features", "logits or pooled"),
            ("verify --sample 0", "1 or more"),
            ("verify --list l.txt", "--against"),
            ("verify --against r.pkl --tolerance=-1", "not below zero"),
            ("seeded-checkpoint", "<PATH>"),
            ("--root", "--root"),
            ("--detach", "goes with --batch"),
            ("retry", "<PATTERN>"),
            ("retry x --failed", "cannot be used with"),
            ("extract --shard 4/4", "the last is 3/4"),
        ] {
            let error = read(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(says), "{line}: {error}");
        }
        let help = read("--help").unwrap_err();
        assert_eq!(help.exit_code(), 0);
        for word in ["seeded-checkpoint", "--retry-failed", "--batch", "Exit codes"] {
            assert!(help.to_string().contains(word), "{word}: {help}");
        }
        assert!(read("--version").unwrap_err().to_string().contains(env!("CARGO_PKG_VERSION")));
    }
}
