//! `reeldeck-probe still`: a small picture of a video, for whoever wants to see what it is.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use reeldeck_common::limits::Limits;
use reeldeck_common::video::printable;
use reeldeck_video::still::still;

/// Writes it to standard output as a binary PPM file, which needs no library to be read.
///
/// # Errors
/// When the file gives no picture, and when nobody reads it.
pub fn write(file: &Path, width: usize, height: usize) -> Result<()> {
    let mut output = io::stdout().lock();
    ensure!(!output.is_terminal(), "a picture is no text: send the output to a file, such as > still.ppm");
    let name = || format!("failed to take a picture from {}", printable(&file.to_string_lossy()));
    let picture = still(file, &Limits::default(), width, height).with_context(name)?;
    let head = format!("P6\n{} {}\n255\n", picture.width, picture.height);
    output
        .write_all(head.as_bytes())
        .and_then(|()| output.write_all(&picture.rgb))
        .and_then(|()| output.flush())
        .context("failed to write the picture")
}
