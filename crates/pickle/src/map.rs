//! Files as bytes in memory, without reading them in.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

/// A file's bytes. Pages are read when they are looked at.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps a regular file. No program may change it in place while this value lives.
    ///
    /// # Errors
    /// Whatever the file system reports; also for what is no regular file, such as a folder or a pipe.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Asked before opening: to open a pipe is to wait for its other end.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let file = File::open(path)?;
        // SAFETY: the map is read-only, and nothing in this program writes to a file that it opens this way: checkpoints
        // and results are written to a new file that then takes the name. What cannot be ruled out is another program
        // that changes the file in place during the read, or cuts it short, at which this process ends by SIGBUS. The
        // documentation above leaves that to the caller, as every use of a mapped file must.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self(map))
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
