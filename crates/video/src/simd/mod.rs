//! AVX2 kernels for the conversion to RGB and for moving between interleaved and separate channels. Whether the processor
//! supports AVX2 is detected at run time.
//!
//! Intermediate rows keep the three channels in separate byte rows; the last step interleaves them.

pub(crate) mod convert;
pub(crate) mod layout;
pub(crate) mod vector;

/// Extra bytes at the end of every row, so that kernels can process the last pixels as a full vector.
const SLACK: usize = 64;

/// Proof that this processor has AVX2.
#[derive(Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Self> {
        std::arch::is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

/// A row of pixels with separate R, G and B channels.
pub struct Planes(pub(crate) [Vec<u8>; 3]);

impl Planes {
    /// A row with room for this many pixels.
    pub(crate) fn new(pixels: usize) -> Self {
        let row = || vec![0; pixels.next_multiple_of(SLACK) + SLACK];
        Self([row(), row(), row()])
    }

    /// The three channels.
    pub(crate) fn rows(&mut self) -> [&mut [u8]; 3] {
        self.0.each_mut().map(Vec::as_mut_slice)
    }
}
