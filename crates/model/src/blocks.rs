//! The bottleneck blocks of ResNets.

use tch::Tensor;

use crate::builder::Builder;
use crate::conv::{Conv, Epilogue};
use crate::ends::End;
use crate::error::ModelError;
use crate::network::BlockSpec;

/// A bottleneck block.
pub(crate) struct Block {
    /// None if the end of the block before computes it.
    conv1: Option<Conv>,
    conv2: Conv,
    end: End,
}

impl Builder<'_> {
    /// Builds blocks that follow each other. `side` is the side of the input image, and becomes that of the output.
    ///
    /// # Errors
    /// As [`Builder::conv`].
    pub(crate) fn blocks<'s>(
        &self,
        specs: impl IntoIterator<Item = &'s BlockSpec>,
        side: &mut i64,
    ) -> Result<Vec<Block>, ModelError> {
        let (mut blocks, mut specs) = (Vec::<Block>::new(), specs.into_iter().peekable());
        while let Some(spec) = specs.next() {
            let before = *side;
            let is_computed = blocks.last().is_some_and(|block| block.end.reduces());
            let conv1 = if is_computed { None } else { Some(self.conv(&spec.conv1, side)?) };
            let conv2 = self.conv(&spec.conv2, side)?;
            let next = specs.peek().map(|next| &next.conv1).filter(|conv| conv.kernel == [1, 1, 1]);
            blocks.push(Block { conv1, conv2, end: self.end(spec, next, [before, *side])? });
        }
        Ok(blocks)
    }
}

/// Runs blocks that follow each other. `x` is frames × channels × height × width, and a clip has `length` frames.
///
/// # Errors
/// When memory runs out or libtorch fails.
pub(crate) fn run(blocks: &[Block], mut x: Tensor, length: i64) -> Result<Tensor, ModelError> {
    let mut reduced = None;
    for Block { conv1, conv2, end } in blocks {
        let y = match (reduced.take(), conv1) {
            (Some(y), _) => y,
            (None, Some(conv1)) => conv1.output(&x, length, Epilogue::Relu)?,
            (None, None) => return Err(ModelError::Internal("a block has no first convolution".into())),
        };
        let y = conv2.output(&y, length, Epilogue::Relu)?;
        (x, reduced) = end.run(x, &y)?;
    }
    Ok(x)
}
