//! Groups of options that several commands share. A command includes only the groups that it uses, so that clap refuses the
//! other options.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueHint};

use crate::config::{Overrides, THEMES};

/// The configuration file alone.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct ConfigArgs {
    /// Configuration file [default: ./config.toml]
    ///
    /// Without this option, the file need not exist.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The folders of a command.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct FolderArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Dataset folder, only read [default: data]
    ///
    /// It usually contains one folder per class.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// Output folder [default: out]
    ///
    /// It must lie outside the dataset folder.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
}

/// The run that a command addresses.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct TargetArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Output folder of the run [default: out]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
}

/// What to extract.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct RecipeArgs {
    /// What to extract: a recipe's name or file
    ///
    /// A built-in name, as `reeldeck recipes` lists them, or a TOML file [default: slowonly-r50-8x8-k700].
    #[arg(long, value_name = "NAME|FILE", value_hint = ValueHint::AnyPath)]
    pub recipe: Option<String>,
}

/// The recipe and the weights, which together name a feature set.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct ModelArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Weights: a file, a URL, published or seeded
    ///
    /// A .pth file, a URL, `published` for the recipe's weights (downloaded once), or `seeded` for weights from a fixed seed
    /// (everything runs, but the features are meaningless).
    #[arg(long, value_name = "FILE|URL|WORD")]
    pub checkpoint: Option<PathBuf>,
}

/// The expected videos.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct ManifestArgs {
    /// Expected videos: a manifest, or a list
    ///
    /// The official annotation file, or a list with one video per line [default: none].
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
}

/// Where to compute.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct DeviceArgs {
    /// Devices: cpu, cpu*2, cuda:0,cuda:1 or all
    ///
    /// One worker each: `cpu`, `cpu*2` for two workers, `cuda:0,cuda:1`, or `all` for every GPU [default: cpu].
    #[arg(long, value_name = "LIST")]
    pub devices: Option<String>,
}

/// What a run extracts, from where, and on which devices.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub folders: FolderArgs,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub manifest: ManifestArgs,
    #[command(flatten)]
    pub devices: DeviceArgs,
    /// Process only the first N unfinished videos, without an export [default: all]
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    pub limit: Option<usize>,
    /// Retry videos that failed in earlier runs
    #[arg(long)]
    pub retry_failed: bool,
    /// Re-extract videos whose file has changed since their extraction
    #[arg(long)]
    pub redo_stale: bool,
    /// In a job of Slurm, PBS or LSF: exit with 3, as elsewhere, if some videos failed, were refused, or are missing or stale
    #[arg(long)]
    pub strict: bool,
}

/// How much to print, for commands without `--verbose`.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QuietArgs {
    /// Print only problems
    #[arg(short, long)]
    pub quiet: bool,
}

/// How much to print.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct VerbosityArgs {
    /// Print only problems
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more details
    #[arg(short, long)]
    pub verbose: bool,
}

/// The look of the terminal interface.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Terminal interface options")]
pub struct TuiArgs {
    /// Colour theme [default: terminal]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(THEMES))]
    pub theme: Option<String>,
    /// Draw with ASCII characters only
    #[arg(long)]
    pub ascii: bool,
    /// Refresh once a second instead of four times, for slow connections
    #[arg(long)]
    pub low_bandwidth: bool,
    /// Enable the mouse; disables the terminal's text selection
    #[arg(long)]
    pub mouse: bool,
}

/// Options whose values replace those of the configuration file.
pub(super) trait Override {
    /// Copies the values given on the command line.
    fn override_in(&self, overrides: &mut Overrides);
}

/// Implements [`Override`]: `overrides!(Type: groups; fields)`.
macro_rules! overrides {
    ($type:ty: $($group:ident),*; $($field:ident),*) => {
        impl $crate::cli::options::Override for $type {
            fn override_in(&self, overrides: &mut $crate::config::Overrides) {
                $(self.$group.override_in(overrides);)*
                $(overrides.$field.clone_from(&self.$field);)*
            }
        }
    };
}

pub(super) use overrides;

overrides!(ConfigArgs: ; config);
overrides!(FolderArgs: config; root, out);
overrides!(TargetArgs: config; out);
overrides!(RecipeArgs: ; recipe);
overrides!(ModelArgs: recipe; checkpoint);
overrides!(ManifestArgs: ; manifest);
overrides!(DeviceArgs: ; devices);
overrides!(RunArgs: folders, model, manifest, devices; limit, retry_failed, redo_stale, strict);
overrides!(QuietArgs: ; quiet);
overrides!(VerbosityArgs: ; quiet, verbose);
