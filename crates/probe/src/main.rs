//! reeldeck-probe: checks video files with FFmpeg, and generates test media. Started by reeldeck or by hand.

mod about;
mod check;
mod frames;
mod samples;
mod still;
mod synth;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use reeldeck_common::probe::Level;
use reeldeck_process::confine;
use reeldeck_video::frames::Pass;

/// Limit on the address space while reading one file, in bytes. FFmpeg's libraries take 0.2 GiB. H.264 and HEVC keep at most
/// 17 pictures; at the default limit of 36 megapixels and ten bits, these take 1.8 GiB. One picture in RGB and the crops of a
/// recipe take another half GiB.
const MEMORY: u64 = 4 << 30;

#[derive(Parser)]
#[command(name = "reeldeck-probe", version, about = "Check video files, and generate test media")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check whether files are healthy; exits 3 if one is not. Without files, read orders as JSON lines
    Check {
        /// The files
        files: Vec<PathBuf>,
        /// Also decode the first and last frames, all keyframes and a sample of the others
        #[arg(long)]
        deep: bool,
        /// Limit on the address space of this process
        #[arg(long, value_name = "MIB", conflicts_with = "files")]
        memory_mib: Option<u64>,
    },
    /// Print the frames that a recipe uses from a video, with checksums of their pixels, as JSON
    Frames {
        /// The video
        file: PathBuf,
        /// A built-in recipe or a recipe file
        #[arg(long, default_value = "slowonly-r50-8x8-k700")]
        recipe: String,
        /// Use the plain pass, which skips nothing
        #[arg(long)]
        plain: bool,
        /// Decode on the GPU with this number, if its decoder supports the video
        #[arg(long, value_name = "GPU", conflicts_with = "plain")]
        nvdec: Option<usize>,
        /// Also print a checksum of every whole picture of the video
        #[arg(long)]
        pictures: bool,
        /// Clips to write to --raw (numbers separated by commas), as raw bytes: clips × 3 × length × crop × crop
        #[arg(long, value_delimiter = ',', requires = "raw")]
        clips: Vec<usize>,
        /// File to write the clips to
        #[arg(long, requires = "clips")]
        raw: Option<PathBuf>,
    },
    /// Print the version of FFmpeg, and whether it decodes short samples correctly, as JSON
    About,
    /// Write a small picture from about a third of the video to standard output, as a binary PPM file
    Still {
        /// The video
        file: PathBuf,
        /// Largest width in pixels
        #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
        width: u16,
        /// Largest height in pixels
        #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
        height: u16,
    },
    /// Generate videos from a JSON list of files and descriptions on standard input
    Synth,
}

/// Gives up privileges and memory that reading an untrusted file does not need. Generating videos reads no file, and encoders need
/// unpredictable amounts of memory.
fn confine(command: &Command) -> Result<()> {
    confine::harden().context("failed to give up privileges and core dumps")?;
    match command {
        // `check` sets its own limit.
        Command::Synth | Command::Check { memory_mib: Some(_), .. } => Ok(()),
        // CUDA's driver reserves address space for all memory of host and device at once.
        Command::Frames { nvdec: Some(_), .. } => Ok(()),
        _ => confine::limit_address_space(MEMORY).context("failed to limit memory"),
    }
}

fn main() -> ExitCode {
    // Some commands return their own exit code.
    let mut ended = None;
    let command = Cli::parse().command;
    let result = confine(&command).and_then(|()| match command {
        Command::Check { files, deep: _, memory_mib } if files.is_empty() => check::serve(memory_mib),
        Command::Check { files, deep, .. } => {
            let code = check::print(&files, if deep { Level::Deep } else { Level::Quick })?;
            ended = Some(code);
            Ok(())
        }
        Command::Frames { file, recipe, plain, nvdec, pictures, clips, raw } => {
            let pass = if plain { Pass::Plain } else { Pass::Best };
            let raw = raw.as_deref().map(|path| (path, clips.as_slice()));
            frames::print(&file, &recipe, (pass, nvdec), pictures, raw)
        }
        Command::About => about::print(),
        Command::Still { file, width, height } => still::write(&file, usize::from(width), usize::from(height)),
        Command::Synth => synth::run(),
    });
    match result {
        Ok(()) => ended.unwrap_or(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
