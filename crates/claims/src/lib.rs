//! How engines on any number of machines share the videos of one dataset through a folder.
//!
//! The folder is the only thing that the engines have in common. An engine claims a bucket of videos by creating a file that
//! no other engine can create as well. A claim is a lease: it lasts while its engine writes heartbeats. Two engines may
//! hold the same video for a while, for example after one of them was suspended. Then the video is extracted twice, with the
//! same result. So a double claim costs time, never correctness.
//!
//! [`Claimer`] makes the decisions, and a [`Folder`] does the file operations. Times are milliseconds of the caller's own clock,
//! which is never compared with the clock of another machine.

mod board;
mod claimer;
mod disk;
mod folder;
mod names;

pub use board::Board;
pub use claimer::{Change, Claimer, Item, Load, Turn};
pub use disk::{DiskFolder, Promise};
pub use folder::{Folder, Pulse, Settled, Video};

/// The number of buckets. It does not depend on the number of machines.
pub const BUCKETS: usize = 4096;

/// An engine that has not changed its heartbeat for this long counts as dead, in milliseconds of the observer's clock.
pub const LEASE: u64 = 90_000;

/// An engine that has not changed its heartbeat for this long may be dead, in the same unit.
pub const SILENT: u64 = LEASE / 3;

/// The time between two heartbeats, and between two listings of the folder, if there are few engines, in milliseconds.
pub const BEAT: u64 = 10_000;
