//! Crops of pictures that lie on a device: colour and resize by the same integers as on the host, to the bit, in libtorch's
//! operations, several pictures at a time.
//!
//! On a GPU **never run so far**. The tests run all of it on the CPU, with pictures in the host's memory; what they leave out is
//! the stream.

use tch::{Device, Kind, Tensor};

use crate::error::ModelError;
use crate::upload::Lane;

/// The two columns or rows of a picture that one of the crop is made of, and their weights of 2048.
pub type Tap = ([usize; 2], [i32; 2]);

/// By what pictures of one size become crops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Width and height of the pictures, pixels; the height is even.
    pub size: [usize; 2],
    /// For each column of the crop.
    pub columns: Vec<Tap>,
    /// For each row of the crop.
    pub rows: Vec<Tap>,
    /// What is taken from eight times Y, what that is multiplied by, and what eight times V, U, V and U, each less 1024, are
    /// multiplied by for red, green, green and blue; each then divided by 65536, rounded down.
    pub colours: [i32; 6],
}

/// Makes crops. Belongs to one thread.
pub struct Crops {
    device: Device,
    lane: Option<Lane>,
    tables: Option<Tables>,
    /// Luma and chroma of each picture.
    held: Vec<[Tensor; 2]>,
}

/// The same numbers, those of columns and rows on the device.
struct Tables {
    size: [i64; 2],
    colours: [i32; 6],
    columns: Taps,
    rows: Taps,
}

/// All first ones and then all second ones; weights shaped to be multiplied with.
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

/// A copy without gaps between rows.
fn own(seen: &Tensor) -> Result<Tensor, ModelError> {
    let mut own = Tensor::f_empty(seen.size(), (seen.kind(), seen.device()))?;
    own.f_copy_(seen)?;
    Ok(own)
}

fn shifted(x: &Tensor, by: i64) -> Result<Tensor, ModelError> {
    Ok(x.f_bitwise_right_shift_tensor_scalar(by)?)
}

/// A product of which the lower 16 bits are dropped, rounded down.
fn product(x: &Tensor, by: i32) -> Result<Tensor, ModelError> {
    shifted(&x.f_mul_scalar(i64::from(by))?, 16)
}

impl Crops {
    /// For pictures in the host's memory.
    pub fn here() -> Self {
        Self { device: Device::Cpu, lane: None, tables: None, held: vec![] }
    }

    /// For pictures in the memory of this GPU. All that the calling thread has the GPU do from now on goes over a stream of its
    /// own; the address that is returned is that stream's, to CUDA, and stays so as long as the process.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn on(gpu: usize) -> Result<(Self, *mut std::ffi::c_void), ModelError> {
        let lane = Lane::new(gpu)?;
        let stream = lane.enter()?;
        Ok((Self { device: Device::Cuda(gpu), lane: Some(lane), tables: None, held: vec![] }, stream))
    }

    /// Sets what pictures to come are like. There must be none at hand.
    ///
    /// # Errors
    /// Numbers that make no sense, and what libtorch reports.
    pub fn set(&mut self, numbers: &Numbers) -> Result<(), ModelError> {
        let [width, height] = numbers.size;
        let within = |taps: &[Tap], end: usize| taps.iter().all(|(places, _)| places.iter().all(|place| *place < end));
        let square = numbers.columns.len() == numbers.rows.len();
        if !within(&numbers.columns, width) || !within(&numbers.rows, height) || height % 2 == 1 || !square {
            return Err(ModelError::Internal(format!("no crop can be made of a picture of {width} × {height}")));
        }
        self.held.clear();
        let side = numbers.rows.len() as i64;
        let columns = Taps::new(&numbers.columns, [1, 1, side], self.device)?;
        let rows = Taps::new(&numbers.rows, [1, side, 1], self.device)?;
        let size = numbers.size.map(|pixels| pixels as i64);
        self.tables = Some(Tables { size, colours: numbers.colours, columns, rows });
        Ok(())
    }

    /// Takes a copy of a picture: luma, and U and V in one plane by turns. It may be gone when this returns.
    ///
    /// # Errors
    /// When nothing was set, and what libtorch reports.
    ///
    /// # Safety
    /// `planes` are addresses on this device, of as many rows, `strides` bytes apart, as the size that was set has; what makes
    /// them comes before on this thread's stream.
    pub unsafe fn take(&mut self, planes: [*const u8; 2], strides: [usize; 2]) -> Result<(), ModelError> {
        let Some(tables) = &self.tables else {
            return Err(ModelError::Internal("nothing is known of a picture".into()));
        };
        let [width, height] = tables.size;
        let [luma, chroma] = strides.map(|stride| stride as i64);
        let pairs = (width + 1) / 2;
        // SAFETY: the caller vouches for the planes; both tensors are gone before they may be.
        let picture = unsafe {
            let luma = Tensor::f_from_blob(planes[0], &[height, width], &[luma, 1], Kind::Uint8, self.device)?;
            let chroma =
                Tensor::f_from_blob(planes[1], &[height / 2, pairs, 2], &[chroma, 2, 1], Kind::Uint8, self.device)?;
            [own(&luma)?, own(&chroma)?]
        };
        if let Some(lane) = &self.lane {
            lane.wait()?;
        }
        self.held.push(picture);
        Ok(())
    }

    /// Forgets the pictures at hand.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    /// The crops of the pictures at hand, in order: pictures × rows × columns × 3 bytes, RGB, on the device, and there when this
    /// returns. None are at hand then.
    ///
    /// # Errors
    /// What libtorch reports.
    pub fn make(&mut self) -> Result<Tensor, ModelError> {
        let _guard = tch::no_grad_guard();
        let held = std::mem::take(&mut self.held);
        let Some(Tables { colours, columns, rows, .. }) = &self.tables else {
            return Err(ModelError::Internal("nothing is known of a picture".into()));
        };
        let plane = |at: usize, rows: &Tensor, columns: &Tensor| -> Result<Tensor, ModelError> {
            let planes: Vec<&Tensor> = held.iter().map(|picture| &picture[at]).collect();
            let planes = Tensor::f_stack(&planes, 0)?.f_index_select(1, rows)?.f_index_select(2, columns)?;
            Ok(planes.f_to_kind(Kind::Int)?.f_mul_scalar(8)?)
        };
        let [offset, luma, v_to_r, u_to_g, v_to_g, u_to_b] = *colours;
        let y = product(&plane(0, &rows.luma, &columns.luma)?.f_sub_scalar_(i64::from(offset))?, luma)?;
        let chroma = plane(1, &rows.chroma, &columns.chroma)?.f_sub_scalar_(1024)?;
        let (u, v) = (chroma.f_select(3, 0)?, chroma.f_select(3, 1)?);
        // The copies are as good as gone: what follows takes several times their memory.
        drop(held);
        let side = rows.weights[0].numel() as i64;
        let stretch = |mut colour: Tensor| -> Result<Tensor, ModelError> {
            let pixels = colour.f_add_(&y)?.f_clamp_(0, 255)?;
            let part = |at: i64| pixels.f_narrow(2, at * side, side)?.f_mul(&columns.weights[at as usize]);
            let sums = shifted(&part(0)?.f_add_(&part(1)?)?, 4)?;
            let part = |at: i64| shifted(&sums.f_narrow(1, at * side, side)?.f_mul(&rows.weights[at as usize])?, 16);
            let sum = part(0)?.f_add_(&part(1)?)?.f_add_scalar_(2)?;
            Ok(shifted(&sum, 2)?.f_clamp_(0, 255)?.f_to_kind(Kind::Uint8)?)
        };
        // One colour after the other, for the same reason.
        let red = stretch(product(&v, v_to_r)?)?;
        let green = stretch(product(&u, u_to_g)?.f_add_(&product(&v, v_to_g)?)?)?;
        let blue = stretch(product(&u, u_to_b)?)?;
        let crops = Tensor::f_stack(&[red, green, blue], 3)?;
        if let Some(lane) = &self.lane {
            lane.settle(&crops)?;
        }
        Ok(crops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Numbers {
        let taps = vec![([0, 1], [1024, 1024]), ([3, 3], [2048, 0])];
        Numbers { size: [4, 4], columns: taps.clone(), rows: taps, colours: [128, 9539, 13075, -3209, -6660, 16525] }
    }

    #[test]
    fn pictures_come_out_in_order_and_may_be_gone_before() {
        let mut crops = Crops::here();
        crops.set(&numbers()).unwrap();
        for grey in [16_u8, 126, 235] {
            // Three bytes more a row than there are pixels.
            let (luma, chroma) = (vec![grey; 4 * 7], vec![128; 2 * 7]);
            // SAFETY: the planes have four and two rows of seven bytes.
            unsafe { crops.take([luma.as_ptr(), chroma.as_ptr()], [7, 7]).unwrap() };
        }
        assert_eq!(crops.held.len(), 3);
        let made = crops.make().unwrap();
        assert_eq!((made.size(), crops.held.len()), (vec![3, 2, 2, 3], 0));
        let expected: Vec<u8> = [0, 128, 255].into_iter().flat_map(|grey| [grey; 12]).collect();
        assert_eq!(Vec::<u8>::try_from(made.flatten(0, -1)).unwrap(), expected);
    }

    #[test]
    fn numbers_that_reach_beyond_a_picture_are_an_error_and_no_read() {
        let mut crops = Crops::here();
        // SAFETY: nothing was set, so nothing is read.
        let taken = unsafe { crops.take([std::ptr::null(); 2], [0; 2]) };
        assert!(matches!(taken, Err(ModelError::Internal(_))));
        for wrong in [
            Numbers { size: [3, 4], ..numbers() },
            Numbers { size: [4, 2], ..numbers() },
            Numbers { size: [4, 5], ..numbers() },
            Numbers { rows: vec![], ..numbers() },
        ] {
            assert!(matches!(crops.set(&wrong), Err(ModelError::Internal(_))), "{wrong:?}");
        }
    }

    #[test]
    fn without_cuda_there_is_an_error_and_no_crash() {
        assert!(Crops::on(0).is_err());
    }
}
