//! The algorithm of each convolution on a CPU: oneDNN's direct one, or one of our own where that is faster.
//!
//! The two differ in the last digits. So that features do not depend on how busy the machine was, a layer is measured once, and
//! the choice is kept in a file for all later runs on this kind of processor.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::error::is_absent;
use reeldeck_common::versions::LIBTORCH;
use reeldeck_common::{bounded, machine, open};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::error::ModelError;
use crate::winograd::Isa;

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// As the sum of all products.
    Direct,
    /// By F(4,3), see [`crate::winograd`].
    Winograd,
    /// The convolutions at the end of a block together, see [`crate::expansion`].
    Fused,
}

/// The number of algorithms.
pub(crate) const ALGORITHMS: usize = 3;

/// How the algorithms of a network are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// The direct one everywhere.
    Direct,
    /// These wherever they are possible.
    Always(&'a [Algorithm]),
    /// The faster one of each layer according to this file. Layers that it lacks are measured and added to it. If they cannot be
    /// added, the direct one is used, because a later run might measure otherwise.
    Fastest(&'a Path),
}

/// The algorithms of a network while it is built.
pub(crate) struct Algorithms<'a> {
    choice: Choice<'a>,
    /// The content of the file, once it was read.
    kept: RefCell<Option<Kept>>,
    /// Held from the first measurement on, so that two workers that start together do not measure both.
    lock: RefCell<Option<File>>,
    /// Whether choices cannot be kept.
    is_forgetful: Cell<bool>,
    /// Layers by each algorithm.
    counts: Cell<[usize; ALGORITHMS]>,
}

/// The measured layers of each kind of processor.
type Kept = BTreeMap<String, BTreeMap<String, Algorithm>>;

/// The measurements of a network take seconds. A worker that holds the lock for longer is paused or hangs.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A layer takes some 200 bytes.
const MAX_BYTES: u64 = 16 << 20;

/// How often each algorithm runs in a measurement, after a run that counts for nothing.
const RUNS: usize = 5;

/// Multiplications of the smallest layer that is measured. A smaller one takes less than a millisecond.
const LEAST_PRODUCTS: i64 = 100_000_000;

/// How much less time the other algorithm must take. A choice that is close would depend on chance.
const MARGIN: f64 = 0.9;

impl<'a> Algorithms<'a> {
    pub(crate) fn new(choice: Choice<'a>) -> Self {
        Self {
            choice,
            kept: RefCell::default(),
            lock: RefCell::default(),
            is_forgetful: Cell::default(),
            counts: Cell::default(),
        }
    }

    /// The algorithm of a layer with this number of multiplications: the direct one, or this other one. `time` measures one run
    /// of an algorithm.
    ///
    /// # Errors
    /// When `time` fails.
    pub(crate) fn choose(
        &self,
        layer: &str,
        products: i64,
        other: Algorithm,
        time: impl FnMut(Algorithm) -> Result<Duration, ModelError>,
    ) -> Result<Algorithm, ModelError> {
        match self.choice {
            Choice::Always(these) if these.contains(&other) => Ok(other),
            Choice::Direct | Choice::Always(_) => Ok(Algorithm::Direct),
            Choice::Fastest(_) if products < LEAST_PRODUCTS => Ok(Algorithm::Direct),
            Choice::Fastest(file) => self.fastest(file, layer, other, time),
        }
    }

    fn fastest(
        &self,
        file: &Path,
        layer: &str,
        other: Algorithm,
        time: impl FnMut(Algorithm) -> Result<Duration, ModelError>,
    ) -> Result<Algorithm, ModelError> {
        let processor = processor();
        let mut kept = self.kept.borrow_mut();
        let kept = match &mut *kept {
            Some(kept) => kept,
            none => match self::kept(file) {
                Ok(read) => none.insert(read),
                Err(error) => return Ok(self.forget(file, &error)),
            },
        };
        let known = |kept: &Kept| kept.get(&processor)?.get(layer).copied();
        if let Some(found) = known(kept) {
            return Ok(found);
        }
        if self.is_forgetful.get() {
            return Ok(Algorithm::Direct);
        }
        let mut lock = self.lock.borrow_mut();
        if lock.is_none() {
            match hold(file) {
                Ok(held) => *lock = Some(held),
                Err(error) => return Ok(self.forget(file, &error)),
            }
            *kept = match self::kept(file) {
                Ok(read) => read,
                Err(error) => return Ok(self.forget(file, &error)),
            };
            if let Some(found) = known(kept) {
                return Ok(found);
            }
        }
        let found = measure(layer, other, time)?;
        kept.entry(processor).or_default().insert(layer.into(), found);
        let text = serde_json::to_vec_pretty(&kept).map_err(io::Error::other);
        match text.and_then(|text| atomic::write(file, &Owner::this_process(), |out| out.write_all(&text))) {
            Ok(()) => Ok(found),
            Err(error) => Ok(self.forget(file, &error)),
        }
    }

    /// Uses the direct algorithm for this layer and all others that the file lacks.
    fn forget(&self, file: &Path, error: &io::Error) -> Algorithm {
        let file = file.display();
        warn!(
            "convolutions run directly, which is slower, because the measured algorithms cannot be kept in {file}: {error}"
        );
        self.is_forgetful.set(true);
        Algorithm::Direct
    }

    /// Counts a layer.
    pub(crate) fn count(&self, algorithm: Algorithm) {
        let mut counts = self.counts.get();
        counts[algorithm as usize] += 1;
        self.counts.set(counts);
    }

    /// The algorithms in words.
    pub(crate) fn describe(&self) -> String {
        let [direct, winograd, fused] = self.counts.get();
        let all = direct + winograd + fused;
        let mut words = vec![];
        if winograd > 0 {
            words.push(format!("Winograd F(4,3) in {winograd} of {all}"));
        }
        if fused > 0 {
            words.push(format!("fused ends of blocks in {fused} of {all}"));
        }
        if words.is_empty() { "direct".into() } else { format!("{}, else direct", words.join(", ")) }
    }
}

/// Times both algorithms in turn, and compares the shortest runs.
fn measure(
    layer: &str,
    other: Algorithm,
    mut time: impl FnMut(Algorithm) -> Result<Duration, ModelError>,
) -> Result<Algorithm, ModelError> {
    let mut least = [Duration::MAX; 2];
    for run in 0..=RUNS {
        for (least, algorithm) in least.iter_mut().zip([Algorithm::Direct, other]) {
            let once = time(algorithm)?;
            if run > 0 {
                *least = once.min(*least);
            }
        }
    }
    let [direct, others] = least.map(|time| time.as_secs_f64());
    let found = if others <= direct * MARGIN { other } else { Algorithm::Direct };
    info!(layer, direct_ms = direct * 1e3, other_ms = others * 1e3, ?other, "measured convolutions: {found:?}");
    Ok(found)
}

/// What the speeds depend on, apart from the layer. A release of reeldeck may change its own algorithms, and a build for tests has
/// slow ones. Virtual machines may hide instruction sets of the processor.
pub(crate) fn processor() -> String {
    let (isa, version) = (Isa::fastest(), env!("CARGO_PKG_VERSION"));
    let build = if cfg!(debug_assertions) { ", debug" } else { "" };
    format!("{}, {isa:?} | libtorch {LIBTORCH} | reeldeck {version}{build}", machine::processor())
}

/// Reads a file of measurements. A file that does not exist or has another form counts as empty.
///
/// # Errors
/// When it exists and cannot be read. Taken as empty, it would be overwritten.
pub(crate) fn kept<T: Default + DeserializeOwned>(file: &Path) -> io::Result<T> {
    match bounded::read(file, MAX_BYTES) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
        Err(error) if is_absent(&error) => Ok(T::default()),
        Err(error) => Err(error),
    }
}

/// Waits until no other worker measures, for at most [`LONGEST_WAIT`].
fn hold(file: &Path) -> io::Result<File> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut path = file.as_os_str().to_owned();
    path.push(".lock");
    let lock = open::append(&PathBuf::from(path))?;
    open::lock(&lock, LONGEST_WAIT)?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    /// Runs that take this long.
    fn taking(direct: u64, winograd: u64) -> impl FnMut(Algorithm) -> Result<Duration, ModelError> {
        move |algorithm| Ok(ms(if algorithm == Algorithm::Direct { direct } else { winograd }))
    }

    fn never(_: Algorithm) -> Result<Duration, ModelError> {
        panic!("measured again")
    }

    #[test]
    fn the_faster_algorithm_is_chosen_by_a_margin() {
        for (direct, winograd, expected) in
            [(100, 50, Algorithm::Winograd), (100, 90, Algorithm::Winograd), (100, 95, Algorithm::Direct)]
        {
            assert_eq!(
                measure("a", Algorithm::Winograd, taking(direct, winograd)).unwrap(),
                expected,
                "{direct} {winograd}"
            );
        }
        // One slow run, and the first one of each, change nothing.
        let mut runs = 0;
        let slow_at_times = |algorithm| {
            runs += 1;
            let slow = runs <= 2 || runs == 6;
            Ok(ms(if slow {
                900
            } else if algorithm == Algorithm::Direct {
                100
            } else {
                60
            }))
        };
        assert_eq!(measure("a", Algorithm::Winograd, slow_at_times).unwrap(), Algorithm::Winograd);
    }

    #[test]
    fn a_choice_is_kept_for_later_runs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cache/convolutions.json");
        let first = Algorithms::new(Choice::Fastest(&file));
        assert_eq!(
            first.choose("a", LEAST_PRODUCTS, Algorithm::Winograd, taking(100, 50)).unwrap(),
            Algorithm::Winograd
        );
        assert_eq!(first.choose("b", LEAST_PRODUCTS, Algorithm::Winograd, taking(50, 100)).unwrap(), Algorithm::Direct);
        drop(first);
        let second = Algorithms::new(Choice::Fastest(&file));
        assert_eq!(second.choose("a", LEAST_PRODUCTS, Algorithm::Winograd, never).unwrap(), Algorithm::Winograd);
        assert_eq!(second.choose("b", LEAST_PRODUCTS, Algorithm::Winograd, never).unwrap(), Algorithm::Direct);
        assert_eq!(
            second.choose("c", LEAST_PRODUCTS, Algorithm::Winograd, taking(100, 10)).unwrap(),
            Algorithm::Winograd
        );
        assert_eq!(kept::<Kept>(&file).unwrap()[&processor()].len(), 3);
    }

    /// Workers that start together measure differently, and must choose the same.
    #[test]
    fn workers_that_start_together_agree() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("convolutions.json");
        let start = std::sync::Barrier::new(8);
        let choose = |winograd| {
            let algorithms = Algorithms::new(Choice::Fastest(&file));
            // All have read the file before one of them measures.
            *algorithms.kept.borrow_mut() = Some(kept(&file).unwrap());
            start.wait();
            algorithms.choose("a", LEAST_PRODUCTS, Algorithm::Winograd, taking(100, winograd)).unwrap()
        };
        let chosen: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..8).map(|i| scope.spawn(move || choose(if i % 2 == 0 { 10 } else { 1000 }))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        assert!(chosen.iter().all(|one| *one == chosen[0]), "{chosen:?}");
    }

    #[test]
    fn without_a_file_that_can_be_written_the_choice_is_direct() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let inside = file.join("convolutions.json");
        let algorithms = Algorithms::new(Choice::Fastest(&inside));
        for layer in ["a", "b"] {
            assert_eq!(
                algorithms.choose(layer, LEAST_PRODUCTS, Algorithm::Winograd, never).unwrap(),
                Algorithm::Direct
            );
        }
        // The lock can be taken, but the file cannot be replaced.
        let folder = folder.path().join("convolutions.json");
        fs::create_dir(&folder).unwrap();
        let algorithms = Algorithms::new(Choice::Fastest(&folder));
        assert_eq!(
            algorithms.choose("a", LEAST_PRODUCTS, Algorithm::Winograd, taking(100, 10)).unwrap(),
            Algorithm::Direct
        );
        assert_eq!(algorithms.choose("b", LEAST_PRODUCTS, Algorithm::Winograd, never).unwrap(), Algorithm::Direct);
    }

    #[test]
    fn small_layers_are_direct() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("convolutions.json");
        let algorithms = Algorithms::new(Choice::Fastest(&file));
        assert_eq!(algorithms.choose("a", LEAST_PRODUCTS - 1, Algorithm::Winograd, never).unwrap(), Algorithm::Direct);
        assert!(!file.exists());
    }

    #[test]
    fn a_damaged_file_counts_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("convolutions.json");
        fs::write(&file, "{\"x\": 1}").unwrap();
        let algorithms = Algorithms::new(Choice::Fastest(&file));
        assert_eq!(
            algorithms.choose("a", LEAST_PRODUCTS, Algorithm::Winograd, taking(100, 10)).unwrap(),
            Algorithm::Winograd
        );
        assert_eq!(kept::<Kept>(&file).unwrap().len(), 1);
    }

    #[test]
    fn the_algorithms_are_described() {
        let algorithms = Algorithms::new(Choice::Direct);
        algorithms.count(Algorithm::Direct);
        assert_eq!(algorithms.describe(), "direct");
        algorithms.count(Algorithm::Winograd);
        assert_eq!(algorithms.describe(), "Winograd F(4,3) in 1 of 2, else direct");
        (0..2).for_each(|_| algorithms.count(Algorithm::Fused));
        assert_eq!(algorithms.describe(), "Winograd F(4,3) in 1 of 4, fused ends of blocks in 2 of 4, else direct");
    }
}
