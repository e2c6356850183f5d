//! What engine and workers must agree on without being able to ask each other.

/// The release of libtorch that the workers are built against. No other can be loaded in its place.
pub const LIBTORCH: &str = "2.11.0";

/// The version of the seeded weights; stands where a checkpoint's digest stands. Raised whenever their numbers change.
pub const SEEDED_WEIGHTS: &str = "seeded-1";
