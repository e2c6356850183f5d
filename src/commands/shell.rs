//! `reeldeck completions` and `reeldeck man`, generated from the definition of the command line.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use reeldeck_common::atomic::{self, Owner};

use crate::cli::Cli;
use crate::dataset::shown;
use crate::error::Exit;
use crate::out::{self, errln};

/// Prints the completion script of a shell.
///
/// # Errors
/// When standard output cannot be written to.
pub(crate) fn run_completions(shell: Shell) -> anyhow::Result<Exit> {
    let mut text = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "reeldeck", &mut text);
    print(&text)
}

/// Prints the manual, or writes a page for each command into a folder.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn run_man(folder: Option<&Path>) -> anyhow::Result<Exit> {
    let Some(folder) = folder else {
        let mut text = vec![];
        Man::new(Cli::command()).render(&mut text).context("failed to write the manual")?;
        return print(&text);
    };
    fs::create_dir_all(folder).with_context(|| format!("failed to create {}", shown(folder)))?;
    write_pages(folder).with_context(|| format!("failed to write the manual to {}", shown(folder)))?;
    errln!("wrote the manual; read it with: man {}", shown(&folder.join("reeldeck.1")));
    Ok(Exit::Done)
}

fn write_pages(folder: &Path) -> io::Result<()> {
    let made = tempfile::tempdir_in(folder)?;
    clap_mangen::generate_to(Cli::command(), made.path())?;
    for page in fs::read_dir(made.path())? {
        let page = page?;
        let text = fs::read(page.path())?;
        let path = folder.join(page.file_name());
        atomic::write(&path, &Owner::this_process(), |writer| writer.write_all(&text))?;
    }
    made.close()
}

fn print(text: &[u8]) -> anyhow::Result<Exit> {
    out::document(text).context("failed to print")?;
    Ok(Exit::Done)
}
