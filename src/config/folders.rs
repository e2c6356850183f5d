//! Checks the dataset folder and the output folder against each other.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use reeldeck_common::protocol::CheckpointSource;

use super::{ConfigError, Settings};
use crate::dataset::shown;
use crate::error::ExitError;

impl Settings {
    /// Checks that workers and probers can be told the paths, which they are told as text.
    ///
    /// # Errors
    /// When a path is not UTF-8 text.
    pub fn check_paths(&self) -> Result<(), ExitError> {
        let weights = match &self.checkpoint {
            Some(CheckpointSource::File(path)) => Some(path.as_path()),
            _ => None,
        };
        for (option, path) in [("--root", Some(&*self.root)), ("--out", Some(&*self.out)), ("--checkpoint", weights)] {
            if let Some(path) = path.filter(|path| path.to_str().is_none()) {
                let message = format!("the path {} is not UTF-8 text; rename the folder", shown(path));
                Err(ConfigError::Value { place: option.to_owned(), message })?;
            }
        }
        Ok(())
    }
}

/// Checks that the dataset folder exists, and that the output folder does not overlap it. Both paths are absolute.
///
/// # Errors
/// When one is no folder, or the output would be written into the dataset folder.
pub(crate) fn check_folders(root: &Path, out: &Path) -> Result<(), ConfigError> {
    let failed = |source| ConfigError::Root { path: root.to_owned(), source };
    if !fs::metadata(root).map_err(failed)?.is_dir() {
        return Err(ConfigError::RootNotFolder { path: root.to_owned() });
    }
    let real_root = fs::canonicalize(root).map_err(failed)?;
    let real_out = check_out(out)?;
    if lies_in(&real_out, &real_root) {
        return Err(ConfigError::OutInRoot { out: out.to_owned(), root: root.to_owned() });
    }
    let own = OWN_FOLDERS.map(|name| real_out.join(name));
    if let Some(own) = own.into_iter().find(|own| lies_in(&real_root, own)) {
        return Err(ConfigError::RootInOut { root: root.to_owned(), own });
    }
    Ok(())
}

/// Checks the output folder alone: it is a folder or does not exist, and no link in it leads out of it. Returns its path without
/// links.
///
/// # Errors
/// When it is no folder, or has such a link.
pub(crate) fn check_out(out: &Path) -> Result<PathBuf, ConfigError> {
    let real_out = resolve_links(out).map_err(|source| ConfigError::Out { path: out.to_owned(), source })?;
    if real_out.exists() && !real_out.is_dir() {
        return Err(ConfigError::OutNotFolder { path: out.to_owned() });
    }
    match link_out_of(&real_out) {
        Some((link, target)) => Err(ConfigError::LinkInOut { link, target }),
        None => Ok(real_out),
    }
}

/// The folders in the output folder that reeldeck writes to.
const OWN_FOLDERS: [&str; 6] = ["features", "failures", "exports", "missing", "annotations", ".reeldeck"];

/// Whether `path` is `folder` or lies in it. A bind mount shows the same folder under another path, so device and inode count
/// too. Both paths are free of links.
fn lies_in(path: &Path, folder: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    path.starts_with(folder) || id(folder).is_some_and(|folder| path.ancestors().any(|path| id(path) == Some(folder)))
}

/// The first link to a folder outside of the output folder, in the folders that reeldeck writes to, and its target. Looks three
/// folders deep: `exports/<set>/csv`, `features/<set>/<class>`. Deeper folders would take seconds to list, and have only features
/// and failure files, whose writers check each folder ([`reeldeck_common::layout::check_inside`]). Folders that this user cannot
/// read are skipped.
fn link_out_of(out: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut waiting: Vec<(PathBuf, usize)> = OWN_FOLDERS.iter().map(|name| (out.join(name), 1)).collect();
    while let Some((folder, depth)) = waiting.pop() {
        if folder.is_symlink() {
            // A broken link is no folder; creating one in its place fails.
            let Ok(target) = fs::canonicalize(&folder) else { continue };
            if target.is_dir() && !target.starts_with(out) {
                return Some((folder, target));
            }
        } else if depth < 3 {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink()) {
                    waiting.push((entry.path(), depth + 1));
                }
            }
        }
    }
    None
}

/// Resolves links and `..` in a path whose last folders may not exist yet.
fn resolve_links(path: &Path) -> io::Result<PathBuf> {
    let mut real = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(real.pop()),
            component => real.push(component),
        }
        match fs::canonicalize(&real) {
            Ok(found) => real = found,
            // No folder can be created in the place of a dangling link.
            Err(error) if error.kind() != io::ErrorKind::NotFound || real.is_symlink() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A dataset folder `data` and an output folder `out` with folders of one set.
    fn case() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        let (root, out) = (base.join("data"), base.join("out"));
        for folder in ["data/A", "elsewhere", "out/features/set/A", "out/exports/set/npy", "out/.reeldeck/locks"] {
            fs::create_dir_all(base.join(folder)).unwrap();
        }
        (dir, root, out)
    }

    #[test]
    fn links_out_of_the_output_folder_are_refused_with_their_path() {
        for link in ["exports/set/csv", "features/set/B", "failures", ".reeldeck/runs", "annotations", "missing"] {
            let (dir, root, out) = case();
            check_folders(&root, &out).unwrap();
            symlink(dir.path().join("elsewhere"), out.join(link)).unwrap();
            let error = check_folders(&root, &out).unwrap_err().to_string();
            let link = out.join(link).display().to_string();
            assert!(error.contains(&link) && error.contains("elsewhere, outside of the output folder"), "{error}");
        }
    }

    #[test]
    fn links_within_the_output_folder_and_of_files_are_accepted() {
        let (dir, root, out) = case();
        symlink(out.join("exports/set/npy"), out.join("exports/set/csv")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        symlink(dir.path().join("file"), out.join("features/set/file")).unwrap();
        symlink(dir.path().join("nothing"), out.join("features/set/broken")).unwrap();
        check_folders(&root, &out).unwrap();
        // The output folder itself may be a link.
        symlink(&out, dir.path().join("link")).unwrap();
        check_folders(&root, &dir.path().join("link")).unwrap();
    }

    #[test]
    fn a_folder_lies_in_another_one_also_under_another_path() {
        let (_dir, root, out) = case();
        assert!(lies_in(&root.join("A"), &root) && lies_in(&root, &root));
        assert!(!lies_in(&root, &out) && !lies_in(&root, &root.join("A")));
        // As a bind mount, this path leads to the same folder without a link in its text.
        let same = Path::new("/proc/self/cwd");
        let current = std::env::current_dir().unwrap();
        assert!(!same.starts_with(&current) && lies_in(same, &current));
    }
}
