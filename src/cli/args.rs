//! The options of each subcommand.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueHint};
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
    /// Dataset folder, usually with one folder per class [default: data]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "root")]
    pub folder: Option<PathBuf>,
    #[command(flatten)]
    folders: FolderArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    devices: DeviceArgs,
    /// Print the configuration instead of writing it
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
    recipe: RecipeArgs,
    /// Weights: a URL, `published` for the recipe's weights, or a .pth file, which is only checked [default: published]
    #[arg(long, value_name = "FILE|URL|WORD")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    print: QuietArgs,
}

overrides!(FetchArgs: config, recipe, print; checkpoint);

/// Options of `list`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ListArgs {
    #[command(flatten)]
    folders: FolderArgs,
    /// Label after each video [default: minus-one]
    #[arg(long, value_name = "STYLE")]
    pub label_style: Option<LabelStyle>,
    /// Print the list to standard output instead of writing the file
    #[arg(long)]
    pub stdout: bool,
    /// Print what would be written and write nothing
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
    /// Run in the background; `reeldeck attach` follows the run, and `stop`, `pause` and `retry` control it
    #[arg(long, conflicts_with_all = ["json", "dry_run"])]
    pub detach: bool,
    /// Print what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the events of the run to standard output, one JSON object per line
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
    /// Wait for a client to start the run
    #[arg(long)]
    pub wait: bool,
    /// Read the address of the weights from standard input
    #[arg(long, conflicts_with = "checkpoint")]
    pub address_from_stdin: bool,
    #[command(flatten)]
    print: VerbosityArgs,
}

overrides!(EngineArgs: run, print;);

/// Options of `attach`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct AttachArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Print the progress as lines instead of opening the terminal interface
    #[arg(long, conflicts_with = "TuiArgs")]
    pub plain: bool,
    /// Print the events of the run to standard output, one JSON object per line
    #[arg(long, conflicts_with = "TuiArgs")]
    json: bool,
    #[command(flatten)]
    print: VerbosityArgs,
    /// Options of the terminal interface.
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
    /// Abort the videos in progress; the next run starts them again
    #[arg(long)]
    pub now: bool,
    #[command(flatten)]
    order: OrderArgs,
}

overrides!(StopArgs: order;);

/// Options of `retry`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct RetryArgs {
    /// Failed videos to retry: Class/file, file, or file without extension; `*` matches any text, `?` one character, `[ab]` one of
    /// these
    #[arg(value_name = "PATTERN", required_unless_present_any = ["failed", "list"])]
    pub patterns: Vec<String>,
    /// Retry all failed videos
    #[arg(long, conflicts_with = "patterns")]
    pub failed: bool,
    /// Extract the videos in this list again in the next run, done or failed: one name per line, such as retry.txt from
    /// `verify`; refused during a run
    #[arg(long, value_name = "FILE", conflicts_with_all = ["patterns", "failed"])]
    pub list: Option<PathBuf>,
    #[command(flatten)]
    order: OrderArgs,
    /// Dataset folder of the videos in the list [default: data]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["patterns", "failed"])]
    root: Option<PathBuf>,
    /// Recipe of the features [default: slowonly-r50-8x8-k700]
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ["patterns", "failed"])]
    recipe: Option<String>,
    /// Weights of the features; required if several feature sets exist
    #[arg(long, value_name = "FILE|URL|WORD", conflicts_with_all = ["patterns", "failed"])]
    checkpoint: Option<PathBuf>,
    /// Print how many videos would be extracted again and change nothing
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
    /// Also check the container, size and packets of each file
    #[arg(long, conflicts_with = "deep")]
    pub quick: bool,
    /// Like --quick, but also decode the first and last frames, all keyframes and a sample of the others
    #[arg(long)]
    pub deep: bool,
    /// Whether to keep running.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Do not save the results of the checks
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object; with --watch, print another one after each change
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    print: VerbosityArgs,
}

overrides!(ScanArgs: folders, manifest, print; dry_run, json);

/// Options of commands that can follow changes of the dataset folder.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchArgs {
    /// Keep running and follow changes in the dataset folder until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// With --watch: poll the folder instead of using file system events
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
    /// Whether to keep running.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Print what would be written and write nothing
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
    /// Print what would be written and write nothing
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
    /// Formats to write, separated by commas
    #[arg(long, value_name = "FORMATS", value_delimiter = ',', default_value = "pkl")]
    pub format: Vec<Format>,
    /// csv: write the fewest digits that give the same float32; about half the size
    #[arg(long)]
    pub compact: bool,
    /// npy: write float16, half the size, with about three decimal digits
    #[arg(long)]
    pub float16: bool,
    /// npy, npz, h5: order of the axes
    #[arg(long, value_name = "LAYOUT", default_value = "tc")]
    pub layout: Axes,
    /// Features to export [default: logits if the recipe stores them, else pooled]
    #[arg(long, value_name = "OUTPUT", value_parser = outputs())]
    pub output: Option<Output>,
    /// Print what would be exported and write nothing
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
    /// Re-extract N videos and compare; requires the weights
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub sample: Option<usize>,
    /// Device for --sample: cpu or cuda:N [default: cpu]
    #[arg(long, value_name = "DEVICE", requires = "sample")]
    devices: Option<String>,
    /// Compare with other features of the same videos, such as MMAction2's: a result.pkl, another pickle or torch.save file of
    /// arrays, or a folder of csv, npy, npz or reeldeck's own files
    #[arg(long, value_name = "FILE|DIR")]
    pub against: Option<PathBuf>,
    /// List of the videos in the result.pkl of --against [default: hacs_data.txt beside it]
    #[arg(long, value_name = "FILE", requires = "against")]
    pub list: Option<PathBuf>,
    /// Largest absolute difference that --against accepts [default: 2e-4 for fp32; for other precisions, a relative L2 of 1e-2]
    #[arg(long, value_name = "X", requires = "against", value_parser = a_bound)]
    pub tolerance: Option<f64>,
    /// Print the findings and write no files
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
    /// Seconds per measurement, 1 to 3600
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
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
    /// File to write; must not exist
    pub path: PathBuf,
}

overrides!(SeededCheckpointArgs: config, recipe;);

/// Accepts the names of the outputs, which shells complete.
fn outputs() -> impl TypedValueParser<Value = Output> {
    let named = |name: String| Output::ALL.into_iter().find(|output| output.name() == name).ok_or("an unknown output");
    PossibleValuesParser::new(Output::ALL.map(Output::name)).try_map(named)
}

fn a_bound(text: &str) -> Result<f64, String> {
    let is_bound = |bound: &f64| bound.is_finite() && *bound >= 0.0;
    text.parse().ok().filter(is_bound).ok_or_else(|| "must be a finite number, not below zero".into())
}
