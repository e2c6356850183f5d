//! Which files may be loaded as code: only those that no other user can change or replace.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Links that are followed at most, as in the kernel.
const MAX_LINKS: usize = 40;

/// The permission to write, for the group and for others.
const GROUP_WRITE: u32 = 0o020;
const OTHER_WRITE: u32 = 0o002;
/// In a folder with this permission, users can replace only their own files.
const STICKY: u32 = 0o1000;

/// Why a file is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It, or a folder on its path, belongs to another user.
    #[error(
        "{} is not loaded: {} belongs to the user with the id {owner} (mode {mode:04o}), who could replace it; copy it to a \
         folder of your own, or ask for an installation that belongs to root",
        path.display(),
        of(path, part)
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// The file or the folder on its path.
        part: PathBuf,
        /// The owner.
        owner: u32,
        /// The permissions.
        mode: u32,
    },
    /// Other users may write to it, or to a folder on its path.
    #[error(
        "{} is not loaded: other users may write to {} (mode {mode:04o}, user {owner}, group {group}), so they could replace \
         it; remove the permission: chmod go-w {}",
        path.display(),
        of(path, part),
        part.display()
    )]
    Writable {
        /// The file.
        path: PathBuf,
        /// The file or the folder on its path.
        part: PathBuf,
        /// The owner.
        owner: u32,
        /// The group.
        group: u32,
        /// The permissions.
        mode: u32,
    },
    /// It cannot be examined.
    #[error("failed to check who may write to {}", path.display())]
    Unknown {
        /// The file or the folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

fn of(path: &Path, part: &Path) -> String {
    if path == part { "it".into() } else { part.display().to_string() }
}

/// The users whose files may be loaded.
#[derive(Clone, Debug)]
pub(crate) struct Owners(Vec<u32>);

impl Owners {
    /// Root, this user, and the owner of this program, whose code runs already. Root is the owner of `/`: in a user namespace
    /// it may have another id.
    pub(crate) fn of_this_process() -> Self {
        let user = rustix::process::geteuid().as_raw();
        let own = std::env::current_exe().ok();
        let files = [Some(PathBuf::from("/")), own].into_iter().flatten();
        let mut owners = Self(vec![0, user]);
        for file in files {
            owners = owners.and_owner_of(&file);
        }
        owners
    }

    /// Also the owner of this program, which the user has chosen to run.
    pub(crate) fn and_owner_of(mut self, program: &Path) -> Self {
        self.0.extend(fs::metadata(program).map(|metadata| metadata.uid()).ok());
        self
    }

    /// Checks a file or folder, all folders above it, and all links on the way.
    ///
    /// # Errors
    /// When another user owns one of them or may write to it.
    pub(crate) fn check(&self, path: &Path) -> Result<(), TrustError> {
        let failed = |source| TrustError::Unknown { path: path.to_owned(), source };
        let mut waiting = vec![std::path::absolute(path).map_err(failed)?];
        let mut links = 0;
        while let Some(next) = waiting.pop() {
            for part in next.ancestors() {
                let unknown = |source| TrustError::Unknown { path: part.to_owned(), source };
                let metadata = fs::symlink_metadata(part).map_err(unknown)?;
                self.check_part(path, part, &metadata)?;
                if metadata.is_symlink() {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(unknown(io::Error::other("too many links")));
                    }
                    let target = fs::read_link(part).map_err(unknown)?;
                    waiting.push(part.parent().unwrap_or(part).join(target));
                }
            }
        }
        Ok(())
    }

    /// Checks a file alone, which others may replace only by a file of their own.
    ///
    /// # Errors
    /// When another user owns it or may write to it.
    pub(crate) fn check_file(&self, path: &Path) -> Result<(), TrustError> {
        let unknown = |source| TrustError::Unknown { path: path.to_owned(), source };
        self.check_part(path, path, &fs::symlink_metadata(path).map_err(unknown)?)
    }

    /// Checks a folder and everything in it whose name contains `name`.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(crate) fn check_all(&self, folder: &Path, name: &str) -> Result<(), TrustError> {
        self.check(folder)?;
        let failed = |source| TrustError::Unknown { path: folder.to_owned(), source };
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.file_name().is_some_and(|found| found.to_string_lossy().contains(name)) {
                self.check(&path)?;
            }
        }
        Ok(())
    }

    fn check_part(&self, path: &Path, part: &Path, metadata: &Metadata) -> Result<(), TrustError> {
        let (path, part) = (|| path.to_owned(), || part.to_owned());
        let (owner, group, mode) = (metadata.uid(), metadata.gid(), metadata.permissions().mode() & 0o7777);
        if !self.0.contains(&owner) {
            return Err(TrustError::Owner { path: path(), part: part(), owner, mode });
        }
        // The permissions of a link mean nothing.
        let is_protected = metadata.is_symlink() || (metadata.is_dir() && mode & STICKY != 0);
        // Many systems give each user a group of the same number, and let it write by default.
        let is_own_group = group == 0 || group == owner;
        let by_group = mode & GROUP_WRITE != 0 && !is_own_group;
        if !is_protected && (by_group || mode & OTHER_WRITE != 0) {
            return Err(TrustError::Writable { path: path(), part: part(), owner, group, mode });
        }
        Ok(())
    }
}

/// The program of this name in `PATH`. Empty and relative entries of `PATH` mean the current folder, which may be a dataset
/// from elsewhere: they are skipped.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    find_program_in(name, &std::env::var_os("PATH")?)
}

fn find_program_in(name: &str, path: &std::ffi::OsStr) -> Option<PathBuf> {
    let is_executable = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).find(is_executable)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// A file in two folders of this user.
    fn case() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b/lib.so");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "").unwrap();
        for (part, mode) in [("a", 0o755), ("a/b", 0o755), ("a/b/lib.so", 0o644)] {
            chmod(&dir.path().join(part), mode);
        }
        (dir, file)
    }

    /// A rule under which only the owners of `/` and of the temporary folder are trusted.
    fn owners() -> Owners {
        Owners::of_this_process()
    }

    #[test]
    fn files_of_this_user_in_folders_of_this_user_are_trusted() {
        let (dir, file) = case();
        owners().check(&file).unwrap();
        owners().check_all(file.parent().unwrap(), ".so").unwrap();
        // A sticky folder, as /tmp.
        chmod(&dir.path().join("a"), 0o1777);
        owners().check(&file).unwrap();
    }

    #[test]
    fn what_others_may_write_to_is_refused_with_path_mode_and_the_next_step() {
        for (part, mode) in [("a", 0o777), ("a/b", 0o757), ("a/b/lib.so", 0o646), ("a/b/lib.so", 0o1646)] {
            let (dir, file) = case();
            let part = dir.path().join(part);
            chmod(&part, mode);
            let error = owners().check(&file).unwrap_err().to_string();
            let expected =
                [file.display().to_string(), format!("mode {mode:04o}"), format!("chmod go-w {}", part.display())];
            assert!(expected.iter().all(|text| error.contains(text)), "{error}");
            assert!(owners().check_all(file.parent().unwrap(), ".so").is_err());
        }
    }

    #[test]
    fn a_group_may_write_only_if_it_is_that_of_the_owner() {
        let (_dir, file) = case();
        chmod(&file, 0o664);
        let metadata = fs::symlink_metadata(&file).unwrap();
        let is_own = metadata.gid() == 0 || metadata.gid() == metadata.uid();
        assert_eq!(owners().check(&file).is_ok(), is_own);
    }

    #[test]
    fn files_of_other_users_are_refused() {
        let (_dir, file) = case();
        // As root, the tests could make a file of another user; this way they need not be root.
        let stranger = Owners(vec![u32::MAX]);
        let error = stranger.check(&file).unwrap_err().to_string();
        assert!(error.contains("belongs to the user with the id") && error.contains("a folder of your own"), "{error}");
        stranger.and_owner_of(Path::new("/")).and_owner_of(&file).check(&file).unwrap();
    }

    #[test]
    fn links_are_followed_and_their_folders_checked() {
        let (dir, file) = case();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        let link = open.join("link.so");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        owners().check(&link).unwrap();
        chmod(&open, 0o777);
        assert!(owners().check(&link).is_err(), "the link can be replaced");
        chmod(&open, 0o755);
        chmod(file.parent().unwrap(), 0o777);
        assert!(owners().check(&link).is_err(), "its target can be replaced");
        let circle = open.join("circle");
        std::os::unix::fs::symlink(&circle, &circle).unwrap();
        assert!(matches!(owners().check(&circle), Err(TrustError::Unknown { .. })));
    }

    #[test]
    fn programs_are_not_found_through_empty_or_relative_entries() {
        let (dir, _) = case();
        let program = dir.path().join("a/python3");
        fs::write(&program, "").unwrap();
        let folder = program.parent().unwrap().display().to_string();
        let find = |path: &str| find_program_in("python3", path.as_ref());
        assert_eq!(find(&folder), None, "not executable");
        chmod(&program, 0o755);
        assert_eq!(find(&format!(":.:a:{folder}")), Some(program));
        // The tests run in the folder of this package.
        assert!(find_program_in("setup.sh", "/:scripts".as_ref()).is_none());
        assert!(Path::new("scripts/setup.sh").exists());
    }
}
