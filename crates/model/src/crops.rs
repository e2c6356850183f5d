//! Computes crops of decoded frames on a device: colour conversion and resizing with libtorch operations, several frames at a
//! time. The integer arithmetic is the same as on the CPU, so the results are equal to the bit.
//!
//! **This has never been run on a GPU.** The tests run all of it on the CPU, except for the stream.

use tch::{Device, Kind, Tensor};

use crate::error::ModelError;
use crate::upload::CopyStream;

/// The two source columns or rows of a column or row of the crop, and their weights, which sum to 2048.
pub type Tap = ([usize; 2], [i32; 2]);

/// How to compute crops of frames of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CropSpec {
    /// Width and height of the frames in pixels. The height is even.
    pub size: [usize; 2],
    /// The taps of each column of the crop.
    pub columns: Vec<Tap>,
    /// The taps of each row of the crop.
    pub rows: Vec<Tap>,
    /// The coefficients of the colour conversion: the offset of 8·Y, the factor of 8·Y, and the factors of 8·V for red, 8·U
    /// for green, 8·V for green and 8·U for blue, where 1024 is subtracted from 8·U and 8·V. Products are divided by 65536
    /// and rounded down.
    pub colours: [i32; 6],
}

/// Computes crops on one thread.
pub struct Crops {
    device: Device,
    stream: Option<CopyStream>,
    tables: Option<Tables>,
    /// Luma and chroma of the pending frames.
    pending: Vec<[Tensor; 2]>,
}

/// A [`CropSpec`] on the device.
struct Tables {
    size: [i64; 2],
    colours: [i32; 6],
    columns: Taps,
    rows: Taps,
}

/// The taps of all columns or rows: the indices of all first taps, then of all second taps, and the weights of each.
struct Taps {
    luma: Tensor,
    chroma: Tensor,
    weights: [Tensor; 2],
}

impl Taps {
    fn new(taps: &[Tap], shape: [i64; 3], device: Device) -> Result<Self, ModelError> {
        let at = |side: usize| taps.iter().map(move |(places, _)| places[side] as i64);
        let luma: Vec<i64> = at(0).chain(at(1)).collect();
        let chroma: Vec<i64> = luma.iter().map(|place| place / 2).collect();
        let weights = |side: usize| -> Result<Tensor, ModelError> {
            let weights: Vec<i32> = taps.iter().map(|(_, weights)| weights[side]).collect();
            Ok(Tensor::f_from_slice(&weights)?.f_view(shape)?.f_to(device)?)
        };
        Ok(Self {
            luma: Tensor::f_from_slice(&luma)?.f_to(device)?,
            chroma: Tensor::f_from_slice(&chroma)?.f_to(device)?,
            weights: [weights(0)?, weights(1)?],
        })
    }
}

/// A contiguous copy.
fn contiguous_copy(view: &Tensor) -> Result<Tensor, ModelError> {
    let mut copy = Tensor::f_empty(view.size(), (view.kind(), view.device()))?;
    copy.f_copy_(view)?;
    Ok(copy)
}

fn shift_right(x: &Tensor, bits: i64) -> Result<Tensor, ModelError> {
    Ok(x.f_bitwise_right_shift_tensor_scalar(bits)?)
}

/// x · factor / 65536, rounded down.
fn scale(x: &Tensor, factor: i32) -> Result<Tensor, ModelError> {
    shift_right(&x.f_mul_scalar(i64::from(factor))?, 16)
}

impl Crops {
    /// For frames in host memory.
    pub fn on_host() -> Self {
        Self { device: Device::Cpu, stream: None, tables: None, pending: vec![] }
    }

    /// For frames in the memory of a GPU. Creates a stream and makes it the current stream of the calling thread. Also returns
    /// CUDA's handle of the stream, which stays valid as long as the process.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn open_on_stream(gpu: usize) -> Result<(Self, *mut std::ffi::c_void), ModelError> {
        let stream = CopyStream::new(gpu)?;
        let handle = stream.make_current()?;
        Ok((Self { device: Device::Cuda(gpu), stream: Some(stream), tables: None, pending: vec![] }, handle))
    }

    /// Sets the parameters for the next frames, and drops pending frames.
    ///
    /// # Errors
    /// When the parameters are invalid, or libtorch fails.
    pub fn set(&mut self, spec: &CropSpec) -> Result<(), ModelError> {
        let [width, height] = spec.size;
        let within = |taps: &[Tap], end: usize| taps.iter().all(|(places, _)| places.iter().all(|place| *place < end));
        let square = spec.columns.len() == spec.rows.len();
        if !within(&spec.columns, width) || !within(&spec.rows, height) || height % 2 == 1 || !square {
            return Err(ModelError::Internal(format!("no crop can be made of a picture of {width} × {height}")));
        }
        self.pending.clear();
        let side = spec.rows.len() as i64;
        let columns = Taps::new(&spec.columns, [1, 1, side], self.device)?;
        let rows = Taps::new(&spec.rows, [1, side, 1], self.device)?;
        let size = spec.size.map(|pixels| pixels as i64);
        self.tables = Some(Tables { size, colours: spec.colours, columns, rows });
        Ok(())
    }

    /// Copies a frame in NV12 format: luma, and interleaved U and V. The frame may be freed when this returns.
    ///
    /// # Errors
    /// When no parameters are set, or libtorch fails.
    ///
    /// # Safety
    /// `planes` must be addresses on this device of planes with the size that was set, whose rows are `strides` bytes apart.
    /// They must be written earlier on the current stream of this thread.
    pub unsafe fn push(&mut self, planes: [*const u8; 2], strides: [usize; 2]) -> Result<(), ModelError> {
        let tables = self.tables.as_ref().ok_or_else(not_set)?;
        let [width, height] = tables.size;
        let [luma, chroma] = strides.map(|stride| stride as i64);
        let pairs = (width + 1) / 2;
        // SAFETY: the caller guarantees that the planes are valid. The tensors over them do not outlive this function.
        let frame = unsafe {
            let luma = Tensor::f_from_blob(planes[0], &[height, width], &[luma, 1], Kind::Uint8, self.device)?;
            let chroma =
                Tensor::f_from_blob(planes[1], &[height / 2, pairs, 2], &[chroma, 2, 1], Kind::Uint8, self.device)?;
            [contiguous_copy(&luma)?, contiguous_copy(&chroma)?]
        };
        if let Some(stream) = &self.stream {
            stream.synchronize()?;
        }
        self.pending.push(frame);
        Ok(())
    }

    /// Drops pending frames.
    pub fn clear(&mut self) {
        self.pending.clear();
    }

    /// Computes the crops of the pending frames, in order: frames × rows × columns × 3 bytes, RGB, on the device. They are
    /// complete when this returns.
    ///
    /// # Errors
    /// When no parameters are set, or libtorch fails.
    pub fn compute(&mut self) -> Result<Tensor, ModelError> {
        let _guard = tch::no_grad_guard();
        let pending = std::mem::take(&mut self.pending);
        let Tables { colours, columns, rows, .. } = self.tables.as_ref().ok_or_else(not_set)?;
        // The source pixels of all taps of a plane, times eight.
        let gather = |plane: usize, rows: &Tensor, columns: &Tensor| -> Result<Tensor, ModelError> {
            let planes: Vec<&Tensor> = pending.iter().map(|frame| &frame[plane]).collect();
            let planes = Tensor::f_stack(&planes, 0)?.f_index_select(1, rows)?.f_index_select(2, columns)?;
            Ok(planes.f_to_kind(Kind::Int)?.f_mul_scalar(8)?)
        };
        let [offset, luma, v_to_r, u_to_g, v_to_g, u_to_b] = *colours;
        let y = scale(&gather(0, &rows.luma, &columns.luma)?.f_sub_scalar_(i64::from(offset))?, luma)?;
        let chroma = gather(1, &rows.chroma, &columns.chroma)?.f_sub_scalar_(1024)?;
        let (u, v) = (chroma.f_select(3, 0)?, chroma.f_select(3, 1)?);
        // Free the frames, because the next steps take several times their memory. For the same reason the colours are
        // computed one after another.
        drop(pending);
        let side = rows.weights[0].numel() as i64;
        let resize = |mut colour: Tensor| -> Result<Tensor, ModelError> {
            let pixels = colour.f_add_(&y)?.f_clamp_(0, 255)?;
            let part = |tap: i64| pixels.f_narrow(2, tap * side, side)?.f_mul(&columns.weights[tap as usize]);
            let sums = shift_right(&part(0)?.f_add_(&part(1)?)?, 4)?;
            let part =
                |tap: i64| shift_right(&sums.f_narrow(1, tap * side, side)?.f_mul(&rows.weights[tap as usize])?, 16);
            let sum = part(0)?.f_add_(&part(1)?)?.f_add_scalar_(2)?;
            Ok(shift_right(&sum, 2)?.f_clamp_(0, 255)?.f_to_kind(Kind::Uint8)?)
        };
        let red = resize(scale(&v, v_to_r)?)?;
        let green = resize(scale(&u, u_to_g)?.f_add_(&scale(&v, v_to_g)?)?)?;
        let blue = resize(scale(&u, u_to_b)?)?;
        let crops = Tensor::f_stack(&[red, green, blue], 3)?;
        if let Some(stream) = &self.stream {
            stream.synchronize_for_model(&crops)?;
        }
        Ok(crops)
    }
}

fn not_set() -> ModelError {
    ModelError::Internal("the parameters of the crops are not set".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> CropSpec {
        let taps = vec![([0, 1], [1024, 1024]), ([3, 3], [2048, 0])];
        CropSpec { size: [4, 4], columns: taps.clone(), rows: taps, colours: [128, 9539, 13075, -3209, -6660, 16525] }
    }

    #[test]
    fn crops_are_in_the_order_of_the_frames() {
        let mut crops = Crops::on_host();
        crops.set(&spec()).unwrap();
        for grey in [16_u8, 126, 235] {
            // Rows are three bytes longer than their pixels. The planes are freed before the crops are computed.
            let (luma, chroma) = (vec![grey; 4 * 7], vec![128; 2 * 7]);
            // SAFETY: the planes have four and two rows of seven bytes.
            unsafe { crops.push([luma.as_ptr(), chroma.as_ptr()], [7, 7]).unwrap() };
        }
        assert_eq!(crops.pending.len(), 3);
        let computed = crops.compute().unwrap();
        assert_eq!((computed.size(), crops.pending.len()), (vec![3, 2, 2, 3], 0));
        let expected: Vec<u8> = [0, 128, 255].into_iter().flat_map(|grey| [grey; 12]).collect();
        assert_eq!(Vec::<u8>::try_from(computed.flatten(0, -1)).unwrap(), expected);
    }

    #[test]
    fn parameters_outside_the_frame_are_refused() {
        let mut crops = Crops::on_host();
        // SAFETY: without parameters nothing is read.
        let pushed = unsafe { crops.push([std::ptr::null(); 2], [0; 2]) };
        assert!(matches!(pushed, Err(ModelError::Internal(_))));
        for wrong in [
            CropSpec { size: [3, 4], ..spec() },
            CropSpec { size: [4, 2], ..spec() },
            CropSpec { size: [4, 5], ..spec() },
            CropSpec { rows: vec![], ..spec() },
        ] {
            assert!(matches!(crops.set(&wrong), Err(ModelError::Internal(_))), "{wrong:?}");
        }
    }

    #[test]
    fn without_cuda_there_is_an_error() {
        assert!(Crops::open_on_stream(0).is_err());
    }
}
