//! Whole pictures to RGB24 by swscale with bilinear chroma: the reference, and the way for every rare pixel format.

use ff::ffi;
use ffmpeg_next as ff;

use crate::error::VideoError;
use crate::memory;
use crate::yuv::Coefficients;

/// A whole picture in RGB24.
#[derive(Default)]
pub struct Rgb {
    /// Rows of `stride` bytes; the picture's own pixels come first in each.
    pub data: Vec<u8>,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
}

/// Everything that swscale's result depends on, besides the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    width: i32,
    height: i32,
    format: i32,
    matrix: i32,
    full_range: bool,
}

/// Converts pictures, keeping swscale's context as long as their format stays.
#[derive(Default)]
pub struct Converter {
    context: Option<(Key, Context)>,
}

struct Context(*mut ffi::SwsContext);

// SAFETY: a swscale context may move between threads; it is only ever used through `&mut Converter`.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the pointer came from sws_getContext and is freed once.
        unsafe { ffi::sws_freeContext(self.0) }
    }
}

impl Key {
    fn of(frame: &ff::frame::Video) -> Self {
        // SAFETY: the frame is alive; these are plain public fields. Enumerations are read as the integers that they are
        // to FFmpeg: a damaged file may have put any number there.
        unsafe {
            let frame = &*frame.as_ptr();
            let range = (&raw const frame.color_range).cast::<i32>().read();
            Self {
                width: frame.width,
                height: frame.height,
                format: frame.format,
                matrix: (&raw const frame.colorspace).cast::<i32>().read(),
                full_range: range == ffi::AVColorRange::AVCOL_RANGE_JPEG as i32
                    || frame.format == ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P as i32,
            }
        }
    }
}

/// swscale's table for a matrix; unknown ones are those of BT.601.
fn table(matrix: i32) -> *const i32 {
    // SAFETY: the function takes any number and returns a pointer to four integers that live for ever.
    unsafe { ffi::sws_getCoefficients(matrix) }
}

/// The integers with which swscale converts this frame, if it is 8-bit 4:2:0.
pub fn coefficients(frame: &ff::frame::Video) -> Coefficients {
    let key = Key::of(frame);
    // SAFETY: see `table`.
    let four = unsafe { std::slice::from_raw_parts(table(key.matrix), 4) };
    Coefficients::new([four[0], four[1], four[2], four[3]], key.full_range)
}

impl Converter {
    /// Converts a whole frame.
    ///
    /// # Errors
    /// When swscale does not know the pixel format, or there is no memory for the picture.
    pub fn run(&mut self, frame: &ff::frame::Video, out: &mut Rgb) -> Result<(), VideoError> {
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
        // swscale writes whole groups of pixels: each row needs room beyond its last.
        out.stride = out.width.next_multiple_of(32) * 3;
        memory::resize(&mut out.data, out.stride * out.height + 64)?;
        let planes = [out.data.as_mut_ptr(), std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut()];
        let strides = [out.stride as i32, 0, 0, 0];
        // SAFETY: the frame holds the planes and strides of a picture of the context's size and format, and `out` has a
        // row of `stride` bytes for each of its lines.
        let lines = unsafe {
            let frame = &*frame.as_ptr();
            ffi::sws_scale(
                context,
                frame.data.as_ptr().cast(),
                frame.linesize.as_ptr(),
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
    // SAFETY: the function takes any number and returns null or a static string.
    let name = unsafe {
        let format = std::mem::transmute::<i32, ffi::AVPixelFormat>(key.format);
        let name = ffi::av_get_pix_fmt_name(format);
        if name.is_null() { "unknown".into() } else { std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned() }
    };
    VideoError::NoDecoder(format!("pixel format {name}"))
}

fn new_context(key: Key) -> Result<Context, VideoError> {
    // SAFETY: the format number was set by FFmpeg itself, from the same enumeration; the context is checked before use.
    unsafe {
        let format = std::mem::transmute::<i32, ffi::AVPixelFormat>(key.format);
        let none = std::ptr::null_mut();
        let context = ffi::sws_getContext(
            key.width,
            key.height,
            format,
            key.width,
            key.height,
            ffi::AVPixelFormat::AV_PIX_FMT_RGB24,
            ffi::SWS_BILINEAR as _,
            none,
            none,
            std::ptr::null(),
        );
        if context.is_null() {
            return Err(if ffi::sws_isSupportedInput(format) > 0 { NO_MEMORY } else { unsupported(key) });
        }
        let context = Context(context);
        // Fails only for sources that are RGB already, where there is nothing to set.
        ffi::sws_setColorspaceDetails(
            context.0,
            table(key.matrix),
            key.full_range.into(),
            table(ffi::SWS_CS_DEFAULT as _),
            0,
            0,
            1 << 16,
            1 << 16,
        );
        Ok(context)
    }
}
