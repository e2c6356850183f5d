//! The panic hook of the terminal interface.

use std::backtrace::Backtrace;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};

use reeldeck_common::clock;

use super::terminal;
use crate::fetch::{is_address, public};
use crate::out::errln;

/// Installs a hook that restores the terminal, writes a report to `folder` (or else to the folder for temporary files),
/// says where it is, and exits. The state of the screen cannot be trusted after a panic.
pub(super) fn install(folder: PathBuf) {
    std::panic::set_hook(Box::new(move |panic| {
        terminal::leave();
        let text = report(panic);
        let written = write(&folder, &text).or_else(|| write(&reeldeck_common::machine::temporary_folder(), &text));
        errln!("reeldeck crashed: {panic}");
        match written {
            Some(path) => errln!("a report is in {}; a run that was active continues", path.display()),
            None => errln!("no report could be written; a run that was active continues"),
        }
        std::process::exit(1);
    }));
}

fn report(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current().name().unwrap_or("?").to_owned();
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| without_secrets(&argument.to_string_lossy())).collect();
    let term = std::env::var("TERM").unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let backtrace = Backtrace::force_capture();
    format!(
        "reeldeck {version}\ntime {}\narguments {arguments:?}\nTERM {term}\nthread {thread}\n{panic}\n\n{backtrace}\n",
        clock::now()
    )
}

/// An argument without the user name, the password and the query of an address.
fn without_secrets(argument: &str) -> String {
    if is_address(argument) { public(argument) } else { argument.to_owned() }
}

fn write(folder: &Path, text: &str) -> Option<PathBuf> {
    if !folder.is_dir() {
        return None;
    }
    let name = format!("reeldeck-panic-{}-{}.txt", clock::now().as_second(), std::process::id());
    let path = folder.join(name);
    // Others may write to the folder for temporary files: a link of this name is not followed.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).ok().map(|()| path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_report_follows_no_link_and_holds_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let now = clock::now().as_second();
        for second in now - 1..now + 60 {
            let name = format!("reeldeck-panic-{second}-{}.txt", std::process::id());
            symlink(dir.path().join("elsewhere"), dir.path().join(name)).unwrap();
        }
        assert_eq!(write(dir.path(), "text"), None);
        assert!(!dir.path().join("elsewhere").exists());
        assert_eq!(without_secrets("--checkpoint=https://me:secret@h/w.pth?t=secret"), "--checkpoint=https://h/w.pth");
        assert_eq!(without_secrets("data"), "data");
    }
}
