//! What to do when the program breaks: give the terminal back, write down what is known, and say where it lies.

use std::backtrace::Backtrace;
use std::fs;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::terminal;
use crate::errln;

/// From now on a panic gives the terminal back, writes a report into `folder` where there is one, else into the folder for
/// temporary files, and says where. The program ends with it: nothing of the screen's state is to be trusted any more.
pub fn install(folder: PathBuf) {
    std::panic::set_hook(Box::new(move |panic| {
        terminal::leave();
        let text = report(panic);
        let written = write(&folder, &text).or_else(|| write(&std::env::temp_dir(), &text));
        errln!("reeldeck broke: {panic}");
        match written {
            Some(path) => errln!("a report is in {}; a run that was going on goes on", path.display()),
            None => errln!("no report could be written; a run that was going on goes on"),
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
