//! What our own layers for CPUs share: instruction sets, matrix products, aligned memory, and libtorch's threads.

pub(crate) mod buffer;
pub(crate) mod product;
pub(crate) mod simd;
pub(crate) mod threads;

/// Work that is written for any instruction set.
pub(crate) trait Work {
    /// Does it. Must be inlined, because the caller enables the instructions.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn run<S: simd::Simd>(&self);
}

/// Does work with an instruction set.
///
/// # Safety
/// As [`Work::run`]; [`simd::Isa::available`] checks the processor.
pub(crate) unsafe fn run(isa: simd::Isa, work: &impl Work) {
    /// For all that is inlined into it.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    unsafe fn avx512(work: &impl Work) {
        // SAFETY: as the caller promises.
        unsafe { work.run::<simd::Avx512>() }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2(work: &impl Work) {
        // SAFETY: as the caller promises.
        unsafe { work.run::<simd::Avx2>() }
    }
    // SAFETY: as the caller promises.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            simd::Isa::Avx512 => avx512(work),
            #[cfg(target_arch = "x86_64")]
            simd::Isa::Avx2 => avx2(work),
            simd::Isa::Plain => work.run::<simd::Plain>(),
        }
    }
}

/// Pseudo-random numbers from −1 to 1.
#[cfg(test)]
pub(crate) fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1 << 23) as f32) - 1.0
    };
    (0..len).map(|_| next()).collect()
}
