//! reeldeck-probe: looks at one video file with FFmpeg alone, and makes test media. Started by reeldeck; also for people.

mod check;
mod frames;
mod synth;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use reeldeck_contract::probe::Level;

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
    /// Make procedural videos from a JSON list of file and description on standard input
    Synth,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Check { files, deep: _, memory_mib } if files.is_empty() => check::serve(memory_mib),
        Command::Check { files, deep, .. } => {
            match check::print(&files, if deep { Level::Deep } else { Level::Quick }) {
                Ok(code) => return code,
                Err(error) => Err(error),
            }
        }
        Command::Frames { file, recipe, plain, pictures, clips, raw } => {
            frames::print(&file, &recipe, plain, pictures, raw.as_deref().map(|path| (path, clips.as_slice())))
        }
        Command::Synth => synth::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
