//! Groups of options that several commands share. A command includes only the groups that it uses, so that clap refuses the
//! other options.

use std::path::PathBuf;

use clap::Args;

use crate::config::Overrides;
use crate::dataset::shard::Shard;

/// The configuration file alone.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct ConfigArgs {
    /// Read this configuration file [default: ./config.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The folders that a command works on.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct FolderArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The dataset folder [default: data]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// The output folder, outside the dataset folder [default: out]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// The run that a command asks or orders.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct TargetArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The output folder, outside the dataset folder [default: out]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The run over this part of the videos, such as 0/4 for the first of four
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
}

/// What to extract.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct RecipeArgs {
    /// What to extract: a built-in recipe or a TOML file [default: slowonly-r50-8x8-k700]
    #[arg(long, value_name = "NAME|FILE")]
    pub recipe: Option<String>,
}

/// The recipe and the weights, which together name a feature set.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct ModelArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// The weights: a .pth file, the address of one, `published` for the recipe's own, which are downloaded once, or
    /// `seeded` for made-up weights whose numbers mean nothing
    #[arg(long, value_name = "FILE|URL|WORD")]
    pub checkpoint: Option<PathBuf>,
}

/// What should be in the dataset folder.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct ManifestArgs {
    /// What should be there: the official annotation file, or a list with a video a line
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
}

/// Where to compute.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct DeviceArgs {
    /// Where to compute: cpu, cuda:0,cuda:1, cpu*2 for two workers on the CPU, or all [default: cpu]
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
    /// Work on the first N unfinished videos only; nothing is exported then
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    pub limit: Option<usize>,
    /// Work on one part of the videos only, such as 0/4 for the first of four [default: all, or this task's of a Slurm array]
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Try videos again that failed before
    #[arg(long)]
    pub retry_failed: bool,
    /// Extract videos again that have changed since
    #[arg(long)]
    pub redo_stale: bool,
}

/// How much to print, where there is no more than usual.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QuietArgs {
    /// Print problems only
    #[arg(short, long)]
    pub quiet: bool,
}

/// How much to print.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct VerbosityArgs {
    /// Print problems only
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more
    #[arg(short, long)]
    pub verbose: bool,
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

/// Options whose values replace those of the configuration file.
pub(super) trait Override {
    /// Copies the values that were typed.
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
overrides!(TargetArgs: config; out, shard);
overrides!(RecipeArgs: ; recipe);
overrides!(ModelArgs: recipe; checkpoint);
overrides!(ManifestArgs: ; manifest);
overrides!(DeviceArgs: ; devices);
overrides!(RunArgs: folders, model, manifest, devices; limit, shard, retry_failed, redo_stale);
overrides!(QuietArgs: ; quiet);
overrides!(VerbosityArgs: ; quiet, verbose);
