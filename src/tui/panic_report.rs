//! The panic hook of the terminal interface.

use std::backtrace::Backtrace;
use std::fs;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::terminal;
use crate::out::errln;

/// Installs a hook that restores the terminal, writes a report to `folder` (or else to the folder for temporary files),
/// says where it is, and exits. The state of the screen cannot be trusted after a panic.
pub(super) fn install(folder: PathBuf) {
    std::panic::set_hook(Box::new(move |panic| {
        terminal::leave();
        let text = report(panic);
        let written = write(&folder, &text).or_else(|| write(&std::env::temp_dir(), &text));
        errln!("reeldeck broke: {panic}");
        match written {
            Some(path) => errln!("a report is in {}; a run that was active continues", path.display()),
            None => errln!("no report could be written; a run that was active continues"),
        }
        std::process::exit(1);
    }));
}

fn report(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current().name().unwrap_or("?").to_owned();
    let arguments: Vec<String> = std::env::args().collect();
    let term = std::env::var("TERM").unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let backtrace = Backtrace::force_capture();
    format!(
        "reeldeck {version}\ntime {}\narguments {arguments:?}\nTERM {term}\nthread {thread}\n{panic}\n\n{backtrace}\n",
        Timestamp::now()
    )
}

fn write(folder: &Path, text: &str) -> Option<PathBuf> {
    if !folder.is_dir() {
        return None;
    }
    let name = format!("reeldeck-panic-{}-{}.txt", Timestamp::now().as_second(), std::process::id());
    let path = folder.join(name);
    fs::write(&path, text).ok().map(|()| path)
}
