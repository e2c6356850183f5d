//! The end of a bottleneck block in one pass over memory: the expanding 1×1 convolution, the shortcut, their sum, ReLU, and the
//! reducing 1×1 convolution with which the next block begins.
//!
//! Each of these moves more memory than it computes. Here, blocks of pixels stay in a core's cache from one to the next. A pixel's
//! products are sums in the order of the channels, so they do not depend on the pixels beside it.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cpu::buffer::Buffer;
use crate::cpu::product::{Finish, PANEL, Product, Rows, product};
use crate::cpu::simd::{Isa, Simd};
use crate::cpu::{self, Work, threads};

/// Channels must be multiples of this: a panel of the widest vectors.
pub(crate) const CHANNELS: usize = 32;

/// The weights of a 1×1 convolution, output channels × input channels, and its bias.
#[derive(Clone, Copy)]
pub struct Weights<'w> {
    /// Output channels × input channels.
    pub weights: &'w [f32],
    /// One number for each output channel.
    pub bias: &'w [f32],
}

impl Weights<'_> {
    fn input(&self) -> usize {
        self.weights.len() / self.bias.len()
    }
}

/// A matrix in panels, with a bias.
struct Packed {
    output: usize,
    weights: Buffer,
    bias: Buffer,
}

impl Packed {
    /// Packs 1×1 convolutions whose outputs are added. `None` when memory runs out.
    fn new(isa: Isa, parts: &[Weights<'_>]) -> Option<Self> {
        let output = parts[0].bias.len();
        let inner: usize = parts.iter().map(Weights::input).sum();
        let width = PANEL * isa.lanes();
        let mut weights = Buffer::zeros(inner * output)?;
        let mut bias = Buffer::zeros(output)?;
        let mut before = 0;
        for part in parts {
            let input = part.input();
            for (n, row) in part.weights.chunks_exact(input).enumerate() {
                for (k, weight) in row.iter().enumerate() {
                    weights.as_mut_slice()[(n / width * inner + before + k) * width + n % width] = *weight;
                }
            }
            bias.as_mut_slice().iter_mut().zip(part.bias).for_each(|(sum, one)| *sum += one);
            before += input;
        }
        Some(Self { output, weights, bias })
    }
}

/// The convolution of a shortcut.
struct Shortcut {
    input: usize,
    stride: usize,
}

/// The end of a block with packed weights.
pub struct Expansion {
    isa: Isa,
    /// Channels of the expanding convolution's input.
    input: usize,
    shortcut: Option<Shortcut>,
    expanding: Packed,
    reducing: Option<Packed>,
}

/// The tensors of a run, all frames × height × width × channels.
pub struct Tensors<'t> {
    /// The input of the expanding convolution.
    pub y: &'t [f32],
    /// The input of the shortcut's convolution, if there is one, with its height and width.
    pub x: Option<(&'t [f32], [usize; 2])>,
    /// Receives the result. If the shortcut has no convolution, this contains the input of the block, to which the result is added.
    pub sum: &'t mut [f32],
    /// The result of the reducing convolution, if there is one.
    pub reduced: Option<&'t mut [f32]>,
}

/// Pixels of a block: whole tiles of the matrix products of AVX-512 (14) and of AVX2 (6).
const BLOCK: usize = 42;

/// Blocks that a thread does one after the other, so that it can fetch the next one ahead.
const RUN: usize = 16;

impl Expansion {
    /// Whether channels of these numbers are possible.
    pub fn fits(channels: &[usize]) -> bool {
        channels.iter().all(|channels| channels.is_multiple_of(CHANNELS))
    }

    /// Packs the weights. The shortcut's convolution comes with its stride. `None` when memory runs out.
    ///
    /// # Panics
    /// When the channels do not [fit](Self::fits).
    pub fn new(
        isa: Isa,
        expanding: Weights<'_>,
        shortcut: Option<(Weights<'_>, usize)>,
        reducing: Option<Weights<'_>>,
    ) -> Option<Self> {
        assert!(Self::fits(&[expanding.bias.len(), reducing.map_or(CHANNELS, |conv| conv.bias.len())]), "channels");
        let parts: Vec<Weights<'_>> = std::iter::once(expanding).chain(shortcut.map(|(conv, _)| conv)).collect();
        Some(Self {
            isa,
            input: expanding.input(),
            shortcut: shortcut.map(|(conv, stride)| Shortcut { input: conv.input(), stride }),
            expanding: Packed::new(isa, &parts)?,
            reducing: match reducing {
                Some(conv) => Some(Packed::new(isa, &[conv])?),
                None => None,
            },
        })
    }

    /// Channels of the result of the reducing convolution.
    pub fn reduced(&self) -> Option<usize> {
        self.reducing.as_ref().map(|conv| conv.output)
    }

    /// Whether the shortcut has a convolution.
    pub fn has_shortcut(&self) -> bool {
        self.shortcut.is_some()
    }

    /// Channels of the result.
    pub fn output(&self) -> usize {
        self.expanding.output
    }

    fn gathered(&self) -> usize {
        self.shortcut.as_ref().filter(|shortcut| shortcut.stride > 1).map_or(0, |shortcut| shortcut.input * BLOCK)
    }

    /// The memory for a run besides its tensors.
    pub(crate) fn scratch_bytes(&self, threads: usize) -> usize {
        threads.max(1) * self.gathered() * size_of::<f32>()
    }

    /// Runs it on results of `height` × `width` pixels. `None` when memory runs out.
    ///
    /// # Panics
    /// When a tensor is missing or has another size.
    pub fn run(&self, tensors: Tensors<'_>, [height, width]: [usize; 2], threads: usize) -> Option<()> {
        let Tensors { y, x, sum, reduced } = tensors;
        let pixels = y.len() / self.input;
        let is_whole = pixels.is_multiple_of(height * width) && y.len() == pixels * self.input;
        assert!(is_whole && sum.len() == pixels * self.output(), "tensors of the wrong size");
        assert_eq!(reduced.as_ref().map(|z| z.len()), self.reduced().map(|channels| pixels * channels), "reduced");
        let frames = pixels / (height * width);
        match (x, &self.shortcut) {
            (None, None) => {}
            (Some((x, before)), Some(Shortcut { input, stride })) => {
                let is_whole = x.len() == frames * before[0] * before[1] * input;
                assert!(
                    is_whole && before.map(|side| (side - 1) / stride + 1) == [height, width],
                    "the shortcut's input"
                );
            }
            _ => panic!("the shortcut's input"),
        }
        let scratch = Buffer::uninitialised(threads.max(1) * self.gathered())?;
        let job = Job {
            conv: self,
            y: y.as_ptr(),
            x: x.map_or(std::ptr::null(), |(x, _)| x.as_ptr()),
            sum: sum.as_mut_ptr(),
            reduced: reduced.map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr),
            size: [height, width],
            before: x.map_or([0, 0], |(_, before)| before),
            scratch: scratch.as_ptr(),
        };
        let next = AtomicUsize::new(0);
        threads::each(threads, &|thread| {
            loop {
                let first = next.fetch_add(1, Ordering::Relaxed) * RUN * BLOCK;
                if first >= pixels {
                    return;
                }
                // SAFETY: the sizes were checked, each run writes its own part of the results, and each thread has scratch memory
                // of its own.
                unsafe { cpu::run(self.isa, &Part(&job, [first, pixels.min(first + RUN * BLOCK)], thread)) };
            }
        });
        Some(())
    }
}

/// A run.
struct Job<'c> {
    conv: &'c Expansion,
    y: *const f32,
    x: *const f32,
    sum: *mut f32,
    reduced: *mut f32,
    /// Height and width of the result.
    size: [usize; 2],
    /// The same of the shortcut's input.
    before: [usize; 2],
    scratch: *mut f32,
}

// SAFETY: threads read the inputs, and write different parts of the results and of the scratch memory.
unsafe impl Sync for Job<'_> {}

/// The pixels from one to another of a job, which no other thread has, and the number of the thread.
struct Part<'j>(&'j Job<'j>, [usize; 2], usize);

impl Work for Part<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self) {
        let Self(job, [first, end], thread) = *self;
        for first in (first..end).step_by(BLOCK) {
            // SAFETY: as the caller promises.
            unsafe { job.block::<S>(first, BLOCK.min(end - first), thread) };
        }
    }
}

impl Job<'_> {
    /// Computes some pixels.
    ///
    /// # Safety
    /// The pointers are valid for the sizes, no other thread has these pixels, and none has this number.
    #[inline(always)]
    unsafe fn block<S: Simd>(&self, first: usize, pixels: usize, thread: usize) {
        let Expansion { input, expanding, reducing, shortcut, .. } = self.conv;
        let panels = |conv: &Packed| conv.output / (PANEL * S::LANES);
        // SAFETY: as the caller promises.
        unsafe {
            let y = Rows { first: self.y.add(first * input), stride: *input, len: *input };
            let x = match shortcut {
                None => Rows::NONE,
                Some(shortcut) => self.shortcut(shortcut, first, pixels, thread),
            };
            let sum = self.sum.add(first * expanding.output);
            let end = End { bias: expanding.bias.as_ptr(), to: sum, channels: expanding.output };
            let both = Product { rows: pixels, panels: panels(expanding), a: [y, x], b: expanding.weights.as_ptr() };
            match shortcut {
                None => product::<S>(both, &AddRelu(end)),
                Some(_) => product::<S>(both, &Relu(end)),
            }
            if let Some(reducing) = reducing {
                let to = self.reduced.add(first * reducing.output);
                let sum = Rows { first: sum, stride: expanding.output, len: expanding.output };
                let a = [sum, Rows::NONE];
                let one = Product { rows: pixels, panels: panels(reducing), a, b: reducing.weights.as_ptr() };
                product::<S>(one, &Relu(End { bias: reducing.bias.as_ptr(), to, channels: reducing.output }));
            }
        }
    }

    /// The pixels of the shortcut's input that belong to some of the result.
    #[inline(always)]
    unsafe fn shortcut(&self, shortcut: &Shortcut, first: usize, pixels: usize, thread: usize) -> Rows {
        let Shortcut { input, stride } = *shortcut;
        // SAFETY: as the caller promises.
        unsafe {
            if stride == 1 {
                return Rows { first: self.x.add(first * input), stride: input, len: input };
            }
            let to = self.scratch.add(thread * self.conv.gathered());
            let [[height, width], [before_height, before_width]] = [self.size, self.before];
            for at in 0..pixels {
                let pixel = first + at;
                let (frame, row, column) = (pixel / (height * width), pixel / width % height, pixel % width);
                let from = (frame * before_height + row * stride) * before_width + column * stride;
                std::ptr::copy_nonoverlapping(self.x.add(from * input), to.add(at * input), input);
            }
            Rows { first: to, stride: input, len: input }
        }
    }
}

/// The destination of the results of a convolution, and its bias.
struct End {
    bias: *const f32,
    to: *mut f32,
    channels: usize,
}

/// Adds the bias, then applies ReLU.
struct Relu(End);

/// Adds the bias and the present content of the destination, then applies ReLU.
struct AddRelu(End);

impl<S: Simd> Finish<S> for Relu {
    #[inline(always)]
    unsafe fn take(&self, row: usize, column: usize, sums: [S::V; PANEL]) {
        let End { bias, to, channels } = self.0;
        // SAFETY: as the caller promises.
        unsafe {
            let to = to.add(row * channels + column);
            for (at, sum) in sums.into_iter().enumerate() {
                let v = S::add(sum, S::load(bias.add(column + at * S::LANES)));
                S::store(to.add(at * S::LANES), S::max(v, S::splat(0.0)));
            }
        }
    }
}

impl<S: Simd> Finish<S> for AddRelu {
    #[inline(always)]
    unsafe fn take(&self, row: usize, column: usize, sums: [S::V; PANEL]) {
        let End { bias, to, channels } = self.0;
        // SAFETY: as the caller promises. A prefetch may be of any address.
        unsafe {
            let to = to.add(row * channels + column);
            for (at, sum) in sums.into_iter().enumerate() {
                let to = to.add(at * S::LANES);
                S::prefetch_far(to.wrapping_add(BLOCK * channels));
                let v = S::add(S::add(sum, S::load(bias.add(column + at * S::LANES))), S::load(to));
                S::store(to, S::max(v, S::splat(0.0)));
            }
        }
    }
}
