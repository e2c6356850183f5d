//! The pixels' way to the crop with AVX2: the same integers as the plain one, 16 or 32 at a time. Found out at run time.
//!
//! Channels lie apart on the way, a row of bytes for each, and are put together at the end.

mod convert;
mod layout;
mod resize;
mod vector;

use crate::geometry::Geometry;
use crate::resize::RgbRows;

/// Rows are this much longer than what is in them, so that nothing need be said of the last few pixels.
const SLACK: usize = 64;

/// Proof that this processor has AVX2.
#[derive(Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    /// Asks the processor.
    pub fn find() -> Option<Self> {
        std::arch::is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

/// A row of pixels, its channels apart: R, G, B.
pub struct Planes([Vec<u8>; 3]);

impl Planes {
    fn new(pixels: usize) -> Self {
        let row = || vec![0; pixels.next_multiple_of(SLACK) + SLACK];
        Self([row(), row(), row()])
    }

    /// The three rows.
    pub fn rows(&mut self) -> [&mut [u8]; 3] {
        self.0.each_mut().map(Vec::as_mut_slice)
    }
}

/// Resizes and crops pictures of one size, to the same bytes as the plain way.
pub struct Fast {
    simd: Avx2,
    geometry: Geometry,
    /// Columns of the source that are read, from and to. The first is even: chroma comes in pairs.
    columns: (usize, usize),
    /// The row in work.
    line: Planes,
    method: Method,
}

enum Method {
    Copy,
    Halve { second: Planes },
    Bilinear(resize::Bilinear),
}

impl Fast {
    /// Prepares for pictures of this size.
    pub fn new(simd: Avx2, geometry: Geometry) -> Self {
        let Geometry { source, resized, corner, crop } = geometry;
        let (method, columns) = if source == resized {
            (Method::Copy, (corner.0 & !1, corner.0 + crop))
        } else if source == (resized.0 * 2, resized.1 * 2) {
            (Method::Halve { second: Planes::new(crop * 2) }, (corner.0 * 2, (corner.0 + crop) * 2))
        } else {
            let (bilinear, columns) = resize::Bilinear::new(geometry);
            (Method::Bilinear(bilinear), columns)
        };
        Self { simd, geometry, columns, line: Planes::new(columns.1 - columns.0), method }
    }

    /// Which size this is for.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Fills `out` (crop × crop × 3 bytes, RGB, row by row) from one picture.
    pub fn run(&mut self, rows: &mut dyn RgbRows, out: &mut [u8]) {
        let Self { simd, geometry: Geometry { corner, crop, .. }, columns: (x0, x1), .. } = *self;
        let line = &mut self.line;
        match &mut self.method {
            Method::Copy => {
                for (y, out) in out.chunks_exact_mut(crop * 3).enumerate() {
                    rows.planes(simd, corner.1 + y, x0, x1, line);
                    layout::interleave(simd, line, corner.0 - x0, out);
                }
            }
            Method::Halve { second } => {
                for (y, out) in out.chunks_exact_mut(crop * 3).enumerate() {
                    let top = (corner.1 + y) * 2;
                    rows.planes(simd, top, x0, x1, line);
                    rows.planes(simd, top + 1, x0, x1, second);
                    resize::halve(simd, line, second);
                    layout::interleave(simd, line, 0, out);
                }
            }
            Method::Bilinear(bilinear) => bilinear.run(simd, rows, (x0, x1), line, out),
        }
    }
}

pub use convert::yuv;
pub use layout::split;
