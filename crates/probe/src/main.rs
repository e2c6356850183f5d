//! reeldeck-probe: looks at one video file with FFmpeg alone, and makes test media. Started by reeldeck; also for people.

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

/// The address space that looking at one file may take, in bytes. FFmpeg's libraries take 0.2 GiB. H.264 and HEVC keep
/// 17 pictures at most; of the largest that the limits allow where nobody raised them, 36 megapixels, these are 1.8 GiB in
/// ten bits. What is needed besides, for one picture in RGB and for the crops of a recipe, is half a GiB.
const MEMORY: u64 = 4 << 30;

#[derive(Parser)]
#[command(name = "reeldeck-probe", version, about = "Looks at one video file, and makes test media")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say whether files are healthy; exit code 3 where one is not. Without files: take orders as JSON lines
    Check {
        /// The files
        files: Vec<PathBuf>,
        /// Also decode the first and last frames, all keyframes and a sample of the others
        #[arg(long)]
        deep: bool,
        /// Address space that this process may have
        #[arg(long, value_name = "MIB", conflicts_with = "files")]
        memory_mib: Option<u64>,
    },
    /// Print which frames a recipe takes from a video, with checksums of their pixels, as JSON
    Frames {
        /// The video
        file: PathBuf,
        /// A built-in recipe or a recipe file
        #[arg(long, default_value = "slowonly-r50-8x8-k700")]
        recipe: String,
        /// Decode by the plain pass, which skips nothing
        #[arg(long)]
        plain: bool,
        /// Decode on the GPU of this number, where its decoder takes the video
        #[arg(long, value_name = "GPU", conflicts_with = "plain")]
        nvdec: Option<usize>,
        /// Also print the checksum of every whole picture of the video
        #[arg(long)]
        pictures: bool,
        /// Write these clips (numbers separated by commas) as raw bytes, clips × 3 × length × crop × crop
        #[arg(long, value_delimiter = ',', requires = "raw")]
        clips: Vec<usize>,
        /// Where to write them
        #[arg(long, requires = "clips")]
        raw: Option<PathBuf>,
    },
    /// Say what FFmpeg this is and whether it decodes short samples rightly, as JSON
    About,
    /// Write a small picture from about a third of the video to standard output, as a binary PPM file
    Still {
        /// The video
        file: PathBuf,
        /// Pixels at most, in width
        #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
        width: u16,
        /// Pixels at most, in height
        #[arg(value_parser = clap::value_parser!(u16).range(1..=4096))]
        height: u16,
    },
    /// Make procedural videos from a JSON list of file and description on standard input
    Synth,
}

/// Gives up what looking at an untrusted file does not need. Making videos reads none, and an encoder takes what it takes.
fn confine(command: &Command) -> Result<()> {
    confine::harden().context("failed to give up privileges and core dumps")?;
    match command {
        // Its own limit is set by itself.
        Command::Synth | Command::Check { memory_mib: Some(_), .. } => Ok(()),
        // CUDA's driver reserves address space for all memory of host and device at once.
        Command::Frames { nvdec: Some(_), .. } => Ok(()),
        _ => confine::limit_address_space(MEMORY).context("failed to limit memory"),
    }
}

fn main() -> ExitCode {
    // Where a command says itself how it ends.
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
