//! reeldeck-probe: looks at one video file with FFmpeg alone, and makes test media. Started by reeldeck; also for people.

mod frames;
mod synth;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "reeldeck-probe", version, about = "Looks at one video file, and makes test media")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
