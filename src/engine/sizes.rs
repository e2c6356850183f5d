//! The capacity of workers: decode threads, videos in progress, buffered frames, and the memory for them.

use reeldeck_common::protocol::Nvdec;

use crate::allocation::{Memory, cores};
use crate::config::measurements::{self, Measurement};
use crate::config::{Device, NvdecUse, Settings};

/// Buffered frames may fill this fraction (1/n) of the memory that is free at the start of a run.
const PREFETCH_PART: u64 = 4;

/// The frames of a group on a GPU.
const GROUP: u64 = 64;

/// The default number of videos that NVDEC decodes at a time. The worker lowers it on a card with few decoders.
const STREAMS: usize = 8;

/// `chosen`, or `otherwise` if it is 0, which means the default.
pub(crate) fn or(chosen: usize, otherwise: usize) -> usize {
    if chosen == 0 { otherwise } else { chosen }
}

/// The fastest configuration that `reeldeck tune` has measured for this number of CPU workers.
pub(crate) fn tuned(settings: &Settings, devices: &[Device]) -> Option<Measurement> {
    let workers = devices.iter().filter(|device| **device == Device::Cpu).count();
    // A measurement does not apply to another number of threads.
    let free = workers > 0 && settings.worker.threads == 0;
    if free { measurements::fastest(&settings.recipe, workers, cores()) } else { None }
}

/// The resources of each worker of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The decode threads of each worker.
    threads: usize,
    nvdec: NvdecUse,
    streams: usize,
}

/// The capacity of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Videos that are decoded at a time, by threads and NVDEC together.
    pub decoders: usize,
    /// Those of them that NVDEC decodes.
    pub streams: usize,
    /// Videos that may be in progress at a time.
    pub capacity: usize,
}

impl Sizes {
    /// The resources for a run on these devices.
    pub(crate) fn of(settings: &Settings, devices: &[Device]) -> Self {
        // On a CPU the model takes a hundred times longer than decoding. On a GPU it is faster than all cores decode.
        let threads = match settings.worker.decoders {
            0 if devices.iter().all(|device| *device == Device::Cpu) => 1,
            0 => (cores() / devices.len().max(1)).max(1),
            chosen => chosen,
        };
        Self { threads, nvdec: settings.nvdec, streams: settings.nvdec_streams }
    }

    /// The capacity of the worker on this device.
    pub(crate) fn capacity(&self, device: Device) -> Capacity {
        let Device::Cuda(_) = device else {
            // One video is decoded while the model processes another. A further one would only wait.
            return Capacity { decoders: self.threads, streams: 0, capacity: self.threads + 1 };
        };
        let (decoders, streams) = match self.nvdec {
            NvdecUse::Off => (self.threads, 0),
            NvdecUse::Share => {
                let streams = or(self.streams, STREAMS);
                (self.threads + streams, streams)
            }
        };
        // While the model processes one video, all others may be decoded to their end, and as many new ones may begin.
        Capacity { decoders, streams, capacity: decoders * 2 + 1 }
    }

    /// How the worker on this device uses NVDEC.
    pub(crate) fn nvdec(&self, device: Device) -> Option<Nvdec> {
        let streams = self.capacity(device).streams;
        match device {
            Device::Cuda(gpu) if streams > 0 => {
                Some(Nvdec { gpu: gpu as usize, streams, is_default: self.streams == 0 })
            }
            _ => None,
        }
    }
}

/// The total and the free memory in bytes for this process and its workers.
pub(crate) fn memory() -> (u64, u64) {
    // A cautious guess where the kernel does not report it.
    Memory::of_this_process().map_or((8 << 30, 4 << 30), |memory| memory.share())
}

/// The number of frames that may be buffered for each video in progress: the configured number, or less if the memory does
/// not suffice. A frame of the built-in recipe has 192 KiB.
pub(crate) fn prefetch(settings: &Settings, is_cpu: bool, in_flight: usize, free: u64) -> usize {
    let frame = settings.recipe.transform.frame_bytes() as u64;
    // On a CPU the model is the bottleneck. On a GPU it processes one video faster than one thread decodes it, so that
    // threads stay busy only if each of them can buffer a whole video.
    let sampling = settings.recipe.sampling;
    let whole = (sampling.usual_rows() * sampling.length).min(10_000);
    let wish = or(settings.worker.prefetch_frames, if is_cpu { 64 } else { whole });
    // Frames for a GPU wait in pinned memory, which libtorch allocates in powers of two for a group of frames.
    let frame = if is_cpu { frame } else { (frame * GROUP).next_power_of_two() / GROUP };
    let most = free / PREFETCH_PART / frame.max(1) / in_flight.max(1) as u64;
    wish.min(usize::try_from(most).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    fn settings() -> Settings {
        Settings::resolve(&Overrides::default(), std::path::Path::new("/nonexistent")).unwrap()
    }

    fn sizes(threads: usize, nvdec: NvdecUse, streams: usize) -> Sizes {
        Sizes { threads, nvdec, streams }
    }

    #[test]
    fn nvdec_is_used_only_on_gpus_and_only_if_configured() {
        use NvdecUse::{Off, Share};
        for (threads, nvdec, streams, decoders, by_nvdec) in
            [(16, Off, 0, 16, 0), (16, Off, 5, 16, 0), (16, Share, 0, 24, 8), (2, Share, 1, 3, 1)]
        {
            let sizes = sizes(threads, nvdec, streams);
            let expected = Capacity { decoders, streams: by_nvdec, capacity: 2 * decoders + 1 };
            assert_eq!(sizes.capacity(Device::Cuda(3)), expected, "{sizes:?}");
            let asked = (by_nvdec > 0).then_some(Nvdec { gpu: 3, streams: by_nvdec, is_default: streams == 0 });
            assert_eq!(sizes.nvdec(Device::Cuda(3)), asked, "{sizes:?}");
            let on_cpu = Capacity { decoders: threads, streams: 0, capacity: threads + 1 };
            assert_eq!((sizes.capacity(Device::Cpu), sizes.nvdec(Device::Cpu)), (on_cpu, None), "{sizes:?}");
        }
    }

    #[test]
    fn a_decoded_video_for_a_gpu_may_wait_whole_if_memory_allows() {
        let mut settings = settings();
        let frame = settings.recipe.transform.frame_bytes() as u64;
        assert_eq!(prefetch(&settings, true, 2, 64 << 30), 64);
        assert_eq!(prefetch(&settings, false, 33, 64 << 30), 800);
        let pinned = (frame * 64).next_power_of_two() / 64;
        assert!(pinned > frame);
        assert_eq!(prefetch(&settings, false, 10, 4 * 10 * 37 * pinned), 37, "a quarter of the memory");
        assert_eq!(prefetch(&settings, true, 10, 4 * 10 * 37 * frame), 37);
        assert_eq!(prefetch(&settings, false, 10, 0), 1);
        settings.worker.prefetch_frames = 5;
        assert_eq!(prefetch(&settings, false, 33, 64 << 30), 5);
    }
}
