//! Writes config.toml atomically and never replaces an existing one.

use std::io::{self, Write};
use std::path::PathBuf;

use reeldeck_common::atomic::{self, Owner};
use serde::Serialize;

use super::{Values, expanded};
use crate::config::{self, Config};

const HEADER: &str = "# reeldeck's configuration. Every other setting has its default; `reeldeck init --dry-run` prints and explains all.\n\
    # Relative paths are relative to the folder of this file.\n\n";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriteRequest {
    /// The folder for config.toml.
    pub folder: PathBuf,
    /// The home folder: `~` is expanded in the file.
    pub home: Option<PathBuf>,
    pub values: Values,
}

#[derive(Serialize)]
struct ConfigFile {
    root: String,
    out: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    recipe: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    checkpoint: String,
    devices: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Manifest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scan: Option<Scan>,
}

#[derive(Serialize)]
struct Scan {
    layout: String,
}

#[derive(Serialize)]
struct Manifest {
    path: String,
}

/// The contents of the file.
///
/// # Errors
/// When the values cannot be represented in TOML, which no known value triggers.
pub(crate) fn text(request: &WriteRequest) -> Result<String, toml::ser::Error> {
    let path = |text: &str| expanded(text, request.home.as_deref()).into_owned();
    let values = &request.values;
    let manifest = path(&values.manifest);
    let written = ConfigFile {
        root: path(&values.root),
        out: path(&values.out),
        recipe: if values.recipe == Config::default().recipe { String::new() } else { values.recipe.clone() },
        checkpoint: path(&values.checkpoint),
        devices: values.devices.trim().to_owned(),
        manifest: (!manifest.is_empty()).then_some(Manifest { path: manifest }),
        scan: (!values.layout.is_empty()).then(|| Scan { layout: values.layout.clone() }),
    };
    Ok(format!("{HEADER}{}", toml::to_string(&written)?))
}

/// Writes the file and returns its path. This can block.
///
/// # Errors
/// A message that names the file, also when it exists already.
pub(crate) fn write(request: &WriteRequest) -> Result<PathBuf, String> {
    let path = request.folder.join(config::FILE);
    let text = text(request).map_err(|error| format!("the settings cannot be written: {error}"))?;
    match atomic::write_new(&path, &Owner::this_process(), |writer| writer.write_all(text.as_bytes())) {
        Ok(()) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(format!("{} already exists; not overwritten. Start reeldeck again to use it", path.display()))
        }
        Err(error) => Err(format!("failed to write {}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::config::{Overrides, Settings};
    use crate::dataset::scan::FolderLayout;

    fn request(folder: &Path) -> WriteRequest {
        WriteRequest {
            folder: folder.into(),
            home: Some("/home/me".into()),
            values: Values {
                root: "~/da\"ta".into(),
                out: "out".into(),
                checkpoint: "seeded".into(),
                manifest: String::new(),
                devices: " cpu*2 ".into(),
                layout: String::new(),
                recipe: String::new(),
            },
        }
    }

    #[test]
    fn the_written_file_reads_back_as_the_same_values() {
        let folder = tempfile::tempdir().unwrap();
        let mut request = request(folder.path());
        request.values.manifest = "~/list.txt".into();
        let path = write(&request).unwrap();
        let settings = Settings::resolve(&Overrides::default(), folder.path()).unwrap();
        assert_eq!(settings.config_file.as_ref(), Some(&path));
        assert_eq!((settings.root, settings.out), ("/home/me/da\"ta".into(), folder.path().join("out")));
        assert_eq!(settings.devices, "cpu*2".parse().unwrap());
        assert_eq!(settings.manifest, Some("/home/me/list.txt".into()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        insta::assert_snapshot!("config", fs::read_to_string(path).unwrap());
    }

    #[test]
    fn without_a_checkpoint_the_file_names_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut request = request(folder.path());
        request.values.checkpoint = String::new();
        let path = write(&request).unwrap();
        assert!(!fs::read_to_string(path).unwrap().contains("checkpoint"));
        assert_eq!(Settings::resolve(&Overrides::default(), folder.path()).unwrap().checkpoint, None);
    }

    #[test]
    fn another_recipe_of_the_command_line_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut request = request(folder.path());
        request.values.recipe = Config::default().recipe;
        assert!(!text(&request).unwrap().contains("recipe"));
        request.values.recipe = "videomaev2-s-16x4".into();
        write(&request).unwrap();
        let settings = Settings::resolve(&Overrides::default(), folder.path()).unwrap();
        assert_eq!(settings.recipe.name, "videomaev2-s-16x4");
    }

    #[test]
    fn a_chosen_layout_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut request = request(folder.path());
        request.values.layout = "any".into();
        write(&request).unwrap();
        let settings = Settings::resolve(&Overrides::default(), folder.path()).unwrap();
        assert_eq!(settings.scan.layout, FolderLayout::Any);
    }

    #[test]
    fn an_existing_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, "mine").unwrap();
        let error = write(&request(folder.path())).unwrap_err();
        assert!(error.contains("already exists"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write(&request(Path::new("/proc/nowhere"))).unwrap_err();
        assert!(error.contains("/proc/nowhere/config.toml"), "{error}");
    }
}
