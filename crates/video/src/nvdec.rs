//! Decoding on a GPU with NVDEC, through FFmpeg: which streams it takes, and how frames are downloaded.
//!
//! **Never run on a GPU so far.** Tests cover everything that needs none: frames in NVDEC's layout give the same crops, a
//! stream that NVDEC refuses goes to the decoder on the CPU, and a fake driver exercises all of FFmpeg's part.
//! `scripts/gpu-check.sh` compares the crops on a machine with a GPU.
//!
//! A decoder is not reused for the next video: FFmpeg's H.264 and HEVC decoders release the GPU's decoder at the end of a
//! stream.
//!
//! Nothing is skipped here, unlike on the CPU. Some codecs and FFmpeg releases send skipped packets to the GPU and some do not.
//! A wrong assumption would be noticed only at the end of the video. The expensive step is the download, and only needed frames
//! are downloaded. The check is therefore simple: as many frames as packets, each with its own time.
//!
//! NVDEC conceals damage within a frame silently, where the decoder on the CPU marks the frame. Such a file counts as healthy
//! here.

use std::cell::RefCell;
#[cfg(test)]
use std::ptr;
use std::sync::Arc;

use ff::ffi;
use ffmpeg_next as ff;

use crate::codec::CodecId;
use crate::cuda::{CudaDevice, CudaThread};
use crate::error::VideoError;
use crate::ffi_enums;
use crate::ffmpeg_info;
use crate::nv12;
use crate::pinned::PinnedPool;

/// A GPU's decoder for one thread, in the context that libtorch uses too. It has a stream of its own, so threads do not wait
/// for each other.
pub struct Nvdec {
    /// Null only in tests: FFmpeg then finds no device and refuses every stream, as it does if a driver refuses it.
    device: *mut ffi::AVBufferRef,
    /// Memory for downloaded frames.
    pinned: Option<RefCell<PinnedPool>>,
}

// SAFETY: FFmpeg counts references to the device atomically and does not modify an initialised device; each of its calls
// makes the CUDA context current and restores the previous one.
unsafe impl Send for Nvdec {}

impl Drop for Nvdec {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and is released once; null is allowed.
        unsafe { ffi::av_buffer_unref(&mut self.device) };
    }
}

/// The codecs whose standards define every bit of a frame. The output of other codecs depends on the rounding of the decoder,
/// so they stay on the CPU. So does AV1, for which FFmpeg prefers a decoder without GPU support.
const BIT_EXACT: [CodecId; 4] = [CodecId::H264, CodecId::HEVC, CodecId::VP8, CodecId::VP9];

impl Nvdec {
    /// Opens the decoder of the GPU with this CUDA number for one thread.
    ///
    /// # Errors
    /// If there is no driver or no such GPU.
    pub fn open(gpu: usize) -> Result<Self, VideoError> {
        ffmpeg_info::init();
        let thread = Arc::new(CudaThread::new(gpu)?);
        // SAFETY: FFmpeg allocates the structure that belongs to a device of this type, users may fill it in before they
        // initialise the device, and after a failure the reference is released once. The device keeps context and stream alive
        // until FFmpeg frees it.
        let device = unsafe {
            let mut device = ffi::av_hwdevice_ctx_alloc(ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA);
            if device.is_null() {
                return Err(VideoError::NoMemory("open NVDEC"));
            }
            let general = (*device).data.cast::<ffi::AVHWDeviceContext>();
            let cuda = (*general).hwctx.cast::<CudaDevice>();
            ((*cuda).context, (*cuda).stream) = (thread.context, thread.stream);
            (*general).user_opaque = Arc::into_raw(Arc::clone(&thread)).cast_mut().cast();
            (*general).free = Some(release_thread);
            let made = ffi::av_hwdevice_ctx_init(device);
            if made < 0 {
                ffi::av_buffer_unref(&mut device);
                return Err(VideoError::Ffmpeg { action: "open NVDEC", source: ff::Error::from(made) });
            }
            device
        };
        Ok(Self { device, pinned: Some(RefCell::new(PinnedPool::new(thread))) })
    }

    /// Whether streams of this codec may be decoded here. A single stream may still be refused.
    pub fn supports(&self, codec: CodecId) -> bool {
        let Some(decoder) = codec.decoder().filter(|_| BIT_EXACT.contains(&codec)) else { return false };
        let by_device = ffi::AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX as i32;
        ffmpeg_info::cuda_methods(&decoder).any(|methods| methods & by_device != 0)
    }

    /// Makes a decoder that is not yet open use this device.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn attach(&self, context: &mut ff::codec::decoder::Decoder) -> Result<(), VideoError> {
        // SAFETY: the context is alive and not yet open; these are public fields meant to be set by users. The context releases
        // its reference to the device.
        unsafe {
            let context = context.as_mut_ptr();
            (*context).get_format = Some(choose_format);
            if !self.device.is_null() {
                (*context).hw_device_ctx = ffi::av_buffer_ref(self.device);
                if (*context).hw_device_ctx.is_null() {
                    return Err(VideoError::NoMemory("open NVDEC"));
                }
            }
        }
        Ok(())
    }

    /// Downloads a frame to host memory in the format of the decoder on the CPU. `None` if that fails; the CPU then decodes the
    /// video.
    pub fn download(&self, frame: &ff::frame::Video) -> Option<ff::frame::Video> {
        let mut down = ff::frame::Video::empty();
        // SAFETY: the frame is alive. FFmpeg copies into the buffers of `down`, which fit the frame, or allocates them.
        unsafe {
            let (from, to) = (frame.as_ptr(), down.as_mut_ptr());
            // FFmpeg crops the right and bottom edges of frames on a GPU, but not the left and top ones.
            let cut = (*from).crop_left != 0 || (*from).crop_top != 0;
            if (*from).format != ffi::AVPixelFormat::AV_PIX_FMT_CUDA as i32 || cut || has_odd_side(frame) {
                return None;
            }
            (*to).format = ffi::AVPixelFormat::AV_PIX_FMT_NV12 as i32;
            ((*to).width, (*to).height) = ((*from).width, (*from).height);
            if let Some(pinned) = &self.pinned {
                // Without pinned memory FFmpeg allocates other memory, which is slower.
                pinned.borrow_mut().provide(&mut down);
            }
            if ffi::av_hwframe_transfer_data(to, from, 0) < 0 || ffi::av_frame_copy_props(to, from) < 0 {
                return None;
            }
        }
        nv12::to_planar(&down)
    }

    /// Like [`Nvdec::open`], without a GPU: every stream is refused.
    #[cfg(test)]
    pub fn without_gpu() -> Self {
        Self { device: ptr::null_mut(), pinned: None }
    }
}

/// Whether width or height is odd. FFmpeg then copies one chroma row or column too few from the GPU.
fn has_odd_side(frame: &ff::frame::Video) -> bool {
    frame.width() % 2 == 1 || frame.height() % 2 == 1
}

/// Called by FFmpeg when it has freed a device.
unsafe extern "C" fn release_thread(device: *mut ffi::AVHWDeviceContext) {
    // SAFETY: the device holds one reference, which was stored when it was created.
    drop(unsafe { Arc::from_raw((*device).user_opaque.cast::<CudaThread>()) });
}

/// Called by FFmpeg at the start of a stream and when its format changes, to choose one of the offered formats.
unsafe extern "C" fn choose_format(
    context: *mut ffi::AVCodecContext,
    formats: *const ffi::AVPixelFormat,
) -> ffi::AVPixelFormat {
    // SAFETY: FFmpeg gives its context, and a list that ends with `AV_PIX_FMT_NONE`, which is -1.
    unsafe {
        let offered: Vec<i32> =
            (0..).map(|at| ffi_enums::read(formats.add(at))).take_while(|format| *format >= 0).collect();
        pick(&offered, [(*context).width, (*context).height])
    }
}

/// Chooses the GPU's format if the decoder on the CPU would give 8-bit 4:2:0 with even sides: its format is the last one
/// offered. Otherwise chooses nothing, which ends the decode, and the CPU decodes the stream from the start.
fn pick(offered: &[i32], size: [i32; 2]) -> ffi::AVPixelFormat {
    use ffi::AVPixelFormat::{AV_PIX_FMT_CUDA, AV_PIX_FMT_NONE, AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUVJ420P};
    let plain = [AV_PIX_FMT_YUV420P as i32, AV_PIX_FMT_YUVJ420P as i32];
    let is_even = size.iter().all(|side| side % 2 == 0);
    let fits = offered.contains(&(AV_PIX_FMT_CUDA as i32)) && offered.last().is_some_and(|last| plain.contains(last));
    if fits && is_even { AV_PIX_FMT_CUDA } else { AV_PIX_FMT_NONE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use reeldeck_common::limits::Limits;
    use reeldeck_common::recipe::{Damage, Sampling, Transform};

    use crate::frames::{self, Extraction, Pass, Request, Sink};
    use crate::sampling::ClipPlan;
    use crate::synth::{self, Synth};

    #[test]
    fn opening_fails_without_a_driver() {
        // No machine has a GPU of this number.
        let error = Nvdec::open(100_000).err().unwrap();
        assert!(error.to_string().starts_with("no CUDA: "), "{error}");
    }

    #[test]
    fn only_bit_exact_codecs_are_supported() {
        ffmpeg_info::init();
        let nvdec = Nvdec::without_gpu();
        for codec in [CodecId::MPEG4, CodecId::MPEG2, CodecId::MJPEG, CodecId::AV1, CodecId::NONE] {
            assert!(!nvdec.supports(codec), "{codec:?}");
        }
    }

    #[test]
    fn only_8_bit_420_is_decoded_on_the_gpu() {
        use ffi::AVPixelFormat::*;
        let pick_for = |size, formats: &[ffi::AVPixelFormat]| {
            pick(&formats.iter().map(|format| *format as i32).collect::<Vec<_>>(), size)
        };
        let pick = |formats: &[ffi::AVPixelFormat]| pick_for([64, 48], formats);
        assert!(pick(&[AV_PIX_FMT_VAAPI, AV_PIX_FMT_CUDA, AV_PIX_FMT_YUV420P]) == AV_PIX_FMT_CUDA);
        assert!(pick(&[AV_PIX_FMT_CUDA, AV_PIX_FMT_YUVJ420P]) == AV_PIX_FMT_CUDA);
        for formats in [
            &[AV_PIX_FMT_CUDA, AV_PIX_FMT_YUV420P10LE][..],
            &[AV_PIX_FMT_CUDA, AV_PIX_FMT_YUV444P],
            &[AV_PIX_FMT_YUV420P],
            &[AV_PIX_FMT_YUV420P, AV_PIX_FMT_CUDA],
            &[],
        ] {
            assert!(pick(formats) == AV_PIX_FMT_NONE);
        }
        for size in [[341, 240], [340, 241], [341, 241]] {
            assert!(pick_for(size, &[AV_PIX_FMT_CUDA, AV_PIX_FMT_YUV420P]) == AV_PIX_FMT_NONE, "{size:?}");
        }
    }

    #[test]
    fn a_frame_in_host_memory_is_not_downloaded() {
        ffmpeg_info::init();
        for format in [ff::format::Pixel::YUV420P, ff::format::Pixel::NV12] {
            assert!(Nvdec::without_gpu().download(&ff::frame::Video::new(format, 16, 16)).is_none());
        }
    }

    /// Collects all plans, and the frames of the last one.
    #[derive(Default)]
    struct Collect {
        plans: Vec<ClipPlan>,
        frames: Vec<(u64, Vec<u8>)>,
    }

    impl Sink for Collect {
        fn plan(&mut self, plan: ClipPlan) -> Result<(), VideoError> {
            self.plans.push(plan);
            self.frames.clear();
            Ok(())
        }

        fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError> {
            self.frames.push((index, pixels));
            Ok(())
        }
    }

    fn by(nvdec: Option<&Nvdec>, path: &Path) -> (Extraction, Collect) {
        let request = Request {
            sampling: Sampling::spread(5, 8, 2),
            transform: Transform::short_side(64, 64, [0.0; 3], [1.0; 3]),
            damage: Damage { max_lost: 0.05 },
            limits: Limits::default(),
        };
        let mut collect = Collect::default();
        let facts = frames::extract_with(path, &request, Pass::Best, nvdec, &mut collect).unwrap();
        (facts, collect)
    }

    #[test]
    fn a_refused_stream_is_decoded_by_the_cpu_with_the_same_result() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.mp4");
        let options = [("bf".to_owned(), "2".to_owned()), ("g".to_owned(), "30".to_owned())].into();
        synth::write(&path, &Synth { width: 96, height: 80, frames: 90, options, ..Synth::default() }).unwrap();
        let (plain, alone) = by(None, &path);
        let (facts, refused) = by(Some(&Nvdec::without_gpu()), &path);
        assert_eq!(facts, plain);
        assert!(!facts.nvdec && !facts.plain_pass && facts.skipped > 0, "{facts:?}");
        assert!(!alone.frames.is_empty() && alone.frames == refused.frames);
        // An FFmpeg with NVDEC support starts the attempt; its plan is discarded.
        let attempts = if Nvdec::without_gpu().supports(CodecId::H264) { 2 } else { 1 };
        assert_eq!((alone.plans.len(), refused.plans.len()), (1, attempts));
        assert!(refused.plans.iter().all(|plan| plan.frames().eq(alone.plans[0].frames())));
    }
}
