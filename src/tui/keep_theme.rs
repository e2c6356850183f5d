//! Writes the chosen theme into config.toml. All other lines stay as they are.

use std::fs;
use std::io::Write;
use std::path::Path;

use reeldeck_common::atomic::{self, Owner};
use toml::{Table, Value};

use crate::dataset::shown;

/// Writes `theme` under `[tui]`. This can block.
///
/// # Errors
/// A message that names the file and the next step.
pub(super) fn keep_theme(path: &Path, theme: &str) -> Result<(), String> {
    let failed = |why: String| format!("theme {theme} is not kept: {}: {why}", shown(path));
    // A link stays a link.
    let path = &fs::canonicalize(path).map_err(|error| failed(error.to_string()))?;
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let text = with_theme(&text, theme).ok_or_else(|| failed(format!("write theme = \"{theme}\" under [tui]")))?;
    atomic::write(path, &Owner::this_process(), |writer| writer.write_all(text.as_bytes()))
        .map_err(|error| failed(error.to_string()))
}

/// The configuration with another theme; `None` if this edit of a line would change anything else.
fn with_theme(text: &str, theme: &str) -> Option<String> {
    let line = format!("theme = \"{theme}\"");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match lines.iter().position(|line| line.split('#').next().is_some_and(|line| line.trim() == "[tui]")) {
        None => {
            if lines.last().is_some_and(|line| !line.trim().is_empty()) {
                lines.push(String::new());
            }
            lines.extend(["[tui]".to_owned(), line]);
        }
        Some(head) => {
            let is_theme = |line: &&mut String| {
                line.split_once('=').is_some_and(|(key, _)| matches!(key.trim(), "theme" | "\"theme\"" | "'theme'"))
            };
            let section = lines.iter_mut().skip(head + 1).take_while(|line| !line.trim_start().starts_with('['));
            match { section }.find(is_theme) {
                Some(old) => {
                    let comment = old.split_once('#').map_or_else(String::new, |(_, comment)| format!("  #{comment}"));
                    *old = line + &comment;
                }
                None => lines.insert(head + 1, line),
            }
        }
    }
    let edited = lines.join("\n") + "\n";
    // The words [tui] can also stand in a text of several lines, and a table can be written in other ways.
    let mut wanted: Table = text.parse().ok()?;
    let section = wanted.entry("tui").or_insert_with(|| Value::Table(Table::new())).as_table_mut()?;
    section.insert("theme".into(), theme.into());
    (edited.parse::<Table>().ok()? == wanted).then_some(edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_of_the_theme_changes() {
        let edited = |text: &str| with_theme(text, "night");
        for (before, after) in [
            ("", "[tui]\ntheme = \"night\"\n"),
            ("root = \"a\" # mine", "root = \"a\" # mine\n\n[tui]\ntheme = \"night\"\n"),
            ("[tui] # look\nbell = true\n\n[scan]\n", "[tui] # look\ntheme = \"night\"\nbell = true\n\n[scan]\n"),
            (
                "[tui]\n# theme = \"x\"\ntheme = \"paper\"  # daylight\n[tui.keys]\ntheme = \"t\"\n",
                "[tui]\n# theme = \"x\"\ntheme = \"night\"  # daylight\n[tui.keys]\ntheme = \"t\"\n",
            ),
            ("[tui.keys]\nretry = \"f2\"\n", "[tui.keys]\nretry = \"f2\"\n\n[tui]\ntheme = \"night\"\n"),
        ] {
            assert_eq!(edited(before).as_deref(), Some(after), "{before}");
        }
        for unclear in ["tui = { bell = true }\n", "tui.theme = \"paper\"\n", "a = '''\n[tui]\n'''\n", "not toml\n"] {
            assert_eq!(edited(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_edited_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, "tui = { bell = true }\n").unwrap();
        let error = keep_theme(&path, "night").unwrap_err();
        assert!(error.contains("config.toml: write theme = \"night\" under [tui]"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "tui = { bell = true }\n");
        fs::write(&path, "root = \"a\"\n").unwrap();
        keep_theme(&path, "night").unwrap();
        assert!(fs::read_to_string(&path).unwrap().starts_with("root = \"a\"\n\n[tui]"));
    }
}
