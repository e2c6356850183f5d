//! The GPU's own decoder for the decode threads that use it, and what makes crops of its pictures there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reeldeck_common::error::Failure;
use reeldeck_common::protocol;
use reeldeck_model::ModelError;
use reeldeck_model::crops::{Crops, Numbers};
use reeldeck_model::tch::{Device, Tensor};
use reeldeck_video::nvdec::Nvdec;
use reeldeck_video::resize::Tap;
use reeldeck_video::surface::{Formula, Surface};

/// Pictures that become crops together. The more there are, the less each costs; each takes 6 MB of the GPU's memory on the way,
/// for each thread.
pub const TOGETHER: usize = 8;

/// Crops may take this part of a GPU's memory while they wait for the model.
const PART: usize = 4;

/// How many bytes of a GPU's memory crops take that wait, over all threads.
#[derive(Clone, Default)]
pub struct Store(Arc<AtomicUsize>);

/// Crops of some frames on the device, counted until this is dropped.
pub struct Stored {
    /// A row each.
    pub pixels: Tensor,
    bytes: usize,
    store: Store,
}

impl Store {
    /// Counts these crops; gives them back where there are then more than may be.
    fn put(&self, pixels: Tensor, most: usize) -> Result<Stored, Tensor> {
        let bytes = pixels.numel();
        if self.0.fetch_add(bytes, Ordering::Relaxed) + bytes > most {
            self.0.fetch_sub(bytes, Ordering::Relaxed);
            return Err(pixels);
        }
        Ok(Stored { pixels, bytes, store: self.clone() })
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.store.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One decoder for all the decode threads of a worker.
#[derive(Clone)]
pub struct Gpu {
    store: Store,
    wish: protocol::Nvdec,
    /// For pictures that come down.
    shared: Arc<Nvdec>,
    /// It was said that it does not take every video.
    told: Arc<AtomicBool>,
}

/// What one thread has of it.
pub struct Hand {
    nvdec: Arc<Nvdec>,
    crops: Option<Maker>,
    told: Arc<AtomicBool>,
}

impl Gpu {
    /// Opens it. Where it cannot be had, the log says so, and the CPU decodes.
    pub fn open(wish: protocol::Nvdec) -> Option<Self> {
        match Nvdec::open(wish.gpu) {
            Ok(nvdec) => Some(Self { store: Store::default(), wish, shared: Arc::new(nvdec), told: Arc::default() }),
            Err(error) => {
                let why = Failure::from_error(error.kind(), &error).line();
                eprintln!(
                    "note: no NVDEC on GPU {}, the CPU decodes instead: {why}; `reeldeck doctor` looks for the driver",
                    wish.gpu
                );
                None
            }
        }
    }

    /// For the calling thread, and no other. Where pictures should stay and cannot, the log says so, and they come down.
    pub fn hand(&self) -> Hand {
        let told = Arc::clone(&self.told);
        let gpu = self.wish.gpu;
        let tell =
            |why: &String| eprintln!("note: pictures do not stay on GPU {gpu}, the CPU makes their crops: {why}");
        match self.wish.stay.then(|| beside(gpu).inspect_err(tell)) {
            Some(Ok((nvdec, crops))) => {
                let most = nvdec.memory().map_or(usize::MAX, |memory| memory / PART);
                let crops = Some(Maker::new(crops, self.store.clone(), most));
                Hand { nvdec: Arc::new(nvdec), crops, told }
            }
            Some(Err(_)) | None => Hand { nvdec: Arc::clone(&self.shared), crops: None, told },
        }
    }
}

/// Decoder and maker of crops on one stream of the GPU.
fn beside(gpu: usize) -> Result<(Nvdec, Crops), String> {
    let (crops, stream) = Crops::on(gpu).map_err(|error| Failure::from_error(error.kind(), &error).line())?;
    // SAFETY: the stream is this GPU's, and libtorch never gives it up.
    let nvdec = unsafe { Nvdec::open_on_stream(gpu, stream) };
    Ok((nvdec.map_err(|error| Failure::from_error(error.kind(), &error).line())?, crops))
}

impl Hand {
    /// No GPU: what becomes of its pictures, done on the CPU.
    pub fn in_memory() -> Self {
        Self::with_room_for(usize::MAX)
    }

    /// The same with room for so many bytes of crops that wait.
    pub fn with_room_for(bytes: usize) -> Self {
        let crops = Some(Maker::new(Crops::here(), Store::default(), bytes));
        Self { nvdec: Arc::new(Nvdec::emulated()), crops, told: Arc::default() }
    }

    /// The decoder, and what makes crops where it is.
    pub fn parts(&mut self) -> (&Nvdec, Option<&mut Maker>) {
        (&self.nvdec, self.crops.as_mut())
    }

    /// The first video that was not decoded here is worth a line.
    pub fn tell_of(&self, path: &Path) {
        if !self.told.swap(true, Ordering::Relaxed) {
            eprintln!("note: NVDEC does not take {}; the CPU decodes it, and what else is not taken", path.display());
        }
    }
}

/// Crops that were made together.
pub enum Made {
    /// On the device.
    There(Stored),
    /// In the host's memory, because there are too many on the device.
    Here(Vec<Vec<u8>>),
}

/// Each row's bytes.
///
/// # Errors
/// What libtorch reports.
pub fn rows(pixels: &Tensor) -> Result<Vec<Vec<u8>>, ModelError> {
    let count = pixels.size().first().copied().unwrap_or(0);
    let bytes: Vec<u8> = Vec::try_from(pixels.f_to(Device::Cpu)?.f_flatten(0, -1)?)?;
    let row = bytes.len() / usize::try_from(count.max(1)).unwrap_or(1);
    Ok(bytes.chunks_exact(row.max(1)).map(<[u8]>::to_vec).collect())
}

/// Makes crops of pictures as they come, some at a time.
pub struct Maker {
    crops: Crops,
    formula: Option<Formula>,
    indices: Vec<u64>,
    store: Store,
    most: usize,
}

impl Maker {
    fn new(crops: Crops, store: Store, most: usize) -> Self {
        Self { crops, formula: None, indices: vec![], store, most }
    }

    /// Forgets what is at hand.
    pub fn clear(&mut self) {
        self.crops.clear();
        self.indices.clear();
    }

    /// Whether pictures at hand must become crops before this one is taken.
    pub fn is_due(&self, surface: &Surface) -> bool {
        !self.indices.is_empty() && (self.indices.len() >= TOGETHER || self.formula != Some(surface.formula))
    }

    /// Takes a picture.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn take(&mut self, index: u64, surface: &Surface) -> Result<(), ModelError> {
        if self.formula != Some(surface.formula) {
            self.formula = None;
            self.crops.set(&numbers(&surface.formula))?;
            self.formula = Some(surface.formula);
        }
        // SAFETY: the surface is a picture of this size, on the GPU whose stream this thread is on, or in the host's memory.
        unsafe { self.crops.take(surface.planes, surface.strides)? };
        self.indices.push(index);
        Ok(())
    }

    /// The crops of the pictures at hand, in the order in which they came; `None` where there are none.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn make(&mut self) -> Result<Option<(Vec<u64>, Made)>, ModelError> {
        if self.indices.is_empty() {
            return Ok(None);
        }
        let indices = std::mem::take(&mut self.indices);
        let made = match self.store.put(self.crops.make()?, self.most) {
            Ok(stored) => Made::There(stored),
            Err(pixels) => Made::Here(rows(&pixels)?),
        };
        Ok(Some((indices, made)))
    }
}

fn numbers(formula: &Formula) -> Numbers {
    let taps = |taps: Vec<Tap>| taps.iter().map(|t| ([t.first, t.second], [t.weights.0, t.weights.1])).collect();
    let (width, height) = formula.geometry.source;
    Numbers {
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

    /// Luma, and chroma in pairs, with other bytes at the ends of rows.
    struct Picture {
        size: (usize, usize),
        planes: [Vec<u8>; 2],
        strides: [usize; 2],
    }

    impl Picture {
        fn of(size: (usize, usize), mut byte: impl FnMut() -> u8) -> Self {
            let strides = [size.0 + 5, size.0.div_ceil(2) * 2 + 3];
            let mut plane = |bytes: usize| (0..bytes).map(|_| byte()).collect();
            Self { size, planes: [plane(strides[0] * size.1), plane(strides[1] * size.1 / 2)], strides }
        }

        fn surface(&self, formula: Formula) -> Surface {
            Surface { formula, planes: [self.planes[0].as_ptr(), self.planes[1].as_ptr()], strides: self.strides }
        }

        /// As a picture on the CPU, pixel by pixel.
        fn plain(&self, formula: Formula) -> Vec<u8> {
            let width = self.size.0.div_ceil(2);
            let apart = |which: usize| -> Vec<u8> {
                let rows = self.planes[1].chunks_exact(self.strides[1]);
                rows.flat_map(|row| row[..width * 2].iter().skip(which).step_by(2).copied()).collect()
            };
            let (u, v) = (apart(0), apart(1));
            let mut picture = Yuv420 {
                planes: [&self.planes[0], &u, &v],
                strides: [self.strides[0], width, width],
                coefficients: formula.coefficients,
            };
            let mut out = vec![0; formula.geometry.crop * formula.geometry.crop * 3];
            Resizer::scalar(formula.geometry).run(&mut picture, &mut out);
            out
        }
    }

    fn bytes(made: &Made) -> Vec<u8> {
        match made {
            Made::There(stored) => rows(&stored.pixels).unwrap().concat(),
            Made::Here(_) => panic!("there was room for them"),
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
        fn any_picture_has_the_crop_that_it_has_on_the_cpu(
            (width, half) in (1..300usize, 1..80usize), (side, less) in (32..160usize, 0..64usize), keep in 0..3usize,
            bt709: bool, full: bool, seed: u64,
        ) {
            let size = (width, half * 2);
            let short = size.0.min(size.1);
            // As it is resized in general, copied, and halved.
            let side = [side, short, short / 2][keep].max(1);
            let transform = transform(side, side.saturating_sub(less).max(1));
            let geometry = Geometry::new(size.0, size.1, &transform);
            let coefficients = Coefficients::new(if bt709 { BT709 } else { BT601 }, full);
            let formula = Formula { geometry, coefficients };
            let mut maker = Maker::new(Crops::here(), Store::default(), usize::MAX);
            let mut noise = noise(seed);
            let pictures: Vec<Picture> = (0..3).map(|_| Picture::of(size, &mut noise)).collect();
            for (index, picture) in pictures.iter().enumerate() {
                maker.take(index as u64, &picture.surface(formula)).unwrap();
            }
            let (indices, crops) = maker.make().unwrap().unwrap();
            prop_assert_eq!(indices, [0, 1, 2]);
            let expected: Vec<u8> = pictures.iter().flat_map(|picture| picture.plain(formula)).collect();
            prop_assert!(bytes(&crops) == expected);
            prop_assert!(maker.make().unwrap().is_none());
        }
    }

    #[test]
    fn every_colour_there_is_comes_out_as_on_the_cpu() {
        // 512 × 512 pixels have room for every pair of chroma values, each with four of luma.
        let transform = transform(512, 512);
        let geometry = Geometry::new(512, 512, &transform);
        let mut picture = Picture::of((512, 512), || 0);
        for (v, row) in picture.planes[1].chunks_exact_mut(picture.strides[1]).enumerate() {
            for (u, pair) in row.chunks_exact_mut(2).take(256).enumerate() {
                pair.copy_from_slice(&[u as u8, v as u8]);
            }
        }
        for (table, full) in [(BT601, false), (BT709, true)] {
            let formula = Formula { geometry, coefficients: Coefficients::new(table, full) };
            let mut maker = Maker::new(Crops::here(), Store::default(), usize::MAX);
            for quarter in 0..64 {
                for (y, row) in picture.planes[0].chunks_exact_mut(picture.strides[0]).enumerate() {
                    row.iter_mut().enumerate().for_each(|(x, luma)| *luma = (quarter * 4 + y % 2 * 2 + x % 2) as u8);
                }
                maker.take(0, &picture.surface(formula)).unwrap();
                let (_, crops) = maker.make().unwrap().unwrap();
                assert!(bytes(&crops) == picture.plain(formula), "{table:?} full {full} {quarter}");
            }
        }
    }
}
