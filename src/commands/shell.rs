//! `reeldeck completions` and `reeldeck man`, generated from the definition of the command line.

use std::fs;
use std::io::Write;
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
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let Some(folder) = folder else { return print(&page(&program)?.1) };
    fs::create_dir_all(folder).with_context(|| format!("failed to create {}", shown(folder)))?;
    write_pages(&program, folder)?;
    errln!("wrote the manual; read it with: man {}", shown(&folder.join("reeldeck.1")));
    Ok(Exit::Done)
}

/// Writes the page of a command and those of its subcommands.
fn write_pages(command: &clap::Command, folder: &Path) -> anyhow::Result<()> {
    let (name, text) = page(command)?;
    let path = folder.join(name);
    let written = atomic::write(&path, &Owner::this_process(), |writer| writer.write_all(&text));
    written.with_context(|| format!("failed to write {}", shown(&path)))?;
    let mut commands = command.get_subcommands().filter(|command| !command.is_hide_set());
    commands.try_for_each(|command| write_pages(command, folder))
}

/// The page of a command, and its file name.
fn page(command: &clap::Command) -> anyhow::Result<(String, Vec<u8>)> {
    let page = Man::new(command.clone()).source(concat!("reeldeck ", env!("CARGO_PKG_VERSION")));
    let mut text = vec![];
    page.render(&mut text).context("failed to write the manual")?;
    // clap_mangen calls the text after the options EXTRA and lets groff fill its lines, which are tables.
    let text = String::from_utf8(text)?
        .replace(".SH EXTRA\n", ".SH \"EXAMPLES AND EXIT STATUS\"\n.nf\n")
        .replace("\n.SH VERSION\n", "\n.fi\n.SH VERSION\n");
    Ok((page.get_filename(), text.into_bytes()))
}

fn print(text: &[u8]) -> anyhow::Result<Exit> {
    out::document(text).context("failed to print")?;
    Ok(Exit::Done)
}
