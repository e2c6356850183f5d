//! Measures GPUs, processors, memory and disk every two seconds while a client is attached. It runs on its own threads, so
//! that a driver or a file system that blocks does not delay the engine.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::protocol::snapshot::{Gauges, Machine};

mod disk;
pub(crate) mod gpu;
mod host;

use disk::Disk;
use gpu::{Gpus, PciAddress, Place, assign};
use host::Host;

/// Time between two measurements.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);

/// How often the monitor checks whether a client is attached.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// A measurement.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// The machine.
    pub machine: Machine,
    /// The device of each worker, or the worker's process if it runs on the CPU.
    pub gauges: Vec<Gauges>,
}

/// The running monitor. It ends when dropped.
pub(crate) struct Monitor {
    places: Arc<Mutex<Vec<Place>>>,
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Measures for workers on these devices (`cpu`, `cuda:0`) while `wanted` returns true, and passes each reading to
    /// `tell`.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub(crate) fn start(
        devices: Vec<String>,
        out: PathBuf,
        mut gpus: impl Gpus + 'static,
        wanted: impl Fn() -> bool + Send + 'static,
        tell: impl Fn(Reading) + Send + 'static,
    ) -> io::Result<Self> {
        let places = Arc::new(Mutex::new(vec![Place::default(); devices.len()]));
        let (end, ended) = mpsc::channel();
        let shared = Arc::clone(&places);
        let disk = Disk::start(out)?;
        let thread = reeldeck_common::thread::spawn("monitor", move || {
            let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
            let mut host = Host::new();
            let mut last: Option<Instant> = None;
            // Loading the driver's library takes memory, so GPUs are read only if a worker uses one.
            let any_gpu = devices.iter().any(|device| device.starts_with("cuda"));
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(POLL_INTERVAL) {
                if !wanted() || last.is_some_and(|last| last.elapsed() < INTERVAL) {
                    continue;
                }
                last = Some(Instant::now());
                let places = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let gpus = if any_gpu { gpus.read() } else { vec![] };
                tell(measure(&devices, &places, &gpus, visible.as_deref(), &mut host, disk.last()));
            }
        })?;
        Ok(Self { places, end: Some(end), thread: Some(thread) })
    }

    /// Sets the process of a worker.
    pub(crate) fn set_pid(&self, worker: usize, pid: Option<u32>) {
        self.set(worker, |place| place.pid = pid);
    }

    /// Sets the address of a worker's GPU and the identifier of the GPU or MIG instance, as the worker has reported them.
    pub(crate) fn set_gpu(&self, worker: usize, pci: Option<PciAddress>, uuid: Option<u128>) {
        self.set(worker, |place| (place.pci, place.uuid) = (pci, uuid));
    }

    fn set(&self, worker: usize, set: impl FnOnce(&mut Place)) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).get_mut(worker).map(set);
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.end = None;
        // A thread that is blocked in the driver is not joined.
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

fn measure(
    devices: &[String],
    places: &[Place],
    gpus: &[gpu::Gpu],
    visible: Option<&str>,
    host: &mut Host,
    disk: Option<[u64; 2]>,
) -> Reading {
    let pids: Vec<_> = places.iter().map(|place| place.pid).collect();
    let processes = host.measure(&pids);
    let machine = Machine { disk, disk_needed: None, ..host.machine() };
    let total = machine.memory.map(|[_, total]| total);
    let gauges = devices.iter().zip(places).zip(assign(devices, places, gpus, visible)).zip(processes).map(
        |(((device, place), gpu), process)| {
            match gpu.and_then(|at| gpus.get(at)) {
                Some(gpu) => gpu.gauges_of(place),
                // If a GPU reports nothing, the CPU use of its worker must not be shown instead.
                None if device.starts_with("cuda") => Gauges::default(),
                None => Gauges {
                    memory: process.and_then(|process| Some([process.memory, total?])),
                    busy_percent: process.and_then(|process| process.busy_percent),
                    ..Gauges::default()
                },
            }
        },
    );
    Reading { gauges: gauges.collect(), machine }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GPUs that report their index.
    struct Fake(usize);

    impl Gpus for Fake {
        fn read(&mut self) -> Vec<gpu::Gpu> {
            (0..self.0).map(|at| gpu::tests::fake(at, &[])).collect()
        }
    }

    /// The first reading that satisfies `holds`.
    fn reading_of(devices: Vec<String>, gpus: usize, pid: Option<u32>, holds: impl Fn(&Reading) -> bool) -> Reading {
        let dir = tempfile::tempdir().unwrap();
        let (sender, readings) = mpsc::channel();
        let tell = move |reading| drop(sender.send(reading));
        let monitor = Monitor::start(devices, dir.path().to_owned(), Fake(gpus), || true, tell).unwrap();
        monitor.set_pid(0, pid);
        let found = readings.iter().find(|reading| holds(reading));
        drop(monitor);
        found.unwrap()
    }

    #[test]
    fn each_worker_has_the_gauges_of_its_device() {
        for count in [0, 1, 8, 16] {
            let mut devices: Vec<String> = (0..count).map(|at| format!("cuda:{at}")).collect();
            devices.push("cpu".into());
            let reading = reading_of(devices, count, None, |_| true);
            assert_eq!(reading.gauges.len(), count + 1);
            for (at, gauges) in reading.gauges.iter().take(count).enumerate() {
                assert_eq!(*gauges, gpu::tests::fake(at, &[]).gauges, "{at} of {count}");
            }
            assert_eq!(reading.gauges[count], Gauges::default(), "a worker without a process uses nothing");
        }
        // A GPU that does not report is unknown, not idle.
        let reading = reading_of(vec!["cuda:3".into()], 0, None, |_| true);
        assert_eq!(reading.gauges, [Gauges::default()]);
    }

    #[test]
    fn the_machine_and_a_worker_on_the_cpu_are_measured() {
        let holds = |reading: &Reading| reading.machine.disk.is_some() && reading.machine.cpu_percent.is_some();
        let reading = reading_of(vec!["cpu".into()], 0, Some(std::process::id()), holds);
        let Machine { cores, memory, disk, .. } = reading.machine;
        let ([used, all], [free, size]) = (memory.unwrap(), disk.unwrap());
        assert!(cores >= 1 && used > 0 && used <= all && free <= size && size > 0, "{:?}", reading.machine);
        let [rss, of] = reading.gauges[0].memory.unwrap();
        assert!(rss > 0 && of == all);
    }
}
