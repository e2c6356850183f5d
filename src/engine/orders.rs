//! Orders to all engines of an output folder: files for which each engine looks with its heartbeats.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::bounded;
use reeldeck_common::clock;
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
#[derive(Clone, Serialize, Deserialize)]
struct Given {
    order: Order,
    except: Option<String>,
}

/// When an engine got an order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    instant: Instant,
    /// By the system clock, in nanoseconds.
    time: i128,
}

impl Asked {
    /// At present.
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), time: clock::now().as_nanosecond() }
    }
}

fn folder(private: &Path) -> PathBuf {
    private.join("orders")
}

/// Gives an order to all engines. It is later than all orders that exist. `except`: the engine that carries it out already.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn give(private: &Path, order: Order, except: Option<String>) -> io::Result<()> {
    let last = paths(private).ok().and_then(|paths| time_of(paths.last()?));
    write(private, after(last, clock::now().as_nanosecond()), order, except)
}

/// A time after `last`: the clocks of two machines may differ.
fn after(last: Option<i128>, time: i128) -> i128 {
    last.map_or(time, |last| time.max(last.saturating_add(1)))
}

fn write(private: &Path, time: i128, order: Order, except: Option<String>) -> io::Result<()> {
    let name = format!("{time:032x}-{}.json", std::process::id());
    let text = serde_json::to_string(&Given { order, except })?;
    atomic::write(&folder(private).join(name), &Owner::this_process(), |writer| writeln!(writer, "{text}"))
}

/// The files of all orders, oldest first.
fn paths(private: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder(private)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    Ok(paths)
}

/// The time in the name of an order, in nanoseconds.
fn time_of(path: &Path) -> Option<i128> {
    let (time, _) = path.file_name()?.to_str()?.split_once('-')?;
    i128::from_str_radix(time, 16).ok()
}

impl Order {
    /// Removes what a later order has changed; `None` if nothing is left.
    fn without(self, later: &Self) -> Option<Self> {
        match (self, later) {
            (Self::Pause | Self::Resume, Self::Pause | Self::Resume) => None,
            (Self::Exclude { mut videos, undo }, Self::Exclude { videos: changed, .. }) => {
                videos.retain(|video| !changed.contains(video));
                (!videos.is_empty()).then_some(Self::Exclude { videos, undo })
            }
            (order, _) => Some(order),
        }
    }
}

/// The orders that an engine has seen.
pub(crate) struct Orders {
    private: PathBuf,
    me: String,
    /// When each file was seen first, and the order if it may change an earlier one.
    seen: BTreeMap<PathBuf, (Instant, Option<Order>)>,
    /// The time of the last order that this engine has passed on.
    passed_on: Option<i128>,
}

impl Orders {
    /// For the engine `me`. Orders that were given before do not concern it.
    pub(crate) fn new(private: &Path, me: &str) -> Self {
        let mut orders =
            Self { private: private.to_owned(), me: me.to_owned(), seen: BTreeMap::new(), passed_on: None };
        // A folder that cannot be read now is read with the next heartbeat.
        let _ = orders.look();
        orders
    }

    /// Passes on an order that this engine got at `asked` and carries out itself. It is later than the orders that were seen
    /// before `asked`, and not later than those of other engines that came while this one waited for the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn pass_on(&mut self, order: Order, asked: Asked) -> io::Result<()> {
        let before = self.seen.iter().filter(|(_, (since, _))| *since <= asked.instant);
        let last = before.filter_map(|(path, _)| time_of(path)).max().max(self.passed_on);
        let time = after(last, asked.time);
        self.passed_on = Some(time);
        write(&self.private, time, order, Some(self.me.clone()))
    }

    /// The orders that were given since the last look. Removes those that all engines have seen.
    ///
    /// # Errors
    /// When the folder exists and cannot be read.
    pub(crate) fn look(&mut self) -> io::Result<Vec<Order>> {
        let paths = paths(&self.private)?;
        let mut orders = vec![];
        for path in &paths {
            match self.seen.get(path) {
                // If it cannot be removed, later engines ignore it as old.
                Some((since, _)) if since.elapsed() > KEPT => drop(fs::remove_file(path)),
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
                    let given: Option<Given> = serde_json::from_slice(&text).ok();
                    let order = given.as_ref().map(|given| &given.order);
                    let changes =
                        order.filter(|order| matches!(order, Order::Pause | Order::Resume | Order::Exclude { .. }));
                    self.seen.insert(path.clone(), (Instant::now(), changes.cloned()));
                    let given = given.filter(|given| given.except.as_ref() != Some(&self.me));
                    orders.extend(given.map(|given| (path, given.order)));
                }
            }
        }
        self.seen.retain(|path, _| paths.contains(path));
        // A later order is in force already if this engine gave it.
        let in_force = |(path, order): (&PathBuf, Order)| {
            let mut later = self.seen.range(path.clone()..).skip(1).filter_map(|(_, (_, order))| order.as_ref());
            later.try_fold(order, Order::without)
        };
        Ok(orders.into_iter().filter_map(in_force).collect())
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

    #[test]
    fn an_order_that_is_written_late_keeps_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (Orders::new(dir.path(), "a"), Orders::new(dir.path(), "b"));
        let asked = Asked::now();
        b.pass_on(Order::Resume, Asked::now()).unwrap();
        a.pass_on(Order::Pause, asked).unwrap();
        assert_eq!((a.look().unwrap(), b.look().unwrap()), (vec![Order::Resume], vec![]));
        // Two orders of one engine keep their order, also if its clock is set back.
        a.passed_on = Some(i128::from(i64::MAX));
        a.pass_on(Order::Pause, Asked::now()).unwrap();
        a.pass_on(Order::Resume, Asked::now()).unwrap();
        assert_eq!(b.look().unwrap(), [Order::Resume]);
        // An order that an engine has seen is earlier, also if the clock of another machine is ahead.
        b.pass_on(Order::Pause, Asked::now()).unwrap();
        assert_eq!(a.look().unwrap(), [Order::Pause]);
    }

    #[test]
    fn an_order_that_a_later_one_has_changed_is_not_carried_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut b = Orders::new(dir.path(), "b");
        let video = |name: &str| VideoName::new(name).unwrap();
        let exclude =
            |videos: &[&str], undo| Order::Exclude { videos: videos.iter().map(|v| video(v)).collect(), undo };
        give(dir.path(), Order::Pause, Some("a".into())).unwrap();
        give(dir.path(), exclude(&["A/1.mp4", "A/2.mp4"], false), Some("a".into())).unwrap();
        give(dir.path(), Order::Resume, Some("b".into())).unwrap();
        give(dir.path(), exclude(&["A/2.mp4"], true), Some("b".into())).unwrap();
        assert_eq!(b.look().unwrap(), [exclude(&["A/1.mp4"], false)]);
        // The same for orders whose changes were seen before, on a machine whose clock is ahead.
        fs::rename(&paths(dir.path()).unwrap()[2], folder(dir.path()).join(format!("{:032x}-1.json", i64::MAX)))
            .unwrap();
        b.look().unwrap();
        give(dir.path(), Order::Pause, Some("a".into())).unwrap();
        assert_eq!(b.look().unwrap(), [Order::Pause]);
    }
}
