//! Finds the user's CUDA build of libtorch, which a worker on a GPU loads in place of the one for the CPU.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reeldeck_common::recipe::Precision;
use reeldeck_common::versions::LIBTORCH;
use reeldeck_process::Program;

use super::trust::{Owners, TrustError, find_program};
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
        "python3 did not report its PyTorch within {} s; check that `python3 -I -c ''` ends, or name PyTorch's folder as \
         `torch` under [cuda] in the configuration", .0.as_secs_f32()
    )]
    Timeout(Duration),
    /// Another user could replace it.
    #[error("{0}; or name another PyTorch as `torch` under [cuda] in the configuration")]
    Untrusted(#[from] TrustError),
    /// Found, and of no use.
    #[error("the PyTorch in {path} cannot be used: {reason}", path = path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
}

/// The folder that holds `libtorch_cuda.so`: of the named PyTorch (its package folder or its `lib`), or else of the one that
/// `python3` would import.
///
/// # Errors
/// When there is none, it is of another release, or another user could replace it.
pub(crate) fn find(named: &Path) -> Result<PathBuf, TorchError> {
    let mut owners = Owners::of_this_process();
    let package = match named.as_os_str().is_empty() {
        true => {
            let python = python().ok_or(TorchError::NotFound)?;
            owners = owners.and_owner_of(&python);
            ask_python(&python, PYTHON_TIMEOUT)?.ok_or(TorchError::NotFound)?
        }
        false => named.to_owned(),
    };
    let package = if package.ends_with("lib") { package.parent().unwrap_or(&package).to_owned() } else { package };
    let unusable = |reason: String| TorchError::Unusable { path: package.clone(), reason };
    let lib = package.join("lib");
    if !lib.join("libtorch_cuda.so").is_file() {
        return Err(unusable("it has no lib/libtorch_cuda.so: it is a CPU build".into()));
    }
    match release(&package) {
        Some(found) if found == LIBTORCH => {
            check(&owners, &package)?;
            Ok(lib)
        }
        Some(found) => Err(unusable(format!("it is release {found}, and reeldeck needs {LIBTORCH}"))),
        None => Err(unusable("its release is unknown (no version.py and no build-version)".into())),
    }
}

/// The Python whose PyTorch is used.
pub(crate) fn python() -> Option<PathBuf> {
    find_program("python3")
}

/// Checks the libraries of a PyTorch package, and those of the NVIDIA packages beside it, which they load.
fn check(owners: &Owners, package: &Path) -> Result<(), TrustError> {
    owners.check_all(&package.join("lib"), ".so")?;
    let beside = package.parent().unwrap_or(package).join("nvidia");
    for entry in std::fs::read_dir(beside).into_iter().flatten().flatten() {
        let libraries = entry.path().join("lib");
        if libraries.is_dir() {
            owners.check_all(&libraries, ".so")?;
        }
    }
    Ok(())
}

/// What makes a worker load the CUDA libraries in `lib`. Two builds of libtorch must not mix: this one comes before the one
/// beside the worker. The folders of `LD_LIBRARY_PATH` follow, because some containers find the driver there.
pub(crate) fn library_path(lib: &Path) -> [(OsString, OsString); 2] {
    let path = before(lib, std::env::var_os("LD_LIBRARY_PATH").as_deref());
    [("LD_LIBRARY_PATH".into(), path), ("REELDECK_TORCH_LIB".into(), lib.into())]
}

/// A search path with `folder` before all others.
fn before(folder: &Path, others: Option<&OsStr>) -> OsString {
    let mut path = folder.as_os_str().to_owned();
    if let Some(others) = others.filter(|others| !others.is_empty()) {
        path.push(":");
        path.push(others);
    }
    path
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

/// Asks Python where it would import torch from, without importing it, which takes seconds.
///
/// `-I` keeps the current folder and the folder of the script out of the search, and with them the user's packages and
/// PYTHONPATH. Those are searched again here, but for the current folder and relative entries.
const QUESTION: &str = "
import importlib.machinery, json, os, site, sys
here = os.path.realpath('.')
named = [p for p in os.environ.get('PYTHONPATH', '').split(os.pathsep) if os.path.isabs(p)]
user = [site.getusersitepackages()] if sys.prefix == sys.base_prefix else []
path = [p for p in named + sys.path + user if os.path.isabs(p) and os.path.realpath(p) != here]
spec = importlib.machinery.PathFinder.find_spec('torch', path)
print(json.dumps(spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else None))
";

/// Where this Python would import torch from; `None` where it has none.
fn ask_python(python: &Path, timeout: Duration) -> Result<Option<PathBuf>, TorchError> {
    let program = Program { arguments: ["-I", "-c", QUESTION].map(OsString::from).to_vec(), ..Program::new(python) };
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
    fn libraries_of_the_user_stay_in_the_search_path() {
        let lib = Path::new("/torch/lib");
        assert_eq!(before(lib, Some("/usr/local/nvidia/lib64:/b".as_ref())), "/torch/lib:/usr/local/nvidia/lib64:/b");
        assert_eq!(before(lib, Some("".as_ref())), "/torch/lib");
        assert_eq!(before(lib, None), "/torch/lib");
    }

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

    /// Runs the question as reeldeck does, in a folder with a package `torch`, and returns what Python answers.
    fn answer(current: &Path, variables: &[(&str, &Path)]) -> Option<PathBuf> {
        let mut command = std::process::Command::new(python().expect("python3"));
        command.args(["-I", "-c", QUESTION]).current_dir(current).envs(variables.iter().copied());
        let output = command.output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[test]
    fn a_package_in_the_current_folder_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let [here, other] = ["here", "other"].map(|name| dir.path().join(name));
        for folder in [&here, &other] {
            std::fs::create_dir_all(folder.join("torch")).unwrap();
            std::fs::write(folder.join("torch/__init__.py"), "").unwrap();
        }
        let nowhere = dir.path().join("nowhere");
        let without = answer(dir.path(), &[("PYTHONUSERBASE", &nowhere)]);
        for path in [Path::new(""), Path::new("."), Path::new(":"), &here] {
            let found = answer(&here, &[("PYTHONPATH", path), ("PYTHONUSERBASE", &nowhere)]);
            assert_eq!(found, without, "PYTHONPATH={path:?}");
        }
        let found = answer(&here, &[("PYTHONPATH", &other)]).unwrap();
        assert_eq!(found, other.join("torch"), "a folder that the user has named");
    }

    #[test]
    fn a_package_that_others_may_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("torch");
        std::fs::create_dir_all(package.join("lib")).unwrap();
        std::fs::write(package.join("lib/libtorch_cuda.so"), "").unwrap();
        std::fs::write(package.join("version.py"), format!("__version__ = '{LIBTORCH}+cu130'\n")).unwrap();
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        };
        mode(&package.join("lib"), 0o777);
        let error = find(&package).unwrap_err().to_string();
        assert!(error.contains("torch/lib") && error.contains("mode 0777") && error.contains("chmod go-w"), "{error}");
        mode(&package.join("lib"), 0o755);
        find(&package).unwrap();
        let beside = dir.path().join("nvidia/cublas/lib");
        std::fs::create_dir_all(&beside).unwrap();
        std::fs::write(beside.join("libcublas.so.12"), "").unwrap();
        mode(&beside.join("libcublas.so.12"), 0o666);
        assert!(matches!(find(&package), Err(TorchError::Untrusted(_))));
    }

    #[test]
    fn only_a_cuda_build_of_the_right_release_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("torch");
        std::fs::create_dir_all(package.join("lib")).unwrap();
        let says = |named: &Path| find(named).unwrap_err().to_string();
        assert!(says(&package).contains("it is a CPU build"));
        std::fs::write(package.join("lib/libtorch_cuda.so"), "").unwrap();
        assert!(says(&package).contains("its release is unknown"));
        std::fs::write(package.join("version.py"), "from typing import Optional\n__version__ = '2.10.1+cu130'\n")
            .unwrap();
        assert!(says(&package).contains("release 2.10.1, and reeldeck needs 2.11.0"));
        std::fs::write(package.join("version.py"), "__version__ = '2.11.0+cu130'\n").unwrap();
        assert_eq!(find(&package).unwrap(), package.join("lib"));
        assert_eq!(find(&package.join("lib")).unwrap(), package.join("lib"));
    }
}
