//! `reeldeck init`: writes a commented configuration for a dataset folder, with the detected values filled in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use reeldeck_common::atomic::{self, Sweeper};

use super::list::hint;
use crate::config::{Config, FILE, Overrides, check_folders, detect, edit};
use crate::dataset::scan::scan;
use crate::dataset::shown;
use crate::discovery::gpus;
use crate::error::{Exit, ExitError};
use crate::fetch;
use crate::out::{self, errln};

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// Writes the configuration; prints it with `--dry-run`.
///
/// # Errors
/// When the folder does not exist, the configuration exists, or it cannot be written.
pub(crate) fn run_init(typed: &Overrides, folder: Option<&Path>, current: &Path) -> anyhow::Result<Exit> {
    let defaults = Config::default();
    let file = current.join(typed.config.as_deref().unwrap_or(Path::new(FILE)));
    let root = folder.or(typed.root.as_deref()).unwrap_or(&defaults.root);
    let found = scan(&current.join(root), &defaults.scan.rules())
        .context("the configuration needs the dataset folder: reeldeck init DIR")
        .context(ExitError::new(Exit::Usage, "no configuration written"))?;
    // Paths in a configuration are relative to its folder.
    let base = file.parent().unwrap_or(current);
    let out = typed.out.as_deref().map_or_else(|| base.join(&defaults.out), |out| current.join(out));
    check_folders(&current.join(root), &out).context(ExitError::new(Exit::Usage, "no configuration written"))?;
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if real(base).starts_with(real(&current.join(root))) {
        let message = format!(
            "{} would be in the dataset folder, which is never written to; name another place with --config, or start in another folder",
            shown(&file)
        );
        return Err(anyhow::Error::from(ExitError::new(Exit::Usage, message)));
    }
    let written = |path: &Path| if base == current { path.to_owned() } else { current.join(path) };
    let recipe = typed.recipe.clone().unwrap_or(defaults.recipe);
    let manifest = typed.manifest.clone().or_else(|| detect::manifest_beside(current, root));
    let devices =
        typed.devices.clone().unwrap_or_else(|| if gpus::may_exist() { "all".into() } else { defaults.devices });
    let checkpoint = match &typed.checkpoint {
        Some(path) => path.to_string_lossy().into_owned(),
        None => detect::checkpoint_in(current, &recipe),
    };
    let mut values = vec![
        ("root", written(root)),
        ("recipe", recipe.into()),
        ("checkpoint", checkpoint.as_str().into()),
        ("devices", devices.into()),
    ];
    values.extend(typed.out.as_deref().map(|out| ("out", written(out))));
    values.extend(manifest.as_deref().map(|path| ("path", written(path))));
    let is_secret = edit::is_secret(&checkpoint);
    if typed.dry_run {
        if is_secret {
            values.iter_mut().filter(|(name, _)| *name == "checkpoint").for_each(|(_, value)| {
                *value = fetch::public(&checkpoint).into();
            });
            errln!(
                "note: the text lacks the user name, password or query of the checkpoint's address, which `reeldeck init` writes"
            );
        }
        out::document(fill(&values)?.as_bytes()).context("failed to print the configuration")?;
        return Ok(Exit::Done);
    }
    let text = fill(&values)?;
    let failed = || format!("failed to write {}; check space and permissions", shown(&file));
    // Removes what an earlier command has left that was killed.
    atomic::sweep_folder(base, &Sweeper::of_command()).with_context(failed)?;
    match edit::create(&file, &text) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let message = format!(
                "{} exists and is kept; --dry-run prints what would be written, --config names another file",
                shown(&file)
            );
            return Err(ExitError::new(Exit::Usage, message).into());
        }
        written => written.with_context(failed)?,
    }
    errln!("wrote {} for {}: {}", shown(&file), shown(root), out::count(found.videos.len(), "video", "videos"));
    for (name, value) in &values {
        let value = match *name {
            "checkpoint" if is_secret => fetch::public(&checkpoint),
            _ => shown(value).to_string(),
        };
        errln!("  {:<10} {value}", if *name == "path" { "manifest" } else { name });
    }
    if is_secret {
        errln!(
            "note: the file has the user name, password or query of the checkpoint's address, which are not shown here; only you \
             can read the file (mode 0600)"
        );
    }
    if found.videos.is_empty() {
        let hint = hint(&found.refused, &current.join(root));
        let hint = hint.unwrap_or_else(|| "a dataset folder has the videos, usually in a folder for each class".into());
        errln!("note: no video found; {hint}");
    }
    let config = typed.config.as_deref().filter(|path| *path != Path::new(FILE));
    let config = config.map_or_else(String::new, |path| format!(" --config {}", shown(path)));
    errln!("next: `reeldeck{config} doctor` checks this machine; `reeldeck{config} --batch` extracts");
    Ok(Exit::Done)
}

/// config.example.toml with these values.
fn fill(values: &[(&str, PathBuf)]) -> anyhow::Result<String> {
    let mut text = EXAMPLE.replacen(
        "# reeldeck's configuration, with the defaults. Copy it to config.toml, which",
        "# reeldeck's configuration. config.toml",
        1,
    );
    for (key, value) in values {
        let value = value.to_str().with_context(|| format!("{}: not UTF-8 text; move it", shown(value)))?;
        let line = text.lines().find(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = ")));
        let line = line.with_context(|| format!("the example has no {key}"))?.to_owned();
        text = text.replacen(&format!("\n{line}\n"), &format!("\n{key} = {}\n", toml::Value::from(value)), 1);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use reeldeck_common::strict::from_toml;

    use super::*;

    #[test]
    fn odd_names_round_trip() {
        let odd = "a \"b\"\\c\té";
        let config: Config =
            from_toml("c", &fill(&[("root", odd.into()), ("path", "m.json".into())]).unwrap()).unwrap();
        assert_eq!((config.root, config.manifest.path), (PathBuf::from(odd), PathBuf::from("m.json")));
        assert_eq!(config.out, Config::default().out);
        assert!(fill(&[("no such key", "x".into())]).is_err());
    }
}
