//! The outputs of a network.

use tch::Tensor;

/// The results for a batch of clips, in 32 bits on the device.
pub struct Rows {
    /// clips × channels.
    pub pooled: Tensor,
    /// clips × classes, if the network has class scores.
    pub logits: Option<Tensor>,
}
