//! `result.pkl`, MMAction2's file of scores, which training scripts read. It is written one video at a time.

mod read;

use std::io::{self, Write};

pub use read::{ResultSample, Results, ResultsError, SampleError, Samples, read_results};

use crate::tensor::{Dtype, row_major_strides};
use crate::torch::legacy;
use crate::write::{PickleWriter, invalid, write_f32s, write_i64s};

/// The memo entry of the current video's scores.
const SCORES: u8 = 0;

/// The scores of a video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The scores, `clips` × `classes` in row-major order.
    pub scores: &'a [f32],
    /// The number of clips.
    pub clips: usize,
    /// The number of classes.
    pub classes: usize,
    /// The index of the video's class in the list of videos.
    pub label: i64,
    /// Height and width of the model's input in pixels.
    pub img_shape: (usize, usize),
}

/// Writes `result.pkl`, a list of dicts in protocol 2. It keeps only one video in memory.
///
/// The keys and their order are MMAction2's: `img_shape`, `num_classes`, `pred_score`, `gt_label`, `pred_label`; then
/// `pred_scores`, a dict whose `item` is the tensor of `pred_score`, for scripts that expect older versions. `num_classes`
/// is the number of *clips*, as in the original extraction, because scripts may depend on it.
#[derive(Debug)]
#[must_use = "the file is complete only after `finish`"]
pub struct ResultsWriter<W: Write> {
    pickle: PickleWriter<W>,
    /// The bytes of the current tensor, kept to reuse the allocation.
    storage: Vec<u8>,
    /// The number of tensors so far, which is the key of the next storage.
    tensors: u64,
}

impl<W: Write> ResultsWriter<W> {
    /// Begins the list.
    ///
    /// # Errors
    /// When writing to `out` fails.
    pub fn new(out: W) -> io::Result<Self> {
        let mut pickle = PickleWriter::new(out)?;
        pickle.empty_list()?;
        Ok(Self { pickle, storage: Vec::new(), tensors: 0 })
    }

    /// Appends a video. After an error the output is invalid.
    ///
    /// # Errors
    /// When writing to `out` fails, and [`io::ErrorKind::InvalidInput`] when there are no classes, or the number of scores is
    /// not `clips` × `classes`.
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
    /// When writing to `out` fails.
    pub fn finish(self) -> io::Result<W> {
        let mut out = self.pickle.finish()?;
        out.flush()?;
        Ok(out)
    }

    /// `_rebuild_tensor_v2(_load_from_bytes(bytes), offset, shape, strides, requires_grad, backward_hooks)`: how PyTorch
    /// pickles a tensor outside `torch.save`.
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

/// The class with the highest score. As in `torch.argmax`, NaN is the highest value, and the first of equal scores wins.
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
    fn best_class_agrees_with_torch_argmax() {
        assert_eq!(best_class(&[1.0, 3.0, 2.0]), 1);
        assert_eq!(best_class(&[3.0, 1.0, 3.0]), 0);
        assert_eq!(best_class(&[f32::NEG_INFINITY; 3]), 0);
        assert_eq!(best_class(&[-0.0, 0.0]), 0);
        assert_eq!(best_class(&[1.0, f32::INFINITY, f32::NAN, f32::NAN]), 2);
    }

    #[test]
    fn a_wrong_number_of_scores_is_refused() {
        let mut writer = ResultsWriter::new(Vec::new()).unwrap();
        let sample = Sample { scores: &[0.0; 6], clips: 2, classes: 4, label: 0, img_shape: (256, 256) };
        assert_eq!(writer.push(&sample).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(writer.push(&Sample { clips: 0, classes: 0, scores: &[], ..sample }).is_err());
    }
}
