//! Converts whole frames to RGB24 with swscale and bilinear chroma: the reference, and the only path for rare pixel formats.

use ff::ffi;
use ffmpeg_next as ff;

use crate::coefficients::Coefficients;
use crate::error::VideoError;
use crate::ffi_enums;
use crate::memory;

/// A whole frame in RGB24.
#[derive(Default)]
pub(crate) struct Rgb {
    /// Rows of `stride` bytes; each begins with the pixels of the frame.
    pub data: Vec<u8>,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
}

/// Everything besides the pixels that swscale's result depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    width: i32,
    height: i32,
    format: i32,
    matrix: i32,
    full_range: bool,
}

/// Converts frames. Keeps swscale's context while the format stays the same.
#[derive(Default)]
pub(crate) struct Converter {
    context: Option<(Key, Context)>,
}

struct Context(*mut ffi::SwsContext);

// SAFETY: a swscale context may move between threads, and is only used through `&mut Converter`.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the pointer came from sws_getContext, and is freed once.
        unsafe { ffi::sws_freeContext(self.0) }
    }
}

impl Key {
    fn of(frame: &ff::frame::Video) -> Self {
        // SAFETY: the frame is alive; these are plain public fields.
        unsafe {
            let frame = frame.as_ptr();
            let range = ffi_enums::read(&raw const (*frame).color_range);
            Self {
                width: (*frame).width,
                height: (*frame).height,
                format: (*frame).format,
                matrix: ffi_enums::read(&raw const (*frame).colorspace),
                full_range: range == ffi::AVColorRange::AVCOL_RANGE_JPEG as i32
                    || (*frame).format == ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P as i32,
            }
        }
    }
}

/// swscale's table for a matrix; an unknown matrix is treated as BT.601.
fn table(matrix: i32) -> *const i32 {
    // SAFETY: the function takes any number and returns a pointer to four static integers.
    unsafe { ffi::sws_getCoefficients(matrix) }
}

/// The integers with which swscale converts this frame, if it is 8-bit 4:2:0.
pub(crate) fn coefficients(frame: &ff::frame::Video) -> Coefficients {
    let key = Key::of(frame);
    // SAFETY: see `table`.
    let four = unsafe { std::slice::from_raw_parts(table(key.matrix), 4) };
    Coefficients::new([four[0], four[1], four[2], four[3]], key.full_range)
}

impl Converter {
    /// Converts a whole frame.
    ///
    /// # Errors
    /// When swscale does not know the pixel format, or there is no memory for the result.
    pub(crate) fn run(&mut self, frame: &ff::frame::Video, out: &mut Rgb) -> Result<(), VideoError> {
        let key = Key::of(frame);
        let context = match &self.context {
            Some((same, context)) if *same == key => context.0,
            _ => {
                let context = new_context(key)?;
                let pointer = context.0;
                self.context = Some((key, context));
                pointer
            }
        };
        (out.width, out.height) = (key.width as usize, key.height as usize);
        // swscale writes whole groups of pixels, so each row needs room beyond its last pixel.
        out.stride = out.width.next_multiple_of(32) * 3;
        memory::resize(&mut out.data, out.stride * out.height + 64)?;
        let planes = [out.data.as_mut_ptr(), std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut()];
        let strides = [out.stride as i32, 0, 0, 0];
        // SAFETY: the frame has the context's size and format, and `out` has `stride` bytes for each row.
        let lines = unsafe {
            let frame = frame.as_ptr();
            ffi::sws_scale(
                context,
                (&raw const (*frame).data).cast(),
                (&raw const (*frame).linesize).cast(),
                0,
                key.height,
                planes.as_ptr(),
                strides.as_ptr(),
            )
        };
        match lines {
            lines if lines == key.height => Ok(()),
            error if error == ffi::AVERROR(ffi::ENOMEM) => Err(NO_MEMORY),
            _ => Err(unsupported(key)),
        }
    }
}

const NO_MEMORY: VideoError = VideoError::NoMemory("convert a picture");

fn unsupported(key: Key) -> VideoError {
    VideoError::NoDecoder(format!("pixel format {}", ffi_enums::pixel_format_name(key.format)))
}

fn new_context(key: Key) -> Result<Context, VideoError> {
    let context = ffi_enums::rgb24_context(key.width, key.height, key.format);
    if context.is_null() {
        return Err(if ffi_enums::is_convertible(key.format) { NO_MEMORY } else { unsupported(key) });
    }
    let context = Context(context);
    let (target, full_range) = (table(ffi::SWS_CS_DEFAULT as _), key.full_range.into());
    // SAFETY: the context is not null, and the tables live for ever. The call fails only for sources that are RGB already, where
    // there is nothing to set.
    unsafe {
        ffi::sws_setColorspaceDetails(context.0, table(key.matrix), full_range, target, 0, 0, 1 << 16, 1 << 16);
    }
    Ok(context)
}
