//! Finds the user's CUDA build of libtorch, which a worker on a GPU loads in place of the one for the CPU.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reeldeck_common::pinned::LIBTORCH;
use reeldeck_common::recipe::Precision;
use reeldeck_process::Program;

use super::{AskError, ask};

/// How long python3 may take to say where its PyTorch is.
const PYTHON_TIMEOUT: Duration = Duration::from_secs(20);

/// Why no CUDA build can be used.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// Nowhere to be found.
    #[error(
        "no CUDA build of libtorch found: install PyTorch {LIBTORCH} for this python3 (pip install torch=={LIBTORCH}), or name \
         its folder as `torch` under [cuda] in the configuration"
    )]
    NotFound,
    /// python3 hangs.
    #[error(
        "python3 has not said within {} s where its PyTorch is; see whether `python3 -c ''` ends, or name PyTorch's folder as \
         `torch` under [cuda] in the configuration", .0.as_secs_f32()
    )]
    Timeout(Duration),
    /// Found, and of no use.
    #[error("the PyTorch in {path} cannot be used: {reason}", path = path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The folder that holds `libtorch_cuda.so`: of the named PyTorch (its package folder or its `lib`), or else of the one that
/// `python3` would import.
///
/// # Errors
/// When there is none, or it is of another release.
pub(crate) fn find(named: &Path) -> Result<PathBuf, TorchError> {
    let package = match named.as_os_str().is_empty() {
        true => ask_python("python3".as_ref(), PYTHON_TIMEOUT)?.ok_or(TorchError::NotFound)?,
        false => named.to_owned(),
    };
    let package = if package.ends_with("lib") { package.parent().unwrap_or(&package).to_owned() } else { package };
    let unusable = |reason: String| TorchError::Unusable { path: package.clone(), reason };
    let lib = package.join("lib");
    if !lib.join("libtorch_cuda.so").is_file() {
        return Err(unusable("it has no lib/libtorch_cuda.so: it is a build for the CPU alone".into()));
    }
    match release(&package) {
        Some(found) if found == LIBTORCH => Ok(lib),
        Some(found) => Err(unusable(format!("it is release {found}, and reeldeck needs {LIBTORCH}"))),
        None => Err(unusable("its release cannot be told (no version.py and no build-version)".into())),
    }
}

/// What makes a worker load the CUDA libraries in `lib`. Two builds of libtorch must not mix: this one replaces the one beside
/// the worker.
pub(crate) fn library_path(lib: &Path) -> [(OsString, OsString); 2] {
    [("LD_LIBRARY_PATH".into(), lib.into()), ("REELDECK_TORCH_LIB".into(), lib.into())]
}

/// What a worker on a GPU has in its environment besides its own.
///
/// # Errors
/// As [`find`].
pub(crate) fn environment(named: &Path, precision: Precision) -> Result<Vec<(OsString, OsString)>, TorchError> {
    let mut environment = library_path(&find(named)?).to_vec();
    if precision != Precision::Tf32 {
        // libtorch lets cuDNN shorten fp32 products unless told otherwise.
        environment.push(("NVIDIA_TF32_OVERRIDE".into(), "0".into()));
    }
    Ok(environment)
}

/// The release without the build's suffix: `2.11.0` of `2.11.0+cu130`.
fn release(package: &Path) -> Option<String> {
    let text = std::fs::read_to_string(package.join("version.py"))
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("__version__"))?;
            Some(line.split(['\'', '"']).nth(1)?.to_owned())
        })
        .or_else(|| std::fs::read_to_string(package.join("build-version")).ok())?;
    text.trim().split('+').next().map(str::to_owned)
}

/// Where this Python would import torch from, without importing it, which takes seconds; `None` where it has none.
fn ask_python(python: &Path, timeout: Duration) -> Result<Option<PathBuf>, TorchError> {
    let question = "import importlib.util as u, json; s = u.find_spec('torch'); \
                    print(json.dumps(s.submodule_search_locations[0] if s else None))";
    let program = Program { arguments: ["-c", question].map(OsString::from).to_vec(), ..Program::new(python) };
    match ask::<Option<PathBuf>>(&program, timeout) {
        Ok(path) => Ok(path.filter(|path| path.is_dir())),
        Err(AskError::Timeout { .. }) => Err(TorchError::Timeout(timeout)),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_that_hangs_is_ended_at_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let python = dir.path().join("python3");
        std::fs::write(&python, "#!/bin/sh\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let timeout = Duration::from_millis(100);
        assert!(matches!(ask_python(&python, timeout), Err(TorchError::Timeout(_))));
        std::fs::write(&python, format!("#!/bin/sh\necho '\"{}\"'\n", dir.path().display())).unwrap();
        assert_eq!(ask_python(&python, PYTHON_TIMEOUT).unwrap().unwrap(), dir.path());
        assert!(ask_python(&dir.path().join("none"), timeout).unwrap().is_none());
    }

    #[test]
    fn only_a_cuda_build_of_the_right_release_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("torch");
        std::fs::create_dir_all(package.join("lib")).unwrap();
        let says = |named: &Path| find(named).unwrap_err().to_string();
        assert!(says(&package).contains("for the CPU alone"));
        std::fs::write(package.join("lib/libtorch_cuda.so"), "").unwrap();
        assert!(says(&package).contains("cannot be told"));
        std::fs::write(package.join("version.py"), "from typing import Optional\n__version__ = '2.10.1+cu130'\n")
            .unwrap();
        assert!(says(&package).contains("release 2.10.1, and reeldeck needs 2.11.0"));
        std::fs::write(package.join("version.py"), "__version__ = '2.11.0+cu130'\n").unwrap();
        assert_eq!(find(&package).unwrap(), package.join("lib"));
        assert_eq!(find(&package.join("lib")).unwrap(), package.join("lib"));
    }
}
