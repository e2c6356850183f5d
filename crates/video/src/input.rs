//! Opens a file for FFmpeg's demuxers, through a reader of our own that remembers why reading failed.
//!
//! FFmpeg reports many kinds of damage as an I/O error. Only the reader knows whether the file itself could not be read.

use std::ffi::{CString, c_int, c_void};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};

use ff::ffi;
use ffmpeg_next as ff;

use crate::container::holes;

/// The demuxers that may open a file. Playlists are not among them, so a playlist named `.mp4` cannot make FFmpeg open other
/// files.
const DEMUXERS: &str =
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,h264,hevc,m4v,ivf,obu,mjpeg,nut,wmv,mxf";

/// Bytes that FFmpeg reads at a time.
const BUFFER: usize = 32 << 10;

/// Bytes of holes that are read without a packet. After that the file looks as if it ended in every hole: FFmpeg searches terabytes of
/// zeros for the next packet. A black frame of uncompressed video may be a hole, too: of 36 megapixels it has 108 MB.
const MOST_ZEROS: u64 = 128 << 20;

/// A file that is open for demuxing.
pub(crate) struct Input {
    /// Dropped before the reader, which it uses.
    context: ff::format::context::Input,
    reader: Reader,
}

impl Input {
    /// Opens the file and finds its streams. `path` is only used to guess the format from the extension. `end`: FFmpeg reads no byte
    /// from there on.
    ///
    /// # Errors
    /// If reading fails or no demuxer recognises the file.
    pub(crate) fn open(file: File, path: &Path, end: Option<u64>) -> Result<Self, OpenError> {
        let reader = Reader::new(file, end).map_err(OpenError::Ffmpeg)?;
        match open(&reader, path) {
            Ok(context) => Ok(Self { context, reader }),
            Err(error) => Err(match reader.take_error() {
                Some(error) => OpenError::Io(error),
                None => OpenError::Ffmpeg(error),
            }),
        }
    }

    /// Why reading the file failed, if it did.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.reader.take_error()
    }

    /// FFmpeg has found a packet: the count of zeros begins again.
    pub(crate) fn has_packet(&mut self) {
        // SAFETY: the callbacks are the only others that use the state, and FFmpeg calls them only during its own calls.
        unsafe { (*self.reader.state.as_ptr()).zeros = 0 }
    }

    /// FFmpeg's context.
    pub(crate) fn context(&self) -> &ff::format::context::Input {
        &self.context
    }

    /// FFmpeg's context.
    pub(crate) fn context_mut(&mut self) -> &mut ff::format::context::Input {
        &mut self.context
    }
}

/// Why a file could not be opened.
pub(crate) enum OpenError {
    /// The file could not be read.
    Io(io::Error),
    /// FFmpeg does not accept its content.
    Ffmpeg(ff::Error),
}

fn open(reader: &Reader, path: &Path) -> Result<ff::format::context::Input, ff::Error> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| ff::Error::InvalidData)?;
    // An empty list of protocols: FFmpeg opens no file that this one refers to.
    let options = ff::Dictionary::from_iter([("protocol_whitelist", ""), ("format_whitelist", DEMUXERS)]);
    // SAFETY: the reader outlives the context. The name and the options outlive the call. On failure FFmpeg frees the context;
    // on success `Input` owns it, and with the flag for custom I/O does not close the reader. The dictionary that is left over is
    // owned again and freed.
    unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(ff::Error::Other { errno: libc::ENOMEM });
        }
        (*context).pb = reader.context;
        (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO as c_int;
        let mut left = options.disown();
        let opened = ffi::avformat_open_input(&mut context, name.as_ptr(), ptr::null_mut(), &mut left);
        drop(ff::Dictionary::own(left));
        if opened < 0 {
            return Err(ff::Error::from(opened));
        }
        let input = ff::format::context::Input::wrap(context);
        match ffi::avformat_find_stream_info(context, ptr::null_mut()) {
            error if error < 0 => Err(ff::Error::from(error)),
            _ => Ok(input),
        }
    }
}

/// FFmpeg's I/O context, and the state that its callbacks use.
struct Reader {
    context: *mut ffi::AVIOContext,
    state: NonNull<State>,
}

struct State {
    file: File,
    end: i64,
    position: i64,
    error: Option<io::Error>,
    /// The last data that was looked up. Before the first read of a file without holes it is all of the file.
    data: Range<u64>,
    /// Bytes of holes that were read since the last packet.
    zeros: u64,
}

impl State {
    fn new(file: File, end: i64) -> Self {
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        // Only large files are worth a look, and data ends only where a hole begins.
        let data = if size > MOST_ZEROS { 0..0 } else { 0..u64::MAX };
        Self { file, end, position: 0, error: None, data, zeros: 0 }
    }

    /// Whether this read would be one of too many in holes.
    fn is_lost_in_zeros(&mut self, length: usize) -> bool {
        let Ok(position) = u64::try_from(self.position) else { return false };
        if !self.data.contains(&position) {
            match holes::piece_at(&self.file, position) {
                Some(data) => self.data = data,
                None => self.data = u64::MAX..u64::MAX,
            }
        }
        if !self.data.contains(&position) {
            self.zeros += length as u64;
        }
        self.zeros > MOST_ZEROS && !self.data.contains(&position)
    }
}

// SAFETY: the context and the state belong to this value alone and may be used by one thread at a time.
unsafe impl Send for Reader {}

impl Reader {
    fn new(file: File, end: Option<u64>) -> Result<Self, ff::Error> {
        let no_memory = ff::Error::Other { errno: libc::ENOMEM };
        let end = end.and_then(|end| i64::try_from(end).ok()).unwrap_or(i64::MAX);
        let state = NonNull::from(Box::leak(Box::new(State::new(file, end))));
        // SAFETY: the buffer comes from FFmpeg's allocator and belongs to the context if there is one. The state lives until
        // `drop`; where there is no context, dropping the value that has none frees it.
        unsafe {
            let buffer = ffi::av_malloc(BUFFER);
            let mut reader = Self { context: ptr::null_mut(), state };
            if buffer.is_null() {
                return Err(no_memory);
            }
            let opaque = state.as_ptr().cast();
            reader.context =
                ffi::avio_alloc_context(buffer.cast(), BUFFER as c_int, 0, opaque, Some(read), None, Some(seek));
            if reader.context.is_null() {
                ffi::av_free(buffer);
                return Err(no_memory);
            }
            Ok(reader)
        }
    }

    fn take_error(&self) -> Option<io::Error> {
        // SAFETY: the callbacks are the only others that use the state, and FFmpeg calls them only during its own calls.
        unsafe { (*self.state.as_ptr()).error.take() }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: the context that uses the reader is gone. The buffer may be another one than at the start; it belongs to the
        // context. The state came from a leaked box and is freed once.
        unsafe {
            if !self.context.is_null() {
                ffi::av_freep((&raw mut (*self.context).buffer).cast());
                ffi::avio_context_free(&mut self.context);
            }
            drop(Box::from_raw(self.state.as_ptr()));
        }
    }
}

unsafe extern "C" fn read(opaque: *mut c_void, buffer: *mut u8, length: c_int) -> c_int {
    // SAFETY: FFmpeg calls this with the state of the reader and a buffer with room for `length` bytes, which the kernel writes.
    unsafe {
        let state = opaque.cast::<State>();
        loop {
            let file = (*state).file.as_raw_fd();
            let left = usize::try_from((*state).end.saturating_sub((*state).position)).unwrap_or(0);
            let length = usize::try_from(length).unwrap_or(0).min(left);
            if (*state).is_lost_in_zeros(length) {
                return ffi::AVERROR_EOF;
            }
            match libc::pread(file, buffer.cast(), length, (*state).position) {
                0 => return ffi::AVERROR_EOF,
                read if read > 0 => {
                    (*state).position += read as i64;
                    return read as c_int;
                }
                _ => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        (*state).error = Some(error);
                        return ffi::AVERROR(libc::EIO);
                    }
                }
            }
        }
    }
}

unsafe extern "C" fn seek(opaque: *mut c_void, offset: i64, whence: c_int) -> i64 {
    // SAFETY: FFmpeg calls this with the state of the reader.
    unsafe {
        let state = opaque.cast::<State>();
        let size = || match (*state).file.metadata() {
            Ok(metadata) => i64::try_from(metadata.len()).unwrap_or(i64::MAX).min((*state).end),
            Err(error) => {
                (*state).error = Some(error);
                i64::from(ffi::AVERROR(libc::EIO))
            }
        };
        let position = match whence & !(ffi::AVSEEK_FORCE as c_int) {
            whence if whence == ffi::AVSEEK_SIZE as c_int => return size(),
            libc::SEEK_SET => Some(offset),
            libc::SEEK_CUR => (*state).position.checked_add(offset),
            libc::SEEK_END => size().checked_add(offset),
            _ => None,
        };
        match position.filter(|position| *position >= 0) {
            Some(position) => {
                (*state).position = position;
                position
            }
            None => i64::from(ffi::AVERROR(libc::EINVAL)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_read_is_told_from_content_that_ffmpeg_rejects() {
        crate::ffmpeg_info::init();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.webm");
        std::fs::write(&path, b"\x1a\x45\xdf\xa3 and nothing that makes sense").unwrap();
        assert!(matches!(Input::open(File::open(&path).unwrap(), &path, None), Err(OpenError::Ffmpeg(_))));
        // A file that was opened for writing only cannot be read.
        let unreadable = File::options().write(true).open(&path).unwrap();
        let Err(OpenError::Io(error)) = Input::open(unreadable, &path, None) else { panic!("it was read") };
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }
}
