//! Versions that the engine and the workers share at compile time.

/// The libtorch release that the workers are built against. They work with no other release.
pub const LIBTORCH: &str = "2.11.0";

/// The version of the seeded weights, used in place of a checkpoint's digest. It changes whenever their values change.
pub const SEEDED_WEIGHTS: &str = "seeded-1";
