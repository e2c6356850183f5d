//! The command that shows a run in a window again, for the shell from which this window was opened.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::app::App;
use super::text;
use crate::config::{Overrides, Settings};

/// The command that shows the run in a window again. It names the output folder of the run unless the configuration does.
pub(super) fn attach_command(app: &App) -> String {
    let program = &app.options.program;
    match app.welcome() {
        Some(welcome) if app.options.configured_out.as_ref().is_some_and(|out| *out != welcome.out) => {
            format!("{program} attach --out {}", shell_word(&welcome.out.to_string_lossy()))
        }
        _ => format!("{program} attach"),
    }
}

/// The same for a shell in any folder.
pub(super) fn attach_from_anywhere(app: &App) -> String {
    match app.welcome() {
        Some(welcome) => format!("{} attach --out {}", app.options.program, shell_word(&welcome.out.to_string_lossy())),
        None => attach_command(app),
    }
}

/// The output folder of a command without options in the current folder; `None` if the configuration cannot be used.
pub(super) fn configured_out() -> Option<PathBuf> {
    let current = std::env::current_dir().ok()?;
    Settings::resolve(&Overrides::default(), &current).ok().map(|settings| settings.out)
}

/// The word that starts this program in a shell: its name if it is on the PATH, and else the path by which it was started.
pub(super) fn program() -> String {
    let started = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let name = started.file_name().unwrap_or(OsStr::new("reeldeck"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_on_path = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let word = if is_on_path { Path::new(name) } else { &started };
    shell_word(&word.to_string_lossy())
}

/// Quotes a word for a shell if it needs it.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@,=".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into(),
        false => format!("'{}'", text::sanitized(word).replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell_if_they_need_it() {
        assert_eq!(["/out/a-b_1.x", "a b", "it's", ""].map(shell_word), ["/out/a-b_1.x", "'a b'", "'it'\\''s'", "''"]);
    }
}
