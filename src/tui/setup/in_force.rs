//! The values of the settings in force, as they are written in the configuration file or on the command line, and which of the
//! two they come from.

use std::path::{Path, PathBuf};

use toml::Table;

use super::{Field, Values};
use crate::config::{self, Config, ConfigError, Overrides};
use crate::fetch;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    File,
    CommandLine,
    Default,
}

impl Origin {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::File => config::FILE,
            Self::CommandLine => "command line",
            Self::Default => "default",
        }
    }
}

/// What the form of the settings begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InForce {
    /// The configuration file, absolute. It may not exist yet.
    pub file: PathBuf,
    pub exists: bool,
    /// Relative paths are relative to the folder of the file.
    pub values: Values,
    /// In the order of [`Field::ALL`].
    pub origins: [Origin; 6],
}

/// Reads the configuration file again: it may have been edited since the window was opened. `recipe` is the one in force, which
/// the form does not ask for. This can block.
///
/// # Errors
/// When the file cannot be read or is invalid.
pub(crate) fn in_force(typed: &Overrides, current: &Path, recipe: &str) -> Result<InForce, ConfigError> {
    let file = current.join(typed.config.as_deref().unwrap_or(Path::new(config::FILE)));
    let exists = file.symlink_metadata().is_ok();
    let (config, table) = if exists { config::parse(&file)? } else { (Config::default(), Table::new()) };
    let folder = file.parent().unwrap_or(current);
    let path = |path: &Path| path.to_string_lossy().into_owned();
    // A path on the command line is relative to the current folder.
    let typed_path = |typed: &Path| match typed.to_str() {
        Some("published" | "seeded") => path(typed),
        Some(url) if fetch::is_address(url) => path(typed),
        _ if folder == current => path(typed),
        _ => path(&current.join(typed)),
    };
    let is_in_file = |field: Field| {
        let (section, key) = field.setting();
        let table =
            if section.is_empty() { Some(&table) } else { table.get(section).and_then(|value| value.as_table()) };
        table.is_some_and(|table| table.contains_key(key))
    };
    let given = |field: Field| -> (String, Origin) {
        let (typed, written) = match field {
            Field::Root => (typed.root.as_deref().map(typed_path), path(&config.root)),
            Field::Out => (typed.out.as_deref().map(typed_path), path(&config.out)),
            Field::Checkpoint => (typed.checkpoint.as_deref().map(typed_path), config.checkpoint.clone()),
            Field::Manifest => (typed.manifest.as_deref().map(typed_path), path(&config.manifest.path)),
            Field::Devices => (typed.devices.clone(), config.devices.clone()),
            Field::Layout => (None, config.scan.layout.name().to_owned()),
        };
        let origin = if is_in_file(field) { Origin::File } else { Origin::Default };
        typed.map_or((written, origin), |typed| (typed, Origin::CommandLine))
    };
    let [root, out, checkpoint, manifest, devices, layout] = Field::ALL.map(given);
    let origins = [&root, &out, &checkpoint, &manifest, &devices, &layout].map(|(_, origin)| *origin);
    let values = Values {
        root: root.0,
        out: out.0,
        checkpoint: checkpoint.0,
        manifest: manifest.0,
        devices: devices.0,
        layout: layout.0,
        recipe: recipe.to_owned(),
    };
    Ok(InForce { file, exists, values, origins })
}

/// The command line without the values of these fields, which the file now has.
pub(crate) fn without(mut typed: Overrides, fields: &[Field]) -> Overrides {
    for field in fields {
        match field {
            Field::Root => typed.root = None,
            Field::Out => typed.out = None,
            Field::Checkpoint => typed.checkpoint = None,
            Field::Manifest => typed.manifest = None,
            Field::Devices => typed.devices = None,
            Field::Layout => {}
        }
    }
    typed
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_value_has_its_origin() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = in_force(&Overrides::default(), folder.path(), "r").unwrap();
        assert!(!nothing.exists && nothing.origins == [Origin::Default; 6]);
        assert_eq!((nothing.values.root.as_str(), nothing.values.checkpoint.as_str()), ("data", ""));
        fs::create_dir(folder.path().join("sub")).unwrap();
        let text = "root = \"videos\"\ndevices = \"cpu*2\"\n[manifest]\npath = \"m.json\"\n[scan]\n";
        fs::write(folder.path().join("sub/config.toml"), text).unwrap();
        let typed = Overrides {
            config: Some("sub/config.toml".into()),
            out: Some("out2".into()),
            checkpoint: Some("published".into()),
            devices: Some("all".into()),
            ..Overrides::default()
        };
        let InForce { file, exists, values, origins } = in_force(&typed, folder.path(), "r").unwrap();
        assert!(exists && file == folder.path().join("sub/config.toml"));
        use Origin::{CommandLine, Default, File};
        assert_eq!(origins, [File, CommandLine, CommandLine, File, CommandLine, Default]);
        let out = folder.path().join("out2").to_string_lossy().into_owned();
        let expected = Values {
            root: "videos".into(),
            out,
            checkpoint: "published".into(),
            manifest: "m.json".into(),
            devices: "all".into(),
            layout: "auto".into(),
            recipe: "r".into(),
        };
        assert_eq!(values, expected);
        let left = without(typed, &[Field::Checkpoint, Field::Layout]);
        assert_eq!((left.checkpoint, left.devices.as_deref()), (None, Some("all")));
        fs::write(folder.path().join("config.toml"), "rot = 1\n").unwrap();
        assert!(in_force(&Overrides::default(), folder.path(), "r").unwrap_err().to_string().contains("did you mean"));
    }
}
