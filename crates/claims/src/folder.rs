//! The file operations that a claimer needs.

use std::io;

/// A video by its place in the list of the engine.
pub type Video = usize;

/// How a video was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It has a feature, without any details.
    Done,
    /// Anything else, such as a failure. The engine defines the text, which has no line break.
    Other(String),
}

/// The heartbeat of an engine, as other engines see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// The counter of its heartbeat file.
    Counter(u64),
    /// It has no heartbeat file, or it is known to have ended.
    Gone,
}

/// The folder of the claims of one feature set, the heartbeats, and the results. The names are those of files in the folder of
/// the claims.
///
/// Of several engines that create a file, exactly one must succeed; of several engines that rename a file, exactly one must
/// succeed. Engines must see each other's files within [`crate::LEASE`].
pub trait Folder {
    /// The names of all files.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    fn list(&mut self) -> io::Result<Vec<String>>;
    /// Creates a file. False if it exists.
    ///
    /// # Errors
    /// When it can be neither created nor found.
    fn create(&mut self, name: &str, text: &str) -> io::Result<bool>;
    /// The text of a file. None if it does not exist.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    fn read(&mut self, name: &str) -> io::Result<Option<String>>;
    /// Replaces the text of a file that this engine has created.
    ///
    /// # Errors
    /// When it cannot be written.
    fn write(&mut self, name: &str, text: &str) -> io::Result<()>;
    /// Renames a file; replaces the target. False if the file does not exist.
    ///
    /// # Errors
    /// When it exists and cannot be renamed.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<bool>;
    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// When it exists and cannot be removed.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Writes this engine's heartbeat with this counter. Returns whether the heartbeat file was removed since the last one.
    ///
    /// # Errors
    /// When it cannot be written.
    fn beat(&mut self, counter: u64) -> io::Result<bool>;
    /// The heartbeat of an engine.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    fn pulse(&mut self, engine: &str) -> io::Result<Pulse>;
    /// Removes the heartbeat of an engine that is dead.
    ///
    /// # Errors
    /// When it exists and cannot be removed.
    fn bury(&mut self, engine: &str) -> io::Result<()>;
    /// The results of those of these videos that have one in the output folder.
    ///
    /// # Errors
    /// When the output folder cannot be read.
    fn results(&mut self, videos: &[Video]) -> io::Result<Vec<(Video, Settled)>>;
    /// Whether the text that another engine has written about a video applies to this engine, too.
    fn accepts(&self, video: Video, text: &str) -> bool;
}
