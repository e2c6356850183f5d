//! Options of the command line that override the configuration file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::ConfigError;
use crate::fetch;

/// Values of the command line. `None` and `false` leave the choice to the configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the options in cli explain themselves")]
pub struct Overrides {
    pub config: Option<PathBuf>,
    pub root: Option<PathBuf>,
    pub out: Option<PathBuf>,
    pub recipe: Option<String>,
    pub checkpoint: Option<PathBuf>,
    pub manifest: Option<PathBuf>,
    pub devices: Option<String>,
    pub limit: Option<usize>,
    pub retry_failed: bool,
    pub redo_stale: bool,
    pub strict: bool,
    pub dry_run: bool,
    pub json: bool,
    pub quiet: bool,
    pub verbose: bool,
}

impl Overrides {
    /// The address of the weights, if they have one. It may contain a password or a token, and every user can read the
    /// arguments of a process, so the engine gets it through its standard input.
    pub fn address(&self) -> Option<&str> {
        self.checkpoint.as_deref().and_then(Path::to_str).filter(|checkpoint| fetch::is_address(checkpoint))
    }

    /// The same values as options of `reeldeck engine`, but for the [`address`](Self::address).
    pub fn words(&self) -> Vec<OsString> {
        let path = |path: &Option<PathBuf>| path.clone().map(PathBuf::into_os_string);
        let options = [
            ("--config", path(&self.config)),
            ("--root", path(&self.root)),
            ("--out", path(&self.out)),
            ("--recipe", self.recipe.clone().map(OsString::from)),
            ("--checkpoint", path(&self.checkpoint).filter(|_| self.address().is_none())),
            ("--manifest", path(&self.manifest)),
            ("--devices", self.devices.clone().map(OsString::from)),
            ("--limit", self.limit.map(|n| n.to_string().into())),
        ];
        let flags = [
            (self.address().is_some(), "--address-from-stdin"),
            (self.retry_failed, "--retry-failed"),
            (self.redo_stale, "--redo-stale"),
            (self.strict, "--strict"),
            (self.quiet, "--quiet"),
            (self.verbose, "--verbose"),
        ];
        let with_value = options.into_iter().filter_map(|(name, value)| Some([name.into(), value?]));
        let set = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name.into());
        with_value.flatten().chain(set).collect()
    }

    /// Shells expand `~` at the beginning of a word, and not in `--out=~/features`.
    pub(super) fn refuse_tilde(&self) -> Result<(), ConfigError> {
        let paths = [
            ("--config", self.config.as_deref()),
            ("--root", self.root.as_deref()),
            ("--out", self.out.as_deref()),
            ("--recipe", self.recipe.as_deref().map(Path::new)),
            ("--checkpoint", self.checkpoint.as_deref()),
            ("--manifest", self.manifest.as_deref()),
        ];
        let left = paths.into_iter().find_map(|(name, path)| Some((name, path.filter(|path| super::has_tilde(path))?)));
        left.map_or(Ok(()), |(name, path)| {
            let path = path.display();
            let message =
                format!("the shell did not expand ~ in {name}={path}; write {name} {path}, or the whole path");
            Err(ConfigError::Value { place: name.to_owned(), message })
        })
    }
}
