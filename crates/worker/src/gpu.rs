//! The GPU's decoder for decode threads.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reeldeck_common::error::Failure;
use reeldeck_common::protocol;
use reeldeck_video::nvdec::Nvdec;
use tracing::warn;

/// The GPU's decoder, from which each decode thread opens its own.
#[derive(Clone)]
pub(crate) struct Gpu {
    config: protocol::Nvdec,
    /// Whether it has been logged that NVDEC refuses some videos.
    has_warned: Arc<AtomicBool>,
}

/// The GPU's decoder for one thread.
pub(crate) struct GpuDecoder {
    nvdec: Nvdec,
    has_warned: Arc<AtomicBool>,
}

impl Gpu {
    /// Checks that the decoder exists. `None` if there is none, which is logged; the CPU then decodes.
    pub(crate) fn find(config: protocol::Nvdec) -> Option<Self> {
        let gpu = Self { config, has_warned: Arc::default() };
        gpu.decoder().map(|_| gpu)
    }

    /// The decoder for the calling thread. `None` if it cannot be opened, which is logged.
    pub(crate) fn decoder(&self) -> Option<GpuDecoder> {
        let gpu = self.config.gpu;
        let opened = Nvdec::open(gpu).inspect_err(|error| {
            let why = Failure::from_error(error.kind(), error).line();
            warn!(gpu, "no NVDEC, the CPU decodes instead: {why}; `reeldeck doctor` looks for the driver");
        });
        Some(GpuDecoder { nvdec: opened.ok()?, has_warned: Arc::clone(&self.has_warned) })
    }
}

impl GpuDecoder {
    /// The decoder.
    pub(crate) fn nvdec(&self) -> &Nvdec {
        &self.nvdec
    }

    /// Logs the first video that NVDEC refused.
    pub(crate) fn warn_refused(&self, path: &Path) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            warn!(file = %path.display(), "NVDEC does not support this video; the CPU decodes it and similar ones");
        }
    }
}
