//! Passes of a GPU that fail for a reason that is not known: once more in halves, before anything is charged to a video.

use reeldeck_common::error::ErrorKind;
use tracing::warn;

use crate::error::ModelError;

/// Whether the passes of a video run in halves.
pub(crate) struct Passes {
    retries: bool,
    halved: bool,
}

impl Passes {
    /// For the passes of a video. Only if `retries`, a failed pass is run again.
    pub(crate) fn new(retries: bool) -> Self {
        Self { retries, halved: false }
    }

    /// Runs a pass over `count` rows. `pass` gets the first row and the number of rows; `join` joins two results. If a pass fails, it
    /// is run once more in two halves, and so are the later ones. A lack of memory is reported at once, because the engine then
    /// reduces the batch for all videos.
    ///
    /// # Errors
    /// Those of `pass`; if both attempts fail, the first one.
    pub(crate) fn run<T>(
        &mut self,
        count: usize,
        pass: impl Fn(usize, usize) -> Result<T, ModelError>,
        join: impl FnOnce(T, T) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        let half = count / 2;
        let in_halves = || join(pass(0, half)?, pass(half, count - half)?);
        if self.halved && count > 1 {
            return in_halves();
        }
        let error = match pass(0, count) {
            Err(error) if self.retries && count > 1 && error.kind() != ErrorKind::OutOfMemory => error,
            other => return other,
        };
        match in_halves() {
            Ok(rows) => {
                warn!("the GPU failed and works with half the frames: {error}");
                self.halved = true;
                Ok(rows)
            }
            Err(_) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Runs passes that fail with a text for more than `most` rows. Returns the sizes of all passes.
    fn sizes(retries: bool, most: usize, text: &str, counts: &[usize]) -> (Vec<usize>, bool) {
        let (mut passes, sizes) = (Passes::new(retries), RefCell::new(vec![]));
        let pass = |start: usize, rows: usize| {
            sizes.borrow_mut().push(rows);
            let failed = || ModelError::Torch(tch::TchError::Torch(text.into()));
            if rows > most { Err(failed()) } else { Ok((start..start + rows).collect::<Vec<_>>()) }
        };
        let works = counts.iter().all(|count| {
            let Ok(rows) = passes.run(*count, pass, |a, b| Ok([a, b].concat())) else { return false };
            assert_eq!(rows, (0..*count).collect::<Vec<_>>());
            true
        });
        (sizes.into_inner(), works)
    }

    #[test]
    fn a_failed_pass_is_run_once_more_in_halves_unless_memory_runs_out() {
        let text = "a text that is not known";
        assert_eq!(sizes(true, 9, text, &[8, 9]), (vec![8, 9], true));
        assert_eq!(sizes(true, 5, text, &[4, 9, 8, 1]), (vec![4, 9, 4, 5, 4, 4, 1], true));
        assert_eq!(sizes(true, 3, text, &[9]), (vec![9, 4], false), "once");
        assert_eq!(sizes(true, 0, text, &[1]), (vec![1], false), "one row has no halves");
        assert_eq!(sizes(false, 5, text, &[9]), (vec![9], false), "not on a CPU");
        assert_eq!(sizes(true, 5, "CUDA out of memory", &[9]), (vec![9], false), "the engine halves the batch");
    }
}
