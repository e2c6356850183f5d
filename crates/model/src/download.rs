//! Transfers the outputs of the network to the host.
//!
//! On a GPU they leave on a stream of their own. So the stream that computes waits for no transfer, and neither does the thread that
//! submits its work. **The GPU path has never been run on a GPU**; the worker's tests run it on a fake one.

use tch::{Device, Tensor};
use tracing::warn;

use crate::error::ModelError;
use crate::rows::Rows;
use crate::streams::{self, CopyStream, Event};

/// Transfers outputs from a device.
pub(crate) struct Download {
    stream: Option<CopyStream>,
}

impl Download {
    /// For this device. Without a separate stream, the transfer from a GPU is slower.
    pub(crate) fn new(device: Device) -> Self {
        let stream = match device {
            Device::Cuda(gpu) => CopyStream::new(device)
                .inspect_err(|error| warn!(gpu, "no stream for features, so the GPU waits for them: {error}"))
                .ok(),
            _ => None,
        };
        Self { stream }
    }

    /// Starts the transfer of outputs that the calling thread has computed or submitted.
    pub(crate) fn start(&self, rows: Rows) -> Incoming {
        // Pinned memory is limited. Without it, the thread that needs the outputs copies them.
        let sent = self.stream.as_ref().filter(|_| streams::are_usable()).and_then(|stream| match &rows.logits {
            Some(logits) => {
                let ([pooled, logits], arrived) = stream.fetch([&rows.pooled, logits]).ok()?;
                Some(Incoming { rows: Rows { pooled, logits: Some(logits) }, arrived: Some(arrived) })
            }
            None => {
                let ([pooled], arrived) = stream.fetch([&rows.pooled]).ok()?;
                Some(Incoming { rows: Rows { pooled, logits: None }, arrived: Some(arrived) })
            }
        });
        sent.unwrap_or(Incoming { rows, arrived: None })
    }
}

/// Outputs on their way to the host.
pub(crate) struct Incoming {
    rows: Rows,
    /// When they are there; `None` if they are still on the device, or always were on the host.
    arrived: Option<Event>,
}

impl Incoming {
    /// Waits for the outputs and appends them to `pooled` and `logits`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn append_to(&self, pooled: &mut Vec<f32>, logits: &mut Vec<f32>) -> Result<(), ModelError> {
        if let Some(arrived) = &self.arrived {
            arrived.wait()?;
        }
        let numbers = |tensor: &Tensor| -> Result<Vec<f32>, ModelError> {
            Ok(Vec::try_from(tensor.f_to(Device::Cpu)?.f_flatten(0, -1)?)?)
        };
        pooled.extend(numbers(&self.rows.pooled)?);
        if let Some(rows) = &self.rows.logits {
            logits.extend(numbers(rows)?);
        }
        Ok(())
    }
}
