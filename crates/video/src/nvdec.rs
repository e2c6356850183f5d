//! Decoding on a GPU by NVDEC, through FFmpeg: which streams it gets, and the way of its pictures down to memory.
//!
//! **Never run on a GPU so far.** What is tested is all that needs none: that pictures in NVDEC's layout give the same crops,
//! that what NVDEC refuses goes to the decoder on the CPU, and, with a made-up driver, all of FFmpeg's part. `scripts/gpu-check.sh`
//! compares the crops on a machine with one.
//!
//! A decoder is not kept for the next video. FFmpeg's for H.264 and HEVC let go of the GPU's whenever they are told that a stream
//! has ended, and are of no use before that.
//!
//! Nothing is skipped here, unlike on the CPU. FFmpeg may or may not keep a packet from a GPU when told to skip, by codec and
//! release, and a wrong guess would be found out only at the end of the video; and what costs time is to bring pictures down,
//! which is done for those alone that are needed. So the count is plain: as many pictures as packets, each with its time.
//!
//! What is damaged within a picture NVDEC conceals without a word, where the decoder on the CPU marks it: such a file counts as
//! healthy here.

use std::ffi::{CString, c_void};
use std::ptr;

use ff::ffi;
use ffmpeg_next as ff;

use crate::cuda::{CudaDevice, PrimaryContext};
use crate::error::VideoError;
use crate::nv12;

/// A GPU with its decoder, which any number of threads may use at the same time.
pub struct Nvdec {
    /// Null only in tests: FFmpeg then finds no device, and refuses every stream as it does where a driver refuses it.
    device: *mut ffi::AVBufferRef,
    pictures: Pictures,
    /// Released after the device that refers to it.
    context: Option<PrimaryContext>,
}

/// Where its pictures are to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pictures {
    /// In the host's memory, after each has been brought down.
    Down,
    /// On the GPU, for others who compute there.
    Stay,
    /// In the host's memory, as if that were the GPU's.
    Memory,
}

// SAFETY: FFmpeg counts references to the device atomically and changes nothing of it once it is made; each of its own calls
// makes the CUDA context current and gives it back.
unsafe impl Send for Nvdec {}
// SAFETY: as above; a shared `Nvdec` is only ever referred to once more.
unsafe impl Sync for Nvdec {}

impl Drop for Nvdec {
    fn drop(&mut self) {
        // SAFETY: the reference is our own and is given back once; null is allowed.
        unsafe { ffi::av_buffer_unref(&mut self.device) };
    }
}

/// The codecs whose standards say every bit of a picture. What others give depends on how a decoder rounds; those stay on the
/// CPU, and so does AV1, for which FFmpeg prefers a decoder that knows no GPU.
const EXACT: [ff::codec::Id; 4] = [ff::codec::Id::H264, ff::codec::Id::HEVC, ff::codec::Id::VP8, ff::codec::Id::VP9];

impl Nvdec {
    /// Opens the GPU of this number, as CUDA counts them. One for a process: FFmpeg makes a CUDA context for it, which takes
    /// hundreds of MB of the GPU's memory. Pictures come down to the host's.
    ///
    /// # Errors
    /// Where there is no driver or no such GPU.
    pub fn open(gpu: usize) -> Result<Self, VideoError> {
        crate::init();
        let mut device = ptr::null_mut();
        let failed = |source| VideoError::Ffmpeg { action: "open NVDEC", source };
        let name = CString::new(gpu.to_string()).map_err(|_| failed(ff::Error::InvalidData))?;
        let kind = ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA;
        // SAFETY: the name outlives the call, which writes a reference to `device`, or null where it fails.
        let made = unsafe { ffi::av_hwdevice_ctx_create(&mut device, kind, name.as_ptr(), ptr::null_mut(), 0) };
        if made < 0 {
            return Err(failed(ff::Error::from(made)));
        }
        Ok(Self { device, pictures: Pictures::Down, context: None })
    }

    /// Opens it for a thread that has its pictures computed with where they are: in the context that CUDA's own libraries use,
    /// and in the order of this CUDA stream. What that stream does after a picture was handed over comes after its decoding.
    ///
    /// # Errors
    /// As [`Nvdec::open`].
    ///
    /// # Safety
    /// The stream is one of this GPU's and outlives what is returned.
    pub unsafe fn beside(gpu: usize, stream: *mut c_void) -> Result<Self, VideoError> {
        crate::init();
        let context = PrimaryContext::of(gpu)?;
        // SAFETY: FFmpeg allocates the structure that belongs to a device of this kind, which is filled in as its header says
        // that users may, and then completes it; after a failure the reference is given back once.
        let device = unsafe {
            let mut device = ffi::av_hwdevice_ctx_alloc(ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA);
            if device.is_null() {
                return Err(VideoError::NoMemory("open NVDEC"));
            }
            let cuda = (*(*device).data.cast::<ffi::AVHWDeviceContext>()).hwctx.cast::<CudaDevice>();
            (*cuda).context = context.context;
            (*cuda).stream = stream;
            let made = ffi::av_hwdevice_ctx_init(device);
            if made < 0 {
                ffi::av_buffer_unref(&mut device);
                return Err(VideoError::Ffmpeg { action: "open NVDEC", source: ff::Error::from(made) });
            }
            device
        };
        Ok(Self { device, pictures: Pictures::Stay, context: Some(context) })
    }

    /// No GPU: the CPU decodes, and its pictures are handed over as a GPU's would be, in the host's memory. For tests of what
    /// becomes of them.
    pub fn in_memory() -> Self {
        Self { device: ptr::null_mut(), pictures: Pictures::Memory, context: None }
    }

    /// Whether streams of this codec may go to it at all. A single stream may still be refused.
    pub fn takes(&self, codec: ff::codec::Id) -> bool {
        let Some(decoder) = ff::decoder::find(codec).filter(|_| EXACT.contains(&codec)) else { return false };
        if self.pictures == Pictures::Memory {
            return true;
        }
        let by_device = ffi::AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX as i32;
        // SAFETY: the call returns null behind the last configuration, and else one that lives as long as the codec: for ever.
        let config = |at| unsafe { ffi::avcodec_get_hw_config(decoder.as_ptr(), at).as_ref() };
        (0..).map_while(config).any(|config| {
            config.device_type == ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA && config.methods & by_device != 0
        })
    }

    /// Bytes of memory that the GPU has, where pictures stay on it.
    pub fn memory(&self) -> Option<usize> {
        self.context.as_ref().map(|context| context.memory)
    }

    /// Has a decoder that is not yet open decode here.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn attach(&self, context: &mut ff::codec::decoder::Decoder) -> Result<(), VideoError> {
        if self.pictures == Pictures::Memory {
            return Ok(());
        }
        // SAFETY: the context is alive and not yet open; these are public fields meant to be set by users. The context frees
        // its reference to the device.
        unsafe {
            let context = &mut *context.as_mut_ptr();
            context.get_format = Some(choose);
            if !self.device.is_null() {
                context.hw_device_ctx = ffi::av_buffer_ref(self.device);
                if context.hw_device_ctx.is_null() {
                    return Err(VideoError::NoMemory("open NVDEC"));
                }
            }
        }
        Ok(())
    }

    /// Brings a picture down to the host's memory, as the decoder on the CPU would have given it. `None` where it cannot be
    /// done; the CPU decodes such a video.
    pub fn bring_down(&self, frame: &ff::frame::Video) -> Option<ff::frame::Video> {
        if self.pictures == Pictures::Memory { another(frame) } else { bring_down(frame) }
    }

    /// As [`Nvdec::open`], without a GPU: every stream is refused.
    #[cfg(test)]
    pub fn without_gpu() -> Self {
        Self { device: ptr::null_mut(), pictures: Pictures::Down, context: None }
    }

    /// The picture where it is to be computed with; `None` where it must be brought down.
    pub fn stays(&self, frame: &ff::frame::Video) -> Option<ff::frame::Video> {
        match self.pictures {
            Pictures::Down => None,
            Pictures::Stay => another(frame),
            Pictures::Memory => nv12::together(frame),
        }
    }
}

/// What FFmpeg asks at the start of a stream and at each change of its format: which of these it shall give.
unsafe extern "C" fn choose(
    _context: *mut ffi::AVCodecContext,
    formats: *const ffi::AVPixelFormat,
) -> ffi::AVPixelFormat {
    // Read as the integers that they are to FFmpeg: another release may have more of them than the enumeration here.
    let formats = formats.cast::<i32>();
    // SAFETY: FFmpeg gives a list that ends with `AV_PIX_FMT_NONE`, which is -1.
    let offered: Vec<i32> =
        unsafe { (0..).map(|at| formats.add(at).read()).take_while(|format| *format >= 0).collect() };
    pick(&offered)
}

/// The GPU's pictures, where the decoder on the CPU would give 8-bit 4:2:0, which is what comes last; else nothing, which ends
/// the decode: the CPU takes such a stream from its beginning.
fn pick(offered: &[i32]) -> ffi::AVPixelFormat {
    use ffi::AVPixelFormat::{AV_PIX_FMT_CUDA, AV_PIX_FMT_NONE, AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUVJ420P};
    let plain = [AV_PIX_FMT_YUV420P as i32, AV_PIX_FMT_YUVJ420P as i32];
    let fits = offered.contains(&(AV_PIX_FMT_CUDA as i32)) && offered.last().is_some_and(|last| plain.contains(last));
    if fits { AV_PIX_FMT_CUDA } else { AV_PIX_FMT_NONE }
}

fn bring_down(frame: &ff::frame::Video) -> Option<ff::frame::Video> {
    let mut down = ff::frame::Video::empty();
    // SAFETY: the frame is alive. FFmpeg gives `down`, which is empty, buffers of the frame's size in the format that is asked
    // for, or fails.
    unsafe {
        let (from, to) = (&*frame.as_ptr(), &mut *down.as_mut_ptr());
        // FFmpeg cuts the lower and right edges of pictures on a GPU, and leaves the others to us.
        let cut = from.crop_left != 0 || from.crop_top != 0;
        if from.format != ffi::AVPixelFormat::AV_PIX_FMT_CUDA as i32 || cut {
            return None;
        }
        to.format = ffi::AVPixelFormat::AV_PIX_FMT_NV12 as i32;
        if ffi::av_hwframe_transfer_data(to, from, 0) < 0 || ffi::av_frame_copy_props(to, from) < 0 {
            return None;
        }
    }
    nv12::apart(&down)
}

/// Another reference to the same picture; to clone a frame would copy its pixels.
fn another(frame: &ff::frame::Video) -> Option<ff::frame::Video> {
    let mut same = ff::frame::Video::empty();
    // SAFETY: both frames are alive, and the new one is empty.
    (unsafe { ffi::av_frame_ref(same.as_mut_ptr(), frame.as_ptr()) } >= 0).then_some(same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use reeldeck_common::limits::Limits;
    use reeldeck_common::recipe::{Damage, Sampling, Transform};

    use crate::frames::{self, Facts, Pass, Request, Sink};
    use crate::sampling::Plan;
    use crate::synth::{self, Synth};

    #[test]
    fn without_a_driver_there_is_none() {
        // A GPU of this number there is nowhere.
        let error = Nvdec::open(100_000).err().unwrap();
        assert_eq!(error.to_string(), "failed to open NVDEC");
    }

    #[test]
    fn only_codecs_that_say_every_bit_are_taken() {
        crate::init();
        use ff::codec::Id;
        let nvdec = Nvdec::without_gpu();
        for codec in [Id::MPEG4, Id::MPEG2VIDEO, Id::MJPEG, Id::VC1, Id::AV1, Id::FFV1, Id::None] {
            assert!(!nvdec.takes(codec), "{codec:?}");
        }
    }

    #[test]
    fn only_pictures_of_8_bit_420_are_asked_for() {
        use ffi::AVPixelFormat::*;
        let pick =
            |formats: &[ffi::AVPixelFormat]| pick(&formats.iter().map(|format| *format as i32).collect::<Vec<_>>());
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
    }

    #[test]
    fn a_picture_that_is_in_memory_is_not_brought_down() {
        crate::init();
        for format in [ff::format::Pixel::YUV420P, ff::format::Pixel::NV12] {
            assert!(bring_down(&ff::frame::Video::new(format, 16, 16)).is_none());
        }
    }

    /// The frames of the last plan, and how many plans there were.
    #[derive(Default)]
    struct Collect {
        plans: Vec<Plan>,
        frames: Vec<(u64, Vec<u8>)>,
    }

    impl Sink for Collect {
        fn plan(&mut self, plan: Plan) -> Result<(), VideoError> {
            self.plans.push(plan);
            self.frames.clear();
            Ok(())
        }

        fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError> {
            self.frames.push((index, pixels));
            Ok(())
        }
    }

    fn by(nvdec: Option<&Nvdec>, path: &Path) -> (Facts, Collect) {
        let request = Request {
            sampling: Sampling { clips: 5, length: 8, interval: 2 },
            transform: Transform { short_side: 64, crop: 64, mean: [0.0; 3], std: [1.0; 3] },
            damage: Damage { max_lost: 0.05 },
            limits: Limits::default(),
        };
        let mut collect = Collect::default();
        let facts = frames::extract_with(path, &request, Pass::Best, nvdec, &mut collect).unwrap();
        (facts, collect)
    }

    /// FFmpeg itself refuses here: a stream that could go to a GPU, and no GPU.
    #[test]
    fn a_stream_that_is_refused_is_decoded_by_the_cpu_and_nothing_differs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.mp4");
        let options = [("bf".to_owned(), "2".to_owned()), ("g".to_owned(), "30".to_owned())].into();
        synth::write(&path, &Synth { width: 96, height: 80, frames: 90, options, ..Synth::default() }).unwrap();
        let (plain, alone) = by(None, &path);
        let (facts, refused) = by(Some(&Nvdec::without_gpu()), &path);
        assert_eq!(facts, plain);
        assert!(!facts.nvdec && !facts.plain_pass && facts.skipped > 0, "{facts:?}");
        assert!(!alone.frames.is_empty() && alone.frames == refused.frames);
        // Where this FFmpeg knows NVDEC, the attempt began; its plan is void.
        let attempts = if Nvdec::without_gpu().takes(ff::codec::Id::H264) { 2 } else { 1 };
        assert_eq!((alone.plans.len(), refused.plans.len()), (1, attempts));
        assert!(refused.plans.iter().all(|plan| plan.frames == alone.plans[0].frames));
    }
}
