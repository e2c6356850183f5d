//! How much a worker does at a time: decode threads, videos in hand, frames that may wait, and the memory for them.

use reeldeck_common::protocol::Nvdec;

use crate::config::measurements::{self, Measurement};
use crate::config::{Device, NvdecUse, Settings};

/// Decoded frames may fill this part of the memory that is free when a run begins.
const PREFETCH_PART: u64 = 4;

/// Videos that NVDEC has at the same time where nobody says. A card has one to seven such decoders, and each is idle while a
/// video begins and ends.
const STREAMS: usize = 8;

/// The cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What was chosen, or else something other; 0 is no choice.
pub fn or(chosen: usize, otherwise: usize) -> usize {
    if chosen == 0 { otherwise } else { chosen }
}

/// What `reeldeck tune` found for as many workers on the CPU as there are here.
pub fn tuned(settings: &Settings, devices: &[Device]) -> Option<Measurement> {
    let workers = devices.iter().filter(|device| **device == Device::Cpu).count();
    // Another number of threads was chosen: what was measured says nothing about it.
    let free = workers > 0 && settings.worker.threads == 0;
    if free { measurements::fastest(&settings.recipe, workers, cores()) } else { None }
}

/// What there is for each worker of a run.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Threads that decode on the CPU, for each worker.
    threads: usize,
    nvdec: NvdecUse,
    streams: usize,
    stay: bool,
}

/// What one worker has at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hands {
    /// Videos that are decoded, by cores and NVDEC together.
    pub decoders: usize,
    /// How many of these NVDEC decodes.
    pub streams: usize,
    /// Videos that it is given.
    pub capacity: usize,
}

impl Sizes {
    /// For a run on these devices.
    pub fn of(settings: &Settings, devices: &[Device]) -> Self {
        // On a CPU the model takes a hundred times longer than decoding; a GPU outruns all the cores there are.
        let threads = match settings.worker.decoders {
            0 if devices.iter().all(|device| *device == Device::Cpu) => 1,
            0 => (cores() / devices.len().max(1)).max(1),
            chosen => chosen,
        };
        Self { threads, nvdec: settings.nvdec, streams: settings.nvdec_streams, stay: settings.frames_stay }
    }

    /// Of the worker on this device.
    pub fn hands(&self, device: Device) -> Hands {
        let Device::Cuda(_) = device else {
            // Decoded while the model has another: one more than that would only wait.
            return Hands { decoders: self.threads, streams: 0, capacity: self.threads + 1 };
        };
        let (decoders, streams) = match self.nvdec {
            NvdecUse::Off => (self.threads, 0),
            NvdecUse::Only => {
                let streams = or(self.streams, self.threads.max(STREAMS));
                (streams, streams)
            }
            NvdecUse::Share => {
                let streams = or(self.streams, STREAMS);
                (self.threads + streams, streams)
            }
        };
        // While the model follows one video to its end, all others may come to theirs, and as many begin.
        Hands { decoders, streams, capacity: decoders * 2 + 1 }
    }

    /// How the worker on this device uses NVDEC.
    pub fn nvdec(&self, device: Device) -> Option<Nvdec> {
        let streams = self.hands(device).streams;
        match device {
            Device::Cuda(gpu) if streams > 0 => Some(Nvdec { gpu: gpu as usize, streams, stay: self.stay }),
            _ => None,
        }
    }
}

/// The memory of this machine, or what its control group leaves of it, in bytes: all of it, and what is free.
pub fn memory() -> (u64, u64) {
    // Where the kernel does not say, the least that any such machine has.
    let Ok(mut system) = sysinfo::System::new() else { return (8 << 30, 4 << 30) };
    system.refresh_memory();
    let (mut total, mut free) = (system.total_memory(), system.available_memory());
    if let Some(group) = system.cgroup_limits() {
        total = total.min(group.total_memory);
        free = free.min(group.free_memory);
    }
    (total, free)
}

/// Frames that may wait for the model, for each of the videos in hand: as wished, or as the memory allows. A frame of the
/// built-in recipe has 192 KiB.
pub fn prefetch(settings: &Settings, is_cpu: bool, in_hand: usize, free: u64) -> usize {
    let frame = (settings.recipe.transform.crop.pow(2) * 3) as u64;
    // On a CPU the model is what everybody waits for. On a GPU it takes one video at a time faster than one thread decodes
    // it: all threads go on only if each video has room to its end.
    let sampling = settings.recipe.sampling;
    let whole = (sampling.clips * sampling.length).min(10_000);
    let wish = or(settings.worker.prefetch_frames, if is_cpu { 64 } else { whole });
    let most = free / PREFETCH_PART / frame.max(1) / in_hand.max(1) as u64;
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
        Sizes { threads, nvdec, streams, stay: true }
    }

    #[test]
    fn nvdec_is_asked_for_only_by_workers_on_gpus_and_only_where_that_is_wished() {
        use NvdecUse::{Off, Only, Share};
        for (threads, nvdec, streams, decoders, by_nvdec) in [
            (16, Off, 0, 16, 0),
            (16, Off, 5, 16, 0),
            (16, Only, 0, 16, 16),
            (2, Only, 0, 8, 8),
            (16, Only, 3, 3, 3),
            (16, Share, 0, 24, 8),
            (2, Share, 1, 3, 1),
        ] {
            let sizes = sizes(threads, nvdec, streams);
            let expected = Hands { decoders, streams: by_nvdec, capacity: 2 * decoders + 1 };
            assert_eq!(sizes.hands(Device::Cuda(3)), expected, "{sizes:?}");
            let asked = (by_nvdec > 0).then_some(Nvdec { gpu: 3, streams: by_nvdec, stay: true });
            assert_eq!(sizes.nvdec(Device::Cuda(3)), asked, "{sizes:?}");
            let on_cpu = Hands { decoders: threads, streams: 0, capacity: threads + 1 };
            assert_eq!((sizes.hands(Device::Cpu), sizes.nvdec(Device::Cpu)), (on_cpu, None), "{sizes:?}");
        }
    }

    #[test]
    fn a_video_for_a_gpu_may_wait_whole_as_far_as_the_memory_goes() {
        let mut settings = settings();
        let frame = settings.recipe.transform.crop.pow(2) as u64 * 3;
        assert_eq!(prefetch(&settings, true, 2, 64 << 30), 64);
        assert_eq!(prefetch(&settings, false, 33, 64 << 30), 800);
        assert_eq!(prefetch(&settings, false, 10, 4 * 10 * 37 * frame), 37, "a quarter of the memory");
        assert_eq!(prefetch(&settings, false, 10, 0), 1);
        settings.worker.prefetch_frames = 5;
        assert_eq!(prefetch(&settings, false, 33, 64 << 30), 5);
    }
}
