//! The outputs of a network.

use tch::Tensor;

use crate::error::ModelError;

/// The results for a batch of clips, in 32 bits on the device.
pub struct Rows {
    /// clips × channels.
    pub pooled: Tensor,
    /// clips × classes, if the network has class scores.
    pub logits: Option<Tensor>,
}

impl Rows {
    /// The rows of these and those of `next`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn join(self, next: Self) -> Result<Self, ModelError> {
        let join = |a: Tensor, b: Tensor| Tensor::f_cat(&[a, b], 0);
        Ok(Self {
            pooled: join(self.pooled, next.pooled)?,
            logits: self.logits.zip(next.logits).map(|(a, b)| join(a, b)).transpose()?,
        })
    }
}
