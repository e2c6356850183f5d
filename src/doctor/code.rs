//! Lists the files that a run would execute or load, and checks that no other user could replace them.

use std::path::{Path, PathBuf};

use super::Area;
use crate::config::Settings;
use crate::dataset::shown;
use crate::discovery::torch::{self, TorchError};
use crate::discovery::trust::{Owners, TrustError};
use crate::discovery::{self, ProgramError};

/// Checks the files. `libraries` are those that the programs have loaded.
pub(super) fn look(area: &mut Area<'_>, settings: Option<&Settings>, libraries: &[String]) {
    program(area, "reeldeck-worker", discovery::worker());
    program(area, "reeldeck-probe", discovery::probe());
    let (torch, ffmpeg): (Vec<&Path>, Vec<&Path>) = libraries.iter().map(Path::new).partition(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with("libav") && !name.starts_with("libsw")
    });
    loaded(area, "FFmpeg libraries", &ffmpeg);
    loaded(area, "libtorch libraries", &torch);
    match torch::python() {
        Some(python) => area.ok("python3", format!("{}, used to find PyTorch", shown(&python))),
        None => area.note("python3", "none in PATH; it is only needed to find a PyTorch for GPUs"),
    }
    match torch::find(settings.map_or(Path::new(""), |settings| &settings.torch)) {
        Ok(lib) => area.ok("PyTorch for GPUs", shown(&lib)),
        Err(TorchError::Untrusted(error)) => refused(area, "PyTorch for GPUs", &error),
        Err(_) => area.note("PyTorch for GPUs", "none that can be used"),
    }
}

fn program(area: &mut Area<'_>, name: &'static str, found: Result<PathBuf, ProgramError>) {
    match found {
        Ok(path) => area.ok(name, shown(&path)),
        Err(ProgramError::Untrusted(error)) => refused(area, name, &error),
        // `programs` reports a missing one.
        Err(_) => {}
    }
}

fn loaded(area: &mut Area<'_>, name: &'static str, libraries: &[&Path]) {
    let mut paths: Vec<&Path> = libraries.to_vec();
    paths.sort_unstable();
    paths.dedup();
    let owners = Owners::of_this_process();
    match paths.iter().find_map(|path| owners.check(path).err()) {
        Some(error) => refused(area, name, &error),
        None if paths.is_empty() => area.note(name, "unknown: the program that loads them does not run"),
        None => area.ok(name, paths.iter().map(|path| shown(path)).collect::<Vec<_>>().join("\n")),
    }
}

fn refused(area: &mut Area<'_>, name: &'static str, error: &TrustError) {
    let text = error.to_string();
    let (found, next) = text.split_once("; ").unwrap_or((&text, "name another file"));
    area.missing(name, found, next);
}
