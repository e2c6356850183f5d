//! The paths under the output folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::is_absent;
use crate::video::{MAX_FOLDERS, VideoName, shown};

/// The paths of one feature set (`<recipe>-<hash8>`) under an output folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    out: PathBuf,
    set: String,
}

impl Layout {
    /// The paths under the output folder `out` for the feature set `set`, which [`crate::recipe::Recipe::set_name`] names.
    pub fn new(out: &Path, set: &str) -> Self {
        Self { out: out.to_owned(), set: set.to_owned() }
    }

    /// The feature set's name.
    pub fn set(&self) -> &str {
        &self.set
    }

    /// The output folder itself.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// The list of videos, in the format of the original feature extraction script.
    pub fn list(&self) -> PathBuf {
        self.out.join("hacs_data.txt")
    }

    /// The folder of the set's features.
    pub fn features(&self) -> PathBuf {
        self.out.join("features").join(&self.set)
    }

    /// The folder of the set's failure files.
    pub fn failures(&self) -> PathBuf {
        self.out.join("failures").join(&self.set)
    }

    /// The folder of the set's exports.
    pub fn exports(&self) -> PathBuf {
        self.out.join("exports").join(&self.set)
    }

    /// The feature file of a video. Its name keeps the video's extension, so that `a.mp4` and `a.webm` have different files.
    pub fn feature(&self, video: &VideoName) -> PathBuf {
        self.features().join(video.folder()).join(format!("{}.safetensors", video.file()))
    }

    /// The failure file of a video.
    pub fn failure(&self, video: &VideoName) -> PathBuf {
        self.failures().join(video.folder()).join(format!("{}.json", video.file()))
    }

    /// Creates the folders of this set.
    ///
    /// # Errors
    /// When a folder cannot be created.
    pub fn prepare(&self) -> io::Result<()> {
        self.folders().iter().try_for_each(fs::create_dir_all)
    }

    /// The folders that [`Layout::prepare`] creates.
    pub fn folders(&self) -> [PathBuf; 3] {
        [self.features(), self.failures(), self.private()]
    }

    /// The folder of locks, logs and journals.
    pub fn private(&self) -> PathBuf {
        self.out.join(".reeldeck")
    }

    /// Creates a folder in the private folder, and the private folder if only that was removed. Without the features, the output
    /// folder is gone, and nothing must take its place.
    ///
    /// # Errors
    /// When the features are gone too, or a folder cannot be created.
    pub fn create_private(&self, folder: &Path) -> io::Result<()> {
        if !self.private().is_dir() {
            let features = self.features();
            fs::metadata(&features)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", features.display())))?;
        }
        fs::create_dir_all(folder)
    }
}

/// The log file of this name in the private folder.
pub fn log_file(private: &Path, name: &str) -> PathBuf {
    private.join("log").join(format!("{name}.log"))
}

/// All files below a folder, as paths relative to it. A folder that does not exist contains none.
///
/// # Errors
/// When an existing folder cannot be listed.
pub fn files_below(folder: &Path) -> io::Result<Vec<String>> {
    let mut files = vec![];
    let mut folders = vec![String::new()];
    while let Some(inner) = folders.pop() {
        let entries = match fs::read_dir(folder.join(&inner)) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(error) => {
                let text = format!("{}: {error}", shown(&folder.join(&inner)));
                return Err(io::Error::new(error.kind(), text));
            }
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let path = if inner.is_empty() { name.into_owned() } else { format!("{inner}/{name}") };
            // Links to folders are followed, but not into an endless tree.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink())
                && folder.join(&path).is_dir()
                && path.matches('/').count() < MAX_FOLDERS;
            if is_folder { folders.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}

/// Checks that no folder of a video's file, up to the output folder, is a link that leads out of the output folder. The check at
/// the start of a command does not list the folders of a million videos.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] for such a link, and errors of the file system.
pub fn check_inside(file: &Path, video: &VideoName) -> io::Result<()> {
    // `features/SET` and the folders of the name.
    let folders = video.depth() + 2;
    for folder in file.ancestors().skip(1).take(folders) {
        match fs::symlink_metadata(folder) {
            Ok(found) if found.is_symlink() => {
                let target = fs::canonicalize(folder)?;
                let out = file.ancestors().nth(folders + 1).map(fs::canonicalize).transpose()?;
                if out.is_none_or(|out| !target.starts_with(out)) {
                    let (link, target) = (folder.display(), target.display());
                    let text = format!("{link} is a link to {target}, outside of the output folder; remove the link");
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
                }
            }
            Err(error) if !is_absent(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Creates the folders above the folder of a video's file, except those above all folders of its name: if the output disk is
/// unmounted, nothing must be written at its mount point. [`crate::atomic::write`] creates the folder itself.
///
/// # Errors
/// When a folder cannot be created, and as [`check_inside`].
pub(crate) fn create_outer_folders(file: &Path, video: &VideoName) -> io::Result<()> {
    check_inside(file, video)?;
    let outer: Vec<_> = file.ancestors().skip(2).take(video.depth().saturating_sub(1)).collect();
    outer.into_iter().rev().try_for_each(|folder| match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folders_of_a_name_are_created() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), "set");
        let video = VideoName::new("train/a/Archery/v.mp4").unwrap();
        let file = layout.feature(&video);
        assert_eq!(file, dir.path().join("features/set/train/a/Archery/v.mp4.safetensors"));
        assert!(create_outer_folders(&file, &video).is_err(), "the set's folder is missing");
        assert!(!dir.path().join("features").exists());
        layout.prepare().unwrap();
        create_outer_folders(&file, &video).unwrap();
        create_outer_folders(&file, &video).unwrap();
        let inner = layout.features().join("train/a");
        assert!(inner.is_dir() && !inner.join("Archery").exists());
        for name in ["v.mp4", "Archery/v.mp4"] {
            let video = VideoName::new(name).unwrap();
            create_outer_folders(&layout.feature(&video), &video).unwrap();
            assert_eq!(layout.failure(&video), layout.failures().join(format!("{name}.json")));
        }
        assert_eq!(fs::read_dir(layout.features()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_out_of_the_output_folder_is_refused_at_any_depth() {
        let dir = tempfile::tempdir().unwrap();
        let (out, elsewhere) = (dir.path().join("out"), dir.path().join("elsewhere"));
        let layout = Layout::new(&out, "set");
        let video = VideoName::new("a/b/c/d/v.mp4").unwrap();
        let file = layout.feature(&video);
        fs::create_dir_all(elsewhere.join("c/d")).unwrap();
        for depth in 1..=4 {
            layout.prepare().unwrap();
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            create_outer_folders(&file, &video).unwrap();
            let folder = file.ancestors().nth(depth).unwrap();
            fs::remove_dir_all(folder).unwrap();
            std::os::unix::fs::symlink(&elsewhere, folder).unwrap();
            let error = create_outer_folders(&file, &video).unwrap_err().to_string();
            assert!(error.contains(folder.to_str().unwrap()) && error.contains("elsewhere, outside"), "{error}");
            fs::remove_file(folder).unwrap();
        }
        let inner = layout.features().join("a");
        fs::create_dir_all(out.join("other")).unwrap();
        std::os::unix::fs::symlink(out.join("other"), &inner).unwrap();
        create_outer_folders(&file, &video).unwrap();
        assert!(out.join("other/b/c").is_dir(), "a link within the output folder is followed");
        assert!(!elsewhere.join("b").exists());
    }

    #[test]
    fn files_at_any_depth_are_found() {
        let dir = tempfile::tempdir().unwrap();
        assert!(files_below(&dir.path().join("none")).unwrap().is_empty());
        for file in ["v.mp4", "A/v.mp4", "train/A/v.mp4"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink("..", dir.path().join("A/up")).unwrap();
        let mut found = files_below(dir.path()).unwrap();
        found.retain(|path| !path.contains("/up"));
        found.sort();
        assert_eq!(found, ["A/v.mp4", "train/A/v.mp4", "v.mp4"]);
    }
}
