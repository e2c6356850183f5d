//! The options of `reeldeck slurm`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::options::{ConfigArgs, Override, overrides};
use crate::config::Overrides;

/// Options of `slurm`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SlurmArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SlurmCommand,
}

/// What `slurm` does.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum SlurmCommand {
    /// Write the batch scripts of the engines and of the export, based on the output of sinfo
    Init(SlurmInitArgs),
    /// Submit the engines, and the export that follows them
    Submit(SlurmSubmitArgs),
    /// Show the jobs in the queue and their engines
    Status(SlurmStatusArgs),
    /// Submit more engines
    Add(SlurmAddArgs),
    /// Stop the engines after the videos in progress, and cancel the waiting jobs
    Stop(SlurmStopArgs),
    /// For batch scripts that run several engines: requeue the job if CODE is 130, otherwise exit with CODE
    Requeue {
        /// The exit code of the engines, such as $? after srun
        code: u8,
    },
}

/// Options of `slurm init`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SlurmInitArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Number of engines [default: as many as fit into the partition, at most 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub engines: Option<u32>,
    /// Partition [default: the default one, or the largest one with GPUs]
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,
    /// Request a GPU for each engine, even if the configuration has devices = "cpu"
    #[arg(long)]
    pub gpu: bool,
    /// File to write; the script of the export is written beside it
    #[arg(long, value_name = "FILE", default_value = "reeldeck.sbatch")]
    pub script: PathBuf,
    /// Print the scripts and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Options of `slurm submit`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SlurmSubmitArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Script of the engines
    #[arg(value_name = "SCRIPT", default_value = "reeldeck.sbatch")]
    pub script: PathBuf,
}

/// Options of `slurm status`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SlurmStatusArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Options of `slurm add`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SlurmAddArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Number of engines to add
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub engines: u32,
}

/// Options of `slurm stop`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct SlurmStopArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Cancel the jobs; the videos in progress are extracted again later
    #[arg(long)]
    pub now: bool,
}

overrides!(SlurmInitArgs: config; dry_run);
overrides!(SlurmSubmitArgs: config;);
overrides!(SlurmStatusArgs: config;);
overrides!(SlurmAddArgs: config;);
overrides!(SlurmStopArgs: config;);

impl Override for SlurmArgs {
    fn override_in(&self, overrides: &mut Overrides) {
        match &self.command {
            SlurmCommand::Init(args) => args.override_in(overrides),
            SlurmCommand::Submit(args) => args.override_in(overrides),
            SlurmCommand::Status(args) => args.override_in(overrides),
            SlurmCommand::Add(args) => args.override_in(overrides),
            SlurmCommand::Stop(args) => args.override_in(overrides),
            SlurmCommand::Requeue { .. } => {}
        }
    }
}
