//! Convolutions with three taps per axis and stride 1 by Winograd's algorithm F(4,3), which needs a quarter of the
//! multiplications of the direct algorithm over space, and half over time.
//!
//! The input is cut into tiles that overlap by two. Each tile becomes a row of one matrix per point of the transform. Each matrix
//! is multiplied by the weights of its point, and the products of a row become the outputs of its tile. Blocks of rows fit into a
//! core's cache. All images are channels-last.
//!
//! A row's products are sums in the order of the channels, whatever rows are beside it. So the outputs of a frame, or of a clip,
//! depend neither on the others in the batch nor on the number of threads.

mod space;
mod time;
mod transform;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use transform::{INPUTS, OUTPUTS, TAPS};

use crate::cpu::buffer::Buffer;
use crate::cpu::product::{PANEL, Product, Rows, Store, product};
pub use crate::cpu::simd::Isa;
use crate::cpu::simd::Simd;
use crate::cpu::{self, Work, threads};

/// The taps of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taps {
    /// 3×3 over height and width.
    Space,
    /// 3×1×1 over time.
    Time,
}

impl Taps {
    fn count(self) -> usize {
        if self == Self::Space { TAPS * TAPS } else { TAPS }
    }

    fn points(self) -> usize {
        if self == Self::Space { INPUTS * INPUTS } else { INPUTS }
    }
}

/// The size of an input, and of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Frames of all clips.
    pub frames: usize,
    /// Frames of a clip.
    pub length: usize,
    /// Pixels from top to bottom.
    pub height: usize,
    /// Pixels from left to right.
    pub width: usize,
}

impl Size {
    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// The rows of the matrices.
    fn rows(&self, taps: Taps) -> usize {
        match taps {
            Taps::Space => self.frames * self.height.div_ceil(OUTPUTS) * self.width.div_ceil(OUTPUTS),
            Taps::Time => self.frames / self.length * self.pixels() * self.length.div_ceil(OUTPUTS),
        }
    }
}

/// What follows a convolution and its bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Nothing,
    /// ReLU.
    Relu,
    /// The addition to the output's memory, then ReLU.
    AddRelu,
}

/// A convolution with transformed weights.
pub struct Winograd {
    isa: Isa,
    taps: Taps,
    input: usize,
    output: usize,
    /// By point, panel, input channel and output channel of the panel.
    weights: Buffer,
    /// With zeros up to a whole panel.
    bias: Vec<f32>,
    /// A pixel beyond the edge.
    zeros: Vec<f32>,
}

/// Rows of a block: whole tiles of the matrix products of AVX-512 (14) and of AVX2 (6).
const BLOCK: usize = 42;

impl Winograd {
    /// Transforms weights, which are output channels × input channels × taps.
    ///
    /// `None` when memory runs out.
    pub fn new(isa: Isa, taps: Taps, weights: &[f32], bias: &[f32]) -> Option<Self> {
        let output = bias.len();
        let input = weights.len() / (output * taps.count());
        let width = PANEL * isa.lanes();
        let padded = output.next_multiple_of(width);
        let mut packed = Buffer::zeros(taps.points() * input * padded)?;
        let numbers = packed.as_mut_slice();
        // In the order of the packed numbers, which would otherwise be fetched into the cache again for each output channel.
        for (n, c) in (0..padded / width).flat_map(|panel| {
            let outputs = panel * width..output.min((panel + 1) * width);
            (0..input).flat_map(move |c| outputs.clone().map(move |n| (n, c)))
        }) {
            let filter = &weights[(n * input + c) * taps.count()..][..taps.count()];
            let at = (n / width * input + c) * width + n % width;
            let mut place = |point: usize, number: f64| numbers[point * input * padded + at] = number as f32;
            match taps {
                Taps::Time => {
                    let points = transform::taps([0, 1, 2].map(|tap| f64::from(filter[tap])));
                    points.into_iter().enumerate().for_each(|(point, number)| place(point, number));
                }
                Taps::Space => {
                    let rows = [0, 1, 2].map(|y| transform::taps([0, 1, 2].map(|x| f64::from(filter[y * TAPS + x]))));
                    let columns: [_; INPUTS] = std::array::from_fn(|x| transform::taps(rows.map(|row| row[x])));
                    for (x, column) in columns.into_iter().enumerate() {
                        column.into_iter().enumerate().for_each(|(y, number)| place(y * INPUTS + x, number));
                    }
                }
            }
        }
        let mut bias = bias.to_vec();
        bias.resize(padded, 0.0);
        Some(Self { isa, taps, input, output, weights: packed, bias, zeros: vec![0.0; input] })
    }

    /// The memory for a run besides its input and output.
    pub(crate) fn scratch_bytes(&self, size: Size, threads: usize) -> usize {
        let (_, layout) = self.blocks(size, threads);
        threads.max(1) * layout.len() * size_of::<f32>()
    }

    /// The number of blocks, and the layout of each.
    fn blocks(&self, size: Size, threads: usize) -> (usize, Layout) {
        let rows = size.rows(self.taps);
        let blocks = rows.div_ceil(BLOCK).next_multiple_of(threads.max(1)).min(rows).max(1);
        (blocks, Layout::new(self, rows.div_ceil(blocks)))
    }

    /// Runs the convolution. `x` and `y` are frames × height × width × channels. `None` when memory runs out.
    ///
    /// # Panics
    /// When `x` or `y` has another size.
    pub fn run(&self, x: &[f32], y: &mut [f32], size: Size, after: After, threads: usize) -> Option<()> {
        let pixels = size.frames * size.pixels();
        assert!(x.len() == pixels * self.input && y.len() == pixels * self.output, "tensors of the wrong size");
        assert!(size.frames.is_multiple_of(size.length), "an incomplete clip");
        let rows = size.rows(self.taps);
        let (blocks, layout) = self.blocks(size, threads);
        let scratch = Buffer::uninitialised(threads.max(1) * layout.len())?;
        let job = Job { conv: self, x: x.as_ptr(), y: y.as_mut_ptr(), size, after, layout, scratch: scratch.as_ptr() };
        let next = AtomicUsize::new(0);
        threads::each(threads, &|thread| {
            loop {
                let block = next.fetch_add(1, Ordering::Relaxed);
                if block >= blocks {
                    return;
                }
                // SAFETY: the sizes were checked, each block writes its own part of the output, and each thread has scratch
                // memory of its own.
                unsafe {
                    cpu::run(self.isa, &Block(&job, block * rows / blocks..(block + 1) * rows / blocks, thread));
                }
            }
        });
        Some(())
    }
}

/// Where the matrices of a block are in its scratch memory.
#[derive(Clone, Copy)]
struct Layout {
    /// The distances of rows and of points of the transformed inputs.
    input: [usize; 2],
    /// The same of the products, which come after them.
    output: [usize; 2],
    points: usize,
}

/// Numbers between rows and between matrices, so that they do not fall into the same sets of a cache.
const GAP: usize = 16;

impl Layout {
    fn new(conv: &Winograd, rows: usize) -> Self {
        let input = conv.input.next_multiple_of(conv.isa.lanes()).next_multiple_of(GAP) + GAP;
        let output = conv.bias.len().next_multiple_of(GAP) + GAP;
        let [input, output] = [input, output].map(|row| [row, row * rows + 2 * GAP]);
        Self { input, output, points: conv.taps.points() }
    }

    fn len(&self) -> usize {
        self.points * (self.input[1] + self.output[1])
    }
}

/// A convolution that is running.
struct Job<'c> {
    conv: &'c Winograd,
    x: *const f32,
    y: *mut f32,
    size: Size,
    after: After,
    layout: Layout,
    scratch: *mut f32,
}

// SAFETY: threads read `x`, and write different parts of `y` and of the scratch memory.
unsafe impl Sync for Job<'_> {}

/// Some rows of a job, which no other thread has, and the number of the thread.
struct Block<'j>(&'j Job<'j>, Range<usize>, usize);

impl Work for Block<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self) {
        // SAFETY: as the caller promises.
        unsafe { self.0.block::<S>(self.1.clone(), self.2) }
    }
}

impl Job<'_> {
    /// Computes the outputs of some rows.
    ///
    /// # Safety
    /// The pointers are valid for the sizes, no other thread has these rows, and none has this number.
    #[inline(always)]
    unsafe fn block<S: Simd>(&self, rows: Range<usize>, thread: usize) {
        let Self { conv, layout, .. } = self;
        // SAFETY: as the caller promises.
        unsafe {
            let inputs = self.scratch.add(thread * layout.len());
            let products = inputs.add(layout.points * layout.input[1]);
            for (at, row) in rows.clone().enumerate() {
                let to = inputs.add(at * layout.input[0]);
                match conv.taps {
                    Taps::Space => space::input::<S>(self, row, to),
                    Taps::Time => time::input::<S>(self, row, to),
                }
            }
            for point in 0..layout.points {
                let a = Rows { first: inputs.add(point * layout.input[1]), stride: layout.input[0], len: conv.input };
                let of_point = Product {
                    rows: rows.len(),
                    panels: conv.bias.len() / (PANEL * S::LANES),
                    a: [a, Rows::NONE],
                    b: conv.weights.as_ptr().add(point * conv.input * conv.bias.len()),
                };
                let store = Store { to: products.add(point * layout.output[1]), stride: layout.output[0] };
                product::<S>(of_point, &store);
            }
            for (at, row) in rows.enumerate() {
                let from = products.add(at * layout.output[0]);
                match conv.taps {
                    Taps::Space => space::output::<S>(self, row, from),
                    Taps::Time => time::output::<S>(self, row, from),
                }
            }
        }
    }

    /// A pixel of the input, or zeros.
    #[inline(always)]
    unsafe fn pixel(&self, pixel: Option<usize>) -> *const f32 {
        match pixel {
            // SAFETY: the caller gives a pixel of the input.
            Some(pixel) => unsafe { self.x.add(pixel * self.conv.input) },
            None => self.conv.zeros.as_ptr(),
        }
    }

    /// Writes a vector of outputs of a pixel, from `channel`, with what follows the convolution.
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, pixel: usize, channel: usize, v: S::V) {
        let rest = self.conv.output - channel;
        // SAFETY: the caller gives a pixel of the output. The bias has whole vectors.
        unsafe {
            let to = self.y.add(pixel * self.conv.output + channel);
            let mut v = S::add(v, S::load(self.conv.bias.as_ptr().add(channel)));
            if self.after == After::AddRelu {
                v = S::add(v, load::<S>(to, rest));
            }
            if self.after != After::Nothing {
                v = S::max(v, S::splat(0.0));
            }
            if rest >= S::LANES { S::store(to, v) } else { S::store_first(to, v, rest) }
        }
    }
}

/// Reads a vector of at most `rest` numbers.
#[inline(always)]
unsafe fn load<S: Simd>(from: *const f32, rest: usize) -> S::V {
    // SAFETY: as the caller promises.
    unsafe { if rest >= S::LANES { S::load(from) } else { S::load_first(from, rest) } }
}
