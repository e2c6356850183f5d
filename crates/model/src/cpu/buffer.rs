//! Memory that is aligned to cache lines.

/// A cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; 16]);

/// Numbers that begin with a cache line.
pub(crate) struct Buffer {
    lines: Vec<Line>,
}

impl Buffer {
    /// Room for `len` numbers that are not set. `None` when memory runs out.
    pub(crate) fn uninitialised(len: usize) -> Option<Self> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(len.div_ceil(16)).ok()?;
        Some(Self { lines })
    }

    /// At least `len` zeros. `None` when memory runs out.
    pub(crate) fn zeros(len: usize) -> Option<Self> {
        let mut buffer = Self::uninitialised(len)?;
        buffer.lines.resize(len.div_ceil(16), Line([0.0; 16]));
        Some(buffer)
    }

    pub(crate) fn as_ptr(&self) -> *mut f32 {
        self.lines.as_ptr().cast_mut().cast()
    }

    /// The numbers that are set.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: a line is 16 numbers without gaps, and all lines are set.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * 16) }
    }
}
