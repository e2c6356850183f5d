//! Sources of hints: the operating system's file events.

use std::path::Path;
use std::sync::Arc;

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::hints::HintQueue;

/// Reports changes directly in folders.
pub(super) trait Events: Send {
    /// Starts to watch this folder.
    fn watch(&mut self, folder: &Path) -> notify::Result<()>;
    /// Stops to watch this folder.
    fn unwatch(&mut self, folder: &Path);
}

/// Creates a source of events about the folder `root`, which adds its hints to the board.
pub(super) type MakeEvents = Box<dyn Fn(&Path, Arc<HintQueue>) -> notify::Result<Box<dyn Events>> + Send>;

struct Native(RecommendedWatcher);

impl Events for Native {
    fn watch(&mut self, folder: &Path) -> notify::Result<()> {
        // Every folder that may contain videos has its own watch. Links are followed.
        self.0.watch(folder, RecursiveMode::NonRecursive)
    }

    fn unwatch(&mut self, folder: &Path) {
        // A watch ends by itself with its folder.
        let _ = self.0.unwatch(folder);
    }
}

/// The operating system's events.
pub(super) fn native() -> MakeEvents {
    Box::new(|root, board| {
        let root = root.to_owned();
        let watcher = notify::recommended_watcher(move |event| board.event(&root, event))?;
        Ok(Box::new(Native(watcher)))
    })
}

/// Whether a watch failed because the folder is gone.
pub(super) fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(source) => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Why there are no events, for people.
pub(super) fn why(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "the system has no watches left (fs.inotify.max_user_watches); close other watchers or raise it".into()
        }
        ErrorKind::Io(source) => source.to_string(),
        _ => error.to_string(),
    }
}

/// The type of network file system of a folder, if it is one. Changes by other machines cause no events there.
pub(crate) fn network_of(folder: &Path) -> Option<&'static str> {
    // Magic numbers of the kernel's headers.
    const KINDS: [(u32, &str); 12] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "SMB"),
        (0xfe53_4d42, "SMB"),
        (0x6573_5546, "FUSE"),
        (0x00c3_6400, "Ceph"),
        (0x0bd0_0bd0, "Lustre"),
        (0x4750_4653, "GPFS"),
        (0x1983_0326, "BeeGFS"),
        (0x2003_0528, "OrangeFS"),
        (0x0102_1997, "9P"),
        (0x5346_414f, "AFS"),
    ];
    let kind = rustix::fs::statfs(folder).ok()?.f_type as u32;
    KINDS.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_folder_is_not_a_network_file_system() {
        assert_eq!(network_of(Path::new("/proc")), None);
        assert_eq!(network_of(Path::new("/no/such/folder")), None);
    }

    #[test]
    fn errors_say_what_to_do() {
        assert!(why(&notify::Error::new(ErrorKind::MaxFilesWatch)).contains("max_user_watches"));
        assert!(is_gone(&notify::Error::path_not_found()));
        assert!(!is_gone(&notify::Error::new(ErrorKind::MaxFilesWatch)));
    }
}
