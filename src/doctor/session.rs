//! Checks whether runs survive logout, and the terminal.

use std::ffi::OsStr;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::Area;

/// Checks the session.
pub(super) fn look(area: &mut Area<'_>) {
    logout(area);
    terminal(area);
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn logout(area: &mut Area<'_>) {
    const NAME: &str = "logout";
    if !Path::new("/run/systemd/system").is_dir() {
        return area.ok(NAME, "no systemd: a run with --detach continues after logout");
    }
    if !kills_user_processes() {
        return area.ok(NAME, "a run with --detach continues after logout (KillUserProcesses is off)");
    }
    let user = variable("USER").or_else(|| variable("LOGNAME"));
    let lingers = user.as_ref().is_some_and(|user| Path::new("/var/lib/systemd/linger").join(user).exists());
    if lingers {
        return area
            .ok(NAME, "a run with --detach continues after logout if systemd-run --user starts it (lingering is on)");
    }
    area.warning(
        NAME,
        "systemd ends all of a user's processes at logout (KillUserProcesses=yes)",
        "loginctl enable-linger, then start runs with: systemd-run --user --scope reeldeck --batch --detach",
    );
}

/// Reads KillUserProcesses as logind does: the main file, then the drop-in files in the order of their names. The last value
/// counts.
fn kills_user_processes() -> bool {
    let mut files = vec![PathBuf::from("/etc/systemd/logind.conf")];
    for folder in ["/usr/lib/systemd/logind.conf.d", "/run/systemd/logind.conf.d", "/etc/systemd/logind.conf.d"] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<_> = entries.filter(|path| path.extension() == Some(OsStr::new("conf"))).collect();
        found.sort();
        files.extend(found);
    }
    let mut texts = files.iter().rev().filter_map(|path| fs::read_to_string(path).ok());
    // Searched backwards, so the first value found is the one that counts.
    texts.find_map(|text| last_value(&text)).unwrap_or(false)
}

fn last_value(text: &str) -> Option<bool> {
    let mut values = text.lines().filter_map(|line| line.trim().strip_prefix("KillUserProcesses=")).map(str::trim);
    values.next_back().map(|value| matches!(value.to_ascii_lowercase().as_str(), "yes" | "true" | "on" | "1"))
}

fn terminal(area: &mut Area<'_>) {
    const NAME: &str = "terminal";
    if !std::io::stdout().is_terminal() && !std::io::stderr().is_terminal() {
        return area.note(NAME, "none: output goes to a file or a pipe");
    }
    let term = variable("TERM").unwrap_or_else(|| "unknown".into());
    if matches!(term.as_str(), "dumb" | "unknown") {
        let found = format!("TERM={term}");
        return area.warning(
            NAME,
            found,
            "the terminal interface needs a full terminal: set TERM, for example to xterm-256color; --batch needs none",
        );
    }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default();
    let utf8 = locale.to_ascii_lowercase().replace('-', "").contains("utf8");
    let colours = match variable("COLORTERM").as_deref() {
        Some("truecolor" | "24bit") => "true colour",
        _ if term.contains("256") => "256 colours",
        _ => "16 colours",
    };
    let over = if variable("SSH_CONNECTION").is_some() { ", over SSH" } else { "" };
    let within = if variable("TMUX").is_some() { ", in tmux" } else { "" };
    let found = format!("{term}, {colours}, {}{over}{within}", if utf8 { "UTF-8" } else { "no UTF-8 locale" });
    if utf8 {
        area.ok(NAME, found);
    } else {
        area.warning(NAME, found, "symbols may be displayed wrongly: set LANG=C.UTF-8");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_in_a_logind_file_counts() {
        assert_eq!(last_value("[Login]\n#KillUserProcesses=yes\n"), None);
        assert_eq!(last_value("[Login]\nKillUserProcesses=no\n KillUserProcesses=Yes \n"), Some(true));
        assert_eq!(last_value("KillUserProcesses=1\nKillUserProcesses=off"), Some(false));
    }
}
