//! The GPU's decoder for decode threads, and crops of its frames on the GPU.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reeldeck_common::error::Failure;
use reeldeck_common::protocol;
use reeldeck_model::ModelError;
use reeldeck_model::crops::{CropSpec, Crops};
use reeldeck_model::tch::{Device, Tensor};
use reeldeck_video::nvdec::Nvdec;
use reeldeck_video::resize::Tap;
use reeldeck_video::surface::{Formula, Surface};
use tracing::warn;

/// Frames whose crops are computed together. A larger batch costs less per frame, but each frame takes 6 MB of the GPU's memory
/// for each thread.
pub(crate) const CROP_BATCH: usize = 8;

/// Crops that wait for the model may take the GPU's memory divided by this.
const MEMORY_DIVISOR: usize = 4;

/// The number of bytes of the GPU's memory that waiting crops of all threads take.
#[derive(Clone, Default)]
struct WaitingBytes(Arc<AtomicUsize>);

/// Crops of some frames on the device. Their memory is counted until this is dropped.
pub(crate) struct DeviceCrops {
    /// A row for each crop.
    pub(crate) pixels: Tensor,
    bytes: usize,
    waiting: WaitingBytes,
}

impl WaitingBytes {
    /// Counts these crops, or returns them if waiting crops would exceed `limit` bytes.
    fn add(&self, pixels: Tensor, limit: usize) -> Result<DeviceCrops, Tensor> {
        let bytes = pixels.numel();
        if self.0.fetch_add(bytes, Ordering::Relaxed) + bytes > limit {
            self.0.fetch_sub(bytes, Ordering::Relaxed);
            return Err(pixels);
        }
        Ok(DeviceCrops { pixels, bytes, waiting: self.clone() })
    }
}

impl Drop for DeviceCrops {
    fn drop(&mut self) {
        self.waiting.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The GPU's decoder, shared by the decode threads of a worker.
#[derive(Clone)]
pub(crate) struct Gpu {
    waiting: WaitingBytes,
    config: protocol::Nvdec,
    /// For frames that are downloaded to host memory.
    shared: Arc<Nvdec>,
    /// Whether it has been logged that NVDEC refuses some videos.
    has_warned: Arc<AtomicBool>,
}

/// The GPU's decoder for one thread.
pub(crate) struct GpuDecoder {
    nvdec: Arc<Nvdec>,
    crops: Option<CropBatcher>,
    has_warned: Arc<AtomicBool>,
}

impl Gpu {
    /// Opens the decoder. `None` if there is none, which is logged; the CPU then decodes.
    pub(crate) fn open(config: protocol::Nvdec) -> Option<Self> {
        match Nvdec::open(config.gpu) {
            Ok(nvdec) => {
                let (waiting, has_warned) = (WaitingBytes::default(), Arc::default());
                Some(Self { waiting, config, shared: Arc::new(nvdec), has_warned })
            }
            Err(error) => {
                let why = Failure::from_error(error.kind(), &error).line();
                warn!(
                    gpu = config.gpu,
                    "no NVDEC, the CPU decodes instead: {why}; `reeldeck doctor` looks for the driver"
                );
                None
            }
        }
    }

    /// The decoder for the calling thread. If frames should stay on the GPU and cannot, this is logged, and they are
    /// downloaded.
    pub(crate) fn decoder(&self) -> GpuDecoder {
        let has_warned = Arc::clone(&self.has_warned);
        let gpu = self.config.gpu;
        let log = |why: &String| warn!(gpu, "frames do not stay on the GPU, the CPU computes their crops: {why}");
        match self.config.stay.then(|| open_on_stream(gpu).inspect_err(log)) {
            Some(Ok((nvdec, crops))) => {
                let limit = nvdec.memory().map_or(usize::MAX, |memory| memory / MEMORY_DIVISOR);
                let crops = Some(CropBatcher::new(crops, self.waiting.clone(), limit));
                GpuDecoder { nvdec: Arc::new(nvdec), crops, has_warned }
            }
            Some(Err(_)) | None => GpuDecoder { nvdec: Arc::clone(&self.shared), crops: None, has_warned },
        }
    }
}

/// Opens a decoder and crops on one stream of the GPU.
fn open_on_stream(gpu: usize) -> Result<(Nvdec, Crops), String> {
    let opened = Crops::open_on_stream(gpu);
    let (crops, stream) = opened.map_err(|error| Failure::from_error(error.kind(), &error).line())?;
    // SAFETY: the stream belongs to this GPU, and libtorch never frees it.
    let nvdec = unsafe { Nvdec::open_on_stream(gpu, stream) };
    Ok((nvdec.map_err(|error| Failure::from_error(error.kind(), &error).line())?, crops))
}

impl GpuDecoder {
    /// The steps for a GPU on the CPU, for tests and comparisons. Waiting crops may take `limit` bytes.
    pub(crate) fn emulated(limit: usize) -> Self {
        let crops = Some(CropBatcher::new(Crops::on_host(), WaitingBytes::default(), limit));
        Self { nvdec: Arc::new(Nvdec::emulated()), crops, has_warned: Arc::default() }
    }

    /// The decoder, and the crops if frames stay on the GPU.
    pub(crate) fn parts(&mut self) -> (&Nvdec, Option<&mut CropBatcher>) {
        (&self.nvdec, self.crops.as_mut())
    }

    /// Logs the first video that NVDEC refused.
    pub(crate) fn warn_refused(&self, path: &Path) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            warn!(file = %path.display(), "NVDEC does not support this video; the CPU decodes it and similar ones");
        }
    }
}

/// Crops that were computed together.
pub(crate) enum CropBatch {
    /// On the device.
    Device(DeviceCrops),
    /// In host memory, because too many are waiting on the device.
    Host(Vec<Vec<u8>>),
}

/// Copies the rows of a tensor of bytes to host memory.
///
/// # Errors
/// When libtorch fails.
pub(crate) fn rows(pixels: &Tensor) -> Result<Vec<Vec<u8>>, ModelError> {
    let count = pixels.size().first().copied().unwrap_or(0);
    let bytes: Vec<u8> = Vec::try_from(pixels.f_to(Device::Cpu)?.f_flatten(0, -1)?)?;
    let row = bytes.len() / usize::try_from(count.max(1)).unwrap_or(1);
    Ok(bytes.chunks_exact(row.max(1)).map(<[u8]>::to_vec).collect())
}

/// Collects frames on the device and computes their crops in batches.
pub(crate) struct CropBatcher {
    crops: Crops,
    /// The formula of the pending frames.
    formula: Option<Formula>,
    /// The indices of the pending frames.
    indices: Vec<u64>,
    waiting: WaitingBytes,
    /// The most bytes that waiting crops may take.
    limit: usize,
}

impl CropBatcher {
    fn new(crops: Crops, waiting: WaitingBytes, limit: usize) -> Self {
        Self { crops, formula: None, indices: vec![], waiting, limit }
    }

    /// Drops pending frames.
    pub(crate) fn clear(&mut self) {
        self.crops.clear();
        self.indices.clear();
    }

    /// Whether the crops of the pending frames must be computed before this frame is pushed.
    pub(crate) fn is_full_for(&self, surface: &Surface) -> bool {
        !self.indices.is_empty() && (self.indices.len() >= CROP_BATCH || self.formula != Some(surface.formula))
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn push(&mut self, index: u64, surface: &Surface) -> Result<(), ModelError> {
        if self.formula != Some(surface.formula) {
            self.formula = None;
            self.crops.set(&crop_spec(&surface.formula))?;
            self.formula = Some(surface.formula);
        }
        // SAFETY: the surface has this size. It is on the GPU whose stream is current on this thread, or in host memory.
        unsafe { self.crops.push(surface.planes, surface.strides)? };
        self.indices.push(index);
        Ok(())
    }

    /// Computes the crops of the pending frames, in order; `None` if there are no frames.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn compute(&mut self) -> Result<Option<(Vec<u64>, CropBatch)>, ModelError> {
        if self.indices.is_empty() {
            return Ok(None);
        }
        let indices = std::mem::take(&mut self.indices);
        let batch = match self.waiting.add(self.crops.compute()?, self.limit) {
            Ok(crops) => CropBatch::Device(crops),
            Err(pixels) => CropBatch::Host(rows(&pixels)?),
        };
        Ok(Some((indices, batch)))
    }
}

fn crop_spec(formula: &Formula) -> CropSpec {
    let taps = |taps: Vec<Tap>| taps.iter().map(|t| ([t.first, t.second], [t.weights.0, t.weights.1])).collect();
    let (width, height) = formula.geometry.source;
    CropSpec {
        size: [width, height],
        columns: taps(formula.columns()),
        rows: taps(formula.rows()),
        colours: formula.coefficients.as_array(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reeldeck_common::recipe::Transform;
    use reeldeck_video::coefficients::Coefficients;
    use reeldeck_video::geometry::Geometry;
    use reeldeck_video::resize::Resizer;
    use reeldeck_video::yuv::Yuv420;

    /// An NV12 frame with padding at the end of rows.
    struct Frame {
        size: (usize, usize),
        planes: [Vec<u8>; 2],
        strides: [usize; 2],
    }

    impl Frame {
        fn of(size: (usize, usize), mut byte: impl FnMut() -> u8) -> Self {
            let strides = [size.0 + 5, size.0.div_ceil(2) * 2 + 3];
            let mut plane = |bytes: usize| (0..bytes).map(|_| byte()).collect();
            Self { size, planes: [plane(strides[0] * size.1), plane(strides[1] * size.1 / 2)], strides }
        }

        fn surface(&self, formula: Formula) -> Surface {
            Surface { formula, planes: [self.planes[0].as_ptr(), self.planes[1].as_ptr()], strides: self.strides }
        }

        /// The crop of this frame by the CPU's implementation.
        fn crop_on_cpu(&self, formula: Formula) -> Vec<u8> {
            let width = self.size.0.div_ceil(2);
            let deinterleave = |which: usize| -> Vec<u8> {
                let rows = self.planes[1].chunks_exact(self.strides[1]);
                rows.flat_map(|row| row[..width * 2].iter().skip(which).step_by(2).copied()).collect()
            };
            let (u, v) = (deinterleave(0), deinterleave(1));
            let mut frame = Yuv420 {
                planes: [&self.planes[0], &u, &v],
                strides: [self.strides[0], width, width],
                coefficients: formula.coefficients,
            };
            let mut out = vec![0; formula.geometry.crop * formula.geometry.crop * 3];
            Resizer::scalar(formula.geometry).run(&mut frame, &mut out);
            out
        }
    }

    fn bytes(batch: &CropBatch) -> Vec<u8> {
        match batch {
            CropBatch::Device(crops) => rows(&crops.pixels).unwrap().concat(),
            CropBatch::Host(_) => panic!("the limit was not reached"),
        }
    }

    fn noise(seed: u64) -> impl FnMut() -> u8 {
        let mut state = seed | 1;
        move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        }
    }

    const BT601: [i32; 4] = [104597, 132201, 25675, 53279];
    const BT709: [i32; 4] = [117489, 138438, 13975, 34925];

    fn transform(short_side: usize, crop: usize) -> Transform {
        Transform { short_side, crop, mean: [0.0; 3], std: [1.0; 3] }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn crops_of_any_frame_equal_those_of_the_cpu(
            (width, half) in (1..300usize, 1..80usize), (side, less) in (32..160usize, 0..64usize), keep in 0..3usize,
            bt709: bool, full: bool, seed: u64,
        ) {
            let size = (width, half * 2);
            let short = size.0.min(size.1);
            // Resized by any factor, copied, and halved.
            let side = [side, short, short / 2][keep].max(1);
            let transform = transform(side, side.saturating_sub(less).max(1));
            let geometry = Geometry::new(size.0, size.1, &transform);
            let coefficients = Coefficients::new(if bt709 { BT709 } else { BT601 }, full);
            let formula = Formula { geometry, coefficients };
            let mut batcher = CropBatcher::new(Crops::on_host(), WaitingBytes::default(), usize::MAX);
            let mut noise = noise(seed);
            let frames: Vec<Frame> = (0..3).map(|_| Frame::of(size, &mut noise)).collect();
            for (index, frame) in frames.iter().enumerate() {
                batcher.push(index as u64, &frame.surface(formula)).unwrap();
            }
            let (indices, crops) = batcher.compute().unwrap().unwrap();
            prop_assert_eq!(indices, [0, 1, 2]);
            let expected: Vec<u8> = frames.iter().flat_map(|frame| frame.crop_on_cpu(formula)).collect();
            prop_assert!(bytes(&crops) == expected);
            prop_assert!(batcher.compute().unwrap().is_none());
        }
    }

    #[test]
    fn crops_of_all_colours_equal_those_of_the_cpu() {
        // 512 × 512 pixels are enough for all pairs of chroma values, each with four luma values.
        let transform = transform(512, 512);
        let geometry = Geometry::new(512, 512, &transform);
        let mut frame = Frame::of((512, 512), || 0);
        for (v, row) in frame.planes[1].chunks_exact_mut(frame.strides[1]).enumerate() {
            for (u, pair) in row.chunks_exact_mut(2).take(256).enumerate() {
                pair.copy_from_slice(&[u as u8, v as u8]);
            }
        }
        for (table, full) in [(BT601, false), (BT709, true)] {
            let formula = Formula { geometry, coefficients: Coefficients::new(table, full) };
            let mut batcher = CropBatcher::new(Crops::on_host(), WaitingBytes::default(), usize::MAX);
            for quarter in 0..64 {
                for (y, row) in frame.planes[0].chunks_exact_mut(frame.strides[0]).enumerate() {
                    row.iter_mut().enumerate().for_each(|(x, luma)| *luma = (quarter * 4 + y % 2 * 2 + x % 2) as u8);
                }
                batcher.push(0, &frame.surface(formula)).unwrap();
                let (_, crops) = batcher.compute().unwrap().unwrap();
                assert!(bytes(&crops) == frame.crop_on_cpu(formula), "{table:?} full {full} {quarter}");
            }
        }
    }
}
