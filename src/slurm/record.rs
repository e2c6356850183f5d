//! The jobs that were submitted for an output folder.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::bounded;
use reeldeck_common::layout::Layout;
use reeldeck_common::video::{printable, shown};
use serde::{Deserialize, Serialize};

use crate::discovery::trust::Owners;

/// The largest record that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The jobs that were submitted for an output folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Jobs {
    /// The script of the engines, an absolute path.
    pub script: PathBuf,
    /// Numbers of arrays of engines, the first one first.
    pub engines: Vec<String>,
    /// The number of the export's job.
    pub export: Option<String>,
}

/// The record of an output folder.
fn path(out: &Path) -> PathBuf {
    Layout::new(out, "").private().join("slurm.json")
}

impl Jobs {
    /// Keeps other commands from changing the record of an output folder until the file is closed. `None` without such a folder.
    ///
    /// # Errors
    /// When another command holds the lock for a minute.
    pub(crate) fn lock(out: &Path) -> anyhow::Result<Option<File>> {
        match atomic::lock_folder(out) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            held => held.map(Some).with_context(|| format!("failed to lock {}", shown(out))),
        }
    }

    /// Those of an output folder; none where nothing was submitted.
    ///
    /// # Errors
    /// When the record cannot be read, or contains what `write` does not write.
    pub(crate) fn read(out: &Path) -> anyhow::Result<Self> {
        let path = path(out);
        let failed = || format!("failed to read {}; remove it if its jobs have ended", shown(&path));
        match bounded::read(&path, MAX_BYTES) {
            Ok(bytes) => Self::parse(&bytes).with_context(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(failed),
        }
    }

    /// Anything but a number could be an option of a program of Slurm.
    fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let jobs: Self = serde_json::from_slice(bytes)?;
        let is_number = |id: &String| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(id) = jobs.all().iter().find(|id| !is_number(id)) {
            bail!("{} is not the number of a job", printable(&format!("{id:?}")));
        }
        ensure!(jobs.script.is_absolute(), "the script {} is not an absolute path", shown(&jobs.script));
        Ok(jobs)
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, out: &Path) -> anyhow::Result<()> {
        let (path, text) = (path(out), serde_json::to_string(self)?);
        let written = atomic::write(&path, &Owner::this_process(), |writer| {
            // Only its owner changes it, whatever the default permissions are. Some file systems have none.
            let _ = writer.get_ref().set_permissions(Permissions::from_mode(0o644));
            writeln!(writer, "{text}")
        });
        written.with_context(|| format!("failed to write {}", shown(&path)))
    }

    /// Checks that no other user can have chosen or changed a script that is found through the record of an output folder.
    ///
    /// # Errors
    /// When another user can write to the record, or to the script or a folder above it, or the script is gone.
    pub(crate) fn check_script(out: &Path, script: &Path) -> anyhow::Result<()> {
        let owners = Owners::of_this_process();
        let failed = || format!("{}, which {} names, is not submitted", shown(script), shown(&path(out)));
        owners.check_file(&path(out)).with_context(failed)?;
        owners.check(script).with_context(failed)?;
        if !fs::symlink_metadata(script).is_ok_and(|metadata| metadata.is_file()) {
            let next = "`reeldeck slurm stop` and `reeldeck slurm submit SCRIPT` submit another one";
            bail!("{} is not a regular file; {next}", shown(script));
        }
        Ok(())
    }

    /// The engines and the export.
    pub(crate) fn all(&self) -> Vec<String> {
        self.engines.iter().chain(&self.export).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_numbers_and_an_absolute_path() {
        let parse = |script: &str, engine: &str, export: &str| {
            let text = serde_json::json!({"script": script, "engines": ["7", engine], "export": export}).to_string();
            Jobs::parse(text.as_bytes())
        };
        assert_eq!(parse("/a/b", "8", "9").unwrap().all(), ["7", "8", "9"]);
        for (script, engine, export) in [
            ("/a/b", "--me", "9"),
            ("/a/b", "", "9"),
            ("/a/b", "8", "-u root"),
            ("/a/b", "8 9", "9"),
            ("--wrap=touch x", "8", "9"),
            ("b", "8", "9"),
        ] {
            assert!(parse(script, engine, export).is_err(), "{script} {engine} {export}");
        }
    }

    #[test]
    fn a_script_is_used_only_if_nobody_else_can_have_chosen_or_changed_it() {
        let dir = tempfile::tempdir().unwrap();
        let (out, script) = (dir.path().join("out"), dir.path().join("s"));
        fs::create_dir(&out).unwrap();
        fs::write(&script, "").unwrap();
        let jobs = Jobs { script: script.clone(), engines: vec!["7".into()], export: None };
        jobs.write(&out).unwrap();
        let check = || Jobs::check_script(&out, &script);
        check().unwrap();
        for changed in [&script, &path(&out)] {
            fs::set_permissions(changed, Permissions::from_mode(0o666)).unwrap();
            assert!(check().is_err(), "{changed:?} can be changed");
            fs::set_permissions(changed, Permissions::from_mode(0o644)).unwrap();
        }
        fs::remove_file(&script).unwrap();
        std::os::unix::fs::symlink("/bin/true", &script).unwrap();
        assert!(check().is_err(), "a link was put in its place");
    }
}
