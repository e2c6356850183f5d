//! The options of each subcommand.

use std::path::PathBuf;

use clap::Args;
use reeldeck_common::recipe::Output;

use super::at_least_one;
use super::options::{
    ConfigArgs, DeviceArgs, FolderArgs, ManifestArgs, ModelArgs, QuietArgs, RecipeArgs, RunArgs, TargetArgs, TuiArgs,
    VerbosityArgs, overrides,
};
use crate::dataset::video_list::LabelStyle;
use crate::format::{Axes, Format};

/// Options of `init`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct InitArgs {
    /// The dataset folder [default: data]
    #[arg(value_name = "DIR", conflicts_with = "root")]
    pub folder: Option<PathBuf>,
    #[command(flatten)]
    folders: FolderArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    devices: DeviceArgs,
    /// Print what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

overrides!(InitArgs: folders, model, manifest, devices; dry_run);

/// Options of `doctor`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct DoctorArgs {
    #[command(flatten)]
    folders: FolderArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    devices: DeviceArgs,
    /// Print the report as one JSON object
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    #[command(flatten)]
    print: QuietArgs,
}

overrides!(DoctorArgs: folders, model, devices, print; json);

/// Options of `fetch`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct FetchArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    print: QuietArgs,
}

overrides!(FetchArgs: config, model, print;);

/// Options of `list`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ListArgs {
    #[command(flatten)]
    folders: FolderArgs,
    /// The number after each video [default: minus-one]
    #[arg(long, value_name = "STYLE")]
    pub label_style: Option<LabelStyle>,
    /// Print the list instead of writing it
    #[arg(long)]
    pub stdout: bool,
    /// Say what would be written, and write nothing
    #[arg(long, conflicts_with = "stdout")]
    dry_run: bool,
    #[command(flatten)]
    print: VerbosityArgs,
}

overrides!(ListArgs: folders, print; dry_run);

/// Options of `extract`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ExtractArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Let the run go on in the background: `reeldeck attach` follows it, `stop`, `pause` and `retry` steer it
    #[arg(long, conflicts_with_all = ["json", "dry_run"])]
    pub detach: bool,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the events of the run on standard output, as lines of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    print: VerbosityArgs,
}

overrides!(ExtractArgs: run, print; dry_run, json);

/// Options of the engine in the background.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct EngineArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Extract only
    #[arg(long)]
    pub no_export: bool,
    /// Begin when a client says so
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    print: VerbosityArgs,
}

overrides!(EngineArgs: run, print;);

/// Options of `attach`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct AttachArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Print lines instead of taking the terminal over
    #[arg(long, conflicts_with = "TuiArgs")]
    pub plain: bool,
    /// Print the events of the run on standard output, as lines of JSON
    #[arg(long, conflicts_with = "TuiArgs")]
    json: bool,
    #[command(flatten)]
    print: VerbosityArgs,
    /// How the terminal interface looks.
    #[command(flatten)]
    pub tui: TuiArgs,
}

overrides!(AttachArgs: target, print; json);

/// Options of `status`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct StatusArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

overrides!(StatusArgs: target; json);

/// Options of `pause` and `resume`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct OrderArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    print: QuietArgs,
}

overrides!(OrderArgs: target, print;);

/// Options of `stop`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct StopArgs {
    /// Drop what is in hand
    #[arg(long)]
    pub now: bool,
    #[command(flatten)]
    order: OrderArgs,
}

overrides!(StopArgs: order;);

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
    #[arg(long, value_name = "FILE", conflicts_with_all = ["patterns", "failed", "shard"])]
    pub list: Option<PathBuf>,
    #[command(flatten)]
    order: OrderArgs,
    /// The dataset folder [default: data]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["patterns", "failed"])]
    root: Option<PathBuf>,
    /// The recipe of the features [default: slowonly-r50-8x8-k700]
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ["patterns", "failed"])]
    recipe: Option<String>,
    /// The weights that made the features; needed where there are several feature sets
    #[arg(long, value_name = "FILE|URL|WORD", conflicts_with_all = ["patterns", "failed"])]
    checkpoint: Option<PathBuf>,
    /// Say what would be extracted again, and change nothing
    #[arg(long, conflicts_with_all = ["patterns", "failed"])]
    dry_run: bool,
}

overrides!(RetryArgs: order; root, recipe, checkpoint, dry_run);

/// Options of `scan`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ScanArgs {
    #[command(flatten)]
    folders: FolderArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Also check each video: container, file size and packets
    #[arg(long, conflicts_with = "deep")]
    pub quick: bool,
    /// Also check each video, and decode its first and last frames, all keyframes and a sample of the others
    #[arg(long)]
    pub deep: bool,
    /// Whether to stay.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Do not keep what the checks find
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object, with --watch another for each change
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    print: VerbosityArgs,
}

overrides!(ScanArgs: folders, manifest, print; dry_run, json);

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

/// Options of `missing`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct MissingArgs {
    #[command(flatten)]
    folders: FolderArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Whether to stay.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    print: QuietArgs,
}

overrides!(MissingArgs: folders, manifest, print; dry_run);

/// Options of `annotations`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct AnnotationsArgs {
    #[command(flatten)]
    folders: FolderArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    print: QuietArgs,
}

overrides!(AnnotationsArgs: folders, manifest, print; dry_run);

/// Options of `export`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ExportArgs {
    #[command(flatten)]
    folders: FolderArgs,
    #[command(flatten)]
    model: ModelArgs,
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
    /// Say what would be exported, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    print: VerbosityArgs,
}

overrides!(ExportArgs: folders, model, print; dry_run);

/// Options of `verify`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct VerifyArgs {
    #[command(flatten)]
    folders: FolderArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Extract N of the videos anew and compare; needs --checkpoint
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub sample: Option<usize>,
    /// Where to extract them: cpu or cuda:N [default: cpu]
    #[arg(long, value_name = "DEVICE", requires = "sample")]
    devices: Option<String>,
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
    /// Print what is found, and write no lists
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    print: VerbosityArgs,
}

overrides!(VerifyArgs: folders, model, print; devices, dry_run);

/// Options of `tune`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct TuneArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// How long each way to use the machine is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=3600))]
    pub seconds: u64,
}

overrides!(TuneArgs: config, recipe;);

/// Options of `seeded-checkpoint`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SeededCheckpointArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// The file to write
    pub path: PathBuf,
}

overrides!(SeededCheckpointArgs: config, recipe;);

fn an_output(text: &str) -> Result<Output, String> {
    let all = [Output::Logits, Output::Pooled];
    all.into_iter().find(|output| output.name() == text).ok_or_else(|| "must be logits or pooled".into())
}

fn a_bound(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|bound| *bound >= 0.0).ok_or_else(|| "must be a number, not below zero".into())
}
