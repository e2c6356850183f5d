//! What tch and torch-sys use of zip 0.6.

pub use newer_zip::{CompressionMethod, ZipArchive, ZipWriter, result};

/// Writing.
pub mod write {
    /// The options of a file, by their name in zip 0.6.
    pub type FileOptions = newer_zip::write::SimpleFileOptions;
}
