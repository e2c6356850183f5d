//! Writes config.toml atomically: a new one, which never replaces an existing one, or changes in an existing one.

use std::io;
use std::path::PathBuf;

use crate::config::edit::{self, Change};

const HEADER: &str = "# reeldeck's configuration. Every other setting has its default; `reeldeck init --dry-run` prints and explains all.\n\
    # Relative paths are relative to the folder of this file.\n\n";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriteRequest {
    /// The configuration file.
    pub path: PathBuf,
    /// It does not exist yet.
    pub is_new: bool,
    pub changes: Vec<Change>,
}

/// Writes the file and returns its path. This can block.
///
/// # Errors
/// A message that names the file, also when a new one exists already.
pub(crate) fn write(request: &WriteRequest) -> Result<PathBuf, String> {
    let WriteRequest { path, is_new, changes } = request;
    if !is_new {
        return edit::edit(path, changes).map(|()| path.clone());
    }
    let text = format!("{HEADER}{}", edit::edited("", changes)?);
    match edit::create(path, &text) {
        Ok(()) => Ok(path.clone()),
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
    use crate::config::{Config, Overrides, Settings};
    use crate::dataset::scan::FolderLayout;
    use crate::tui::keymap::Keymap;
    use crate::tui::setup::{Setup, Values};

    fn values() -> Values {
        Values {
            root: "~/da\"ta".into(),
            out: "out".into(),
            checkpoint: "seeded".into(),
            manifest: String::new(),
            devices: " cpu*2 ".into(),
            layout: String::new(),
            recipe: String::new(),
        }
    }

    fn request(folder: &Path, values: Values) -> WriteRequest {
        let (setup, _) = Setup::new(Keymap::default(), folder.into(), Some("/home/me".into()), values);
        setup.write_request()
    }

    #[test]
    fn the_written_file_reads_back_as_the_same_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(&request(folder.path(), Values { manifest: "~/list.txt".into(), ..values() })).unwrap();
        let settings = Settings::resolve(&Overrides::default(), folder.path()).unwrap();
        assert_eq!(settings.config_file.as_ref(), Some(&path));
        assert_eq!((settings.root, settings.out), ("/home/me/da\"ta".into(), folder.path().join("out")));
        assert_eq!(settings.devices, "cpu*2".parse().unwrap());
        assert_eq!(settings.manifest, Some("/home/me/list.txt".into()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        insta::assert_snapshot!("config", fs::read_to_string(path).unwrap());
    }

    #[test]
    fn only_the_owner_can_read_a_file_with_a_password() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = "https://me:password@a.org/w.pth".into();
        let path = write(&request(folder.path(), Values { checkpoint, ..values() })).unwrap();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn without_a_checkpoint_the_file_names_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(&request(folder.path(), Values { checkpoint: String::new(), ..values() })).unwrap();
        assert!(!fs::read_to_string(path).unwrap().contains("checkpoint"));
        assert_eq!(Settings::resolve(&Overrides::default(), folder.path()).unwrap().checkpoint, None);
    }

    #[test]
    fn another_recipe_of_the_command_line_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let usual = request(folder.path(), Values { recipe: Config::default().recipe, ..values() });
        assert!(usual.changes.iter().all(|change| change.key != "recipe"), "{usual:?}");
        write(&request(folder.path(), Values { recipe: "videomaev2-s-16x4".into(), ..values() })).unwrap();
        let settings = Settings::resolve(&Overrides::default(), folder.path()).unwrap();
        assert_eq!(settings.recipe.name, "videomaev2-s-16x4");
    }

    #[test]
    fn a_chosen_layout_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut request = request(folder.path(), values());
        request.changes.push(Change { section: "scan", key: "layout", value: "any".into() });
        write(&request).unwrap();
        let settings = Settings::resolve(&Overrides::default(), folder.path()).unwrap();
        assert_eq!(settings.scan.layout, FolderLayout::Any);
    }

    #[test]
    fn a_new_file_never_replaces_an_existing_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, "mine").unwrap();
        let error = write(&request(folder.path(), values())).unwrap_err();
        assert!(error.contains("already exists"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write(&request(Path::new("/proc/nowhere"), values())).unwrap_err();
        assert!(error.contains("/proc/nowhere/config.toml"), "{error}");
    }
}
