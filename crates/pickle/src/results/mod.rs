//! `result.pkl`, the file in which MMAction2 leaves its scores and which trainers' scripts read: written one video at a
//! time, read without running it.

mod read;

use std::io::{self, Write};

pub use read::{ResultSample, Results, ResultsError, SampleError, Samples, read_results};

use crate::tensor::{Dtype, row_major_strides};
use crate::torch::legacy;
use crate::write::{PickleWriter, invalid, write_f32s, write_i64s};

/// The memo entry of the scores of the video at hand.
const SCORES: u8 = 0;

/// The outcome for one video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The scores of all classes for the first clip, then those for the second, and so on: `clips` × `classes`.
    pub scores: &'a [f32],
    /// The number of clips.
    pub clips: usize,
    /// The number of classes.
    pub classes: usize,
    /// The class that the list of videos gives.
    pub label: i64,
    /// Height and width of what the model saw, in pixels.
    pub img_shape: (usize, usize),
}

/// Writes `result.pkl`, a list of dicts in protocol 2, one video after the other. Holds no more than one of them.
///
/// The keys are those of the original, in its order: `img_shape`, `num_classes`, `pred_score`, `gt_label`, `pred_label`;
/// then `pred_scores`, a dict whose `item` is the same tensor as `pred_score`, for scripts written for older versions.
/// `num_classes` is the number of *clips*: so it is in the original, and scripts may count on it.
#[derive(Debug)]
#[must_use = "the file is complete only after `finish`"]
pub struct ResultsWriter<W: Write> {
    pickle: PickleWriter<W>,
    /// The bytes of the tensor at hand, kept for their capacity.
    storage: Vec<u8>,
    /// How many tensors were written: each storage gets a key of its own.
    tensors: u64,
}

impl<W: Write> ResultsWriter<W> {
    /// Begins the list.
    ///
    /// # Errors
    /// Whatever `out` reports.
    pub fn new(out: W) -> io::Result<Self> {
        let mut pickle = PickleWriter::new(out)?;
        pickle.empty_list()?;
        Ok(Self { pickle, storage: Vec::new(), tensors: 0 })
    }

    /// Appends a video. After an error the output is of no use.
    ///
    /// # Errors
    /// Whatever `out` reports, and [`io::ErrorKind::InvalidInput`] where there are no classes or not as many scores as
    /// clips and classes ask for.
    pub fn push(&mut self, sample: &Sample<'_>) -> io::Result<()> {
        let &Sample { scores, clips, classes, label, img_shape: (height, width) } = sample;
        if classes == 0 || clips.checked_mul(classes) != Some(scores.len()) {
            let count = scores.len();
            return Err(invalid(format!("failed to write {count} scores as {clips} clips of {classes} classes")));
        }
        let best: Vec<i64> = scores.chunks_exact(classes).map(best_class).collect();

        self.pickle.empty_dict()?;
        self.pickle.mark()?;

        self.pickle.str("img_shape")?;
        self.pickle.sizes(&[height, width])?;

        self.pickle.str("num_classes")?;
        self.pickle.usize(clips)?;

        self.pickle.str("pred_score")?;
        self.tensor(Dtype::F32, &[clips, classes], |out| write_f32s(out, scores))?;
        self.pickle.put(SCORES)?;

        self.pickle.str("gt_label")?;
        self.tensor(Dtype::I64, &[1], |out| write_i64s(out, &[label]))?;

        self.pickle.str("pred_label")?;
        self.tensor(Dtype::I64, &[clips, 1], |out| write_i64s(out, &best))?;

        self.pickle.str("pred_scores")?;
        self.pickle.empty_dict()?;
        self.pickle.mark()?;
        self.pickle.str("item")?;
        self.pickle.get(SCORES)?;
        self.pickle.set_items()?;

        self.pickle.set_items()?;
        self.pickle.append()
    }

    /// Ends the list and flushes.
    ///
    /// # Errors
    /// Whatever `out` reports.
    pub fn finish(self) -> io::Result<W> {
        let mut out = self.pickle.finish()?;
        out.flush()?;
        Ok(out)
    }

    /// `_rebuild_tensor_v2(_load_from_bytes(bytes), offset, shape, strides, requires_grad, backward_hooks)`, which is how
    /// PyTorch pickles a tensor when it is not `torch.save` that asks.
    fn tensor(
        &mut self,
        dtype: Dtype,
        shape: &[usize],
        data: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        let key = self.tensors.to_string();
        self.tensors += 1;
        self.storage.clear();
        legacy::write_storage(&mut self.storage, dtype, &key, shape.iter().product(), data)?;

        self.pickle.global("torch._utils", "_rebuild_tensor_v2")?;
        self.pickle.mark()?;
        self.pickle.global("torch.storage", "_load_from_bytes")?;
        self.pickle.bytes(&self.storage)?;
        self.pickle.tuple1()?;
        self.pickle.reduce()?;
        self.pickle.int(0)?;
        self.pickle.sizes(shape)?;
        self.pickle.sizes(&row_major_strides(shape))?;
        self.pickle.bool(false)?;
        self.pickle.global("collections", "OrderedDict")?;
        self.pickle.empty_tuple()?;
        self.pickle.reduce()?;
        self.pickle.tuple()?;
        self.pickle.reduce()
    }
}

/// The class with the highest score. As in `torch.argmax`, NaN is higher than every number; of equals the first one counts.
fn best_class(scores: &[f32]) -> i64 {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, &score) in (0..).zip(scores) {
        if score.is_nan() {
            return class;
        }
        if score > best.1 {
            best = (class, score);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_class_is_that_of_torch_argmax() {
        assert_eq!(best_class(&[1.0, 3.0, 2.0]), 1);
        assert_eq!(best_class(&[3.0, 1.0, 3.0]), 0);
        assert_eq!(best_class(&[f32::NEG_INFINITY; 3]), 0);
        assert_eq!(best_class(&[-0.0, 0.0]), 0);
        assert_eq!(best_class(&[1.0, f32::INFINITY, f32::NAN, f32::NAN]), 2);
    }

    #[test]
    fn scores_that_do_not_fit_are_refused() {
        let mut writer = ResultsWriter::new(Vec::new()).unwrap();
        let sample = Sample { scores: &[0.0; 6], clips: 2, classes: 4, label: 0, img_shape: (256, 256) };
        assert_eq!(writer.push(&sample).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(writer.push(&Sample { clips: 0, classes: 0, scores: &[], ..sample }).is_err());
    }
}
