//! `reeldeck-probe still`: a small picture of a video, to recognise it by.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use reeldeck_common::limits::Limits;
use reeldeck_common::video::printable;
use reeldeck_video::still::still;

/// Writes the picture to standard output as a binary PPM file, which can be read without a library.
///
/// # Errors
/// If the file gives no picture, or standard output is a terminal or closed.
pub(crate) fn write(file: &Path, width: usize, height: usize) -> Result<()> {
    let mut output = io::stdout().lock();
    ensure!(!output.is_terminal(), "the output is binary: redirect it to a file, such as > still.ppm");
    let name = || format!("failed to make a still of {}", printable(&file.to_string_lossy()));
    let picture = still(file, &Limits::default(), width, height).with_context(name)?;
    let head = format!("P6\n{} {}\n255\n", picture.width, picture.height);
    output
        .write_all(head.as_bytes())
        .and_then(|()| output.write_all(&picture.rgb))
        .and_then(|()| output.flush())
        .context("failed to write the still")
}
