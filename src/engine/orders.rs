//! Orders to all engines of an output folder: files for which each engine looks with its heartbeats.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::bounded;
use reeldeck_common::video::VideoName;
use serde::{Deserialize, Serialize};

/// All engines have seen an order after this time.
const KEPT: Duration = Duration::from_secs(600);

/// The largest order that is read, in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// An order to all engines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// Suspend the workers.
    Pause,
    /// Resume the workers.
    Resume,
    /// End the run; true: without the videos in progress.
    Stop(bool),
    /// Retry these failed videos.
    Retry(Vec<VideoName>),
    /// Retry the failed videos that one of the patterns matches; all of them without a pattern. Each engine looks for those
    /// whose failure it knows.
    RetryMatching(Vec<String>),
    /// Extract these again, whatever their result.
    Redo(Vec<VideoName>),
    /// Exclude these videos, or include them again. The list of excluded videos is written already.
    Exclude {
        /// The videos.
        videos: Vec<VideoName>,
        /// Include them again.
        undo: bool,
    },
}

/// An order and the engine that carries it out already.
#[derive(Serialize, Deserialize)]
struct Given {
    order: Order,
    except: Option<String>,
}

fn folder(private: &Path) -> PathBuf {
    private.join("orders")
}

/// Gives an order to all engines. `except`: the engine that carries it out already.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn give(private: &Path, order: Order, except: Option<String>) -> io::Result<()> {
    let name = format!("{:x}-{}.json", Timestamp::now().as_nanosecond(), std::process::id());
    let text = serde_json::to_string(&Given { order, except })?;
    atomic::write(&folder(private).join(name), &Owner::this_process(), |writer| writeln!(writer, "{text}"))
}

/// The orders that an engine has seen.
pub(crate) struct Orders {
    private: PathBuf,
    me: String,
    /// When each file was seen first.
    seen: BTreeMap<PathBuf, Instant>,
}

impl Orders {
    /// For the engine `me`. Orders that were given before do not concern it.
    pub(crate) fn new(private: &Path, me: &str) -> Self {
        let mut orders = Self { private: private.to_owned(), me: me.to_owned(), seen: BTreeMap::new() };
        // A folder that cannot be read now is read with the next heartbeat.
        let _ = orders.look();
        orders
    }

    /// The orders that were given since the last look. Removes those that all engines have seen.
    ///
    /// # Errors
    /// When the folder exists and cannot be read.
    pub(crate) fn look(&mut self) -> io::Result<Vec<Order>> {
        let entries = match fs::read_dir(folder(&self.private)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
            entries => entries?,
        };
        let mut paths = vec![];
        for entry in entries {
            paths.push(entry?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        let mut orders = vec![];
        for path in &paths {
            match self.seen.get(path) {
                // If it cannot be removed, later engines ignore it as old.
                Some(since) if since.elapsed() > KEPT => drop(fs::remove_file(path)),
                Some(_) => {}
                None => {
                    let text = match bounded::read(path, MAX_BYTES) {
                        Ok(text) => text,
                        // Not an order. Any other error may be over with the next heartbeat.
                        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge) => {
                            vec![]
                        }
                        Err(_) => continue,
                    };
                    self.seen.insert(path.clone(), Instant::now());
                    let given: Option<Given> = serde_json::from_slice(&text).ok();
                    orders
                        .extend(given.filter(|given| given.except.as_ref() != Some(&self.me)).map(|given| given.order));
                }
            }
        }
        self.seen.retain(|path, _| paths.contains(path));
        Ok(orders)
    }

    /// Removes all orders. Call it if no other engine runs.
    pub(crate) fn clear(&mut self) {
        let _ = self.look();
        let folder = folder(&self.private);
        for path in self.seen.keys() {
            let _ = fs::remove_file(path);
        }
        // Only an empty folder is removed.
        let _ = fs::remove_dir(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_sees_an_order_once_and_none_that_was_given_before() {
        let dir = tempfile::tempdir().unwrap();
        let video = VideoName::new("A/v.mp4").unwrap();
        assert!(Orders::new(dir.path(), "a").look().unwrap().is_empty());
        give(dir.path(), Order::Pause, None).unwrap();
        let (mut a, mut b) = (Orders::new(dir.path(), "a"), Orders::new(dir.path(), "b"));
        give(dir.path(), Order::Resume, Some("a".into())).unwrap();
        give(dir.path(), Order::Retry(vec![video.clone()]), None).unwrap();
        assert_eq!(a.look().unwrap(), [Order::Retry(vec![video.clone()])]);
        assert_eq!(b.look().unwrap(), [Order::Resume, Order::Retry(vec![video])]);
        assert!(a.look().unwrap().is_empty() && b.look().unwrap().is_empty());
        fs::write(folder(dir.path()).join("x.json"), "{").unwrap();
        assert!(a.look().unwrap().is_empty());
        a.clear();
        assert!(!folder(dir.path()).exists());
    }
}
