//! Tensors as views of a storage's bytes.

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// IEEE 16-bit float.
    F16,
    /// bfloat16.
    Bf16,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 8 bits.
    U8,
    /// One byte; zero is false.
    Bool,
}

impl Dtype {
    /// The size of an element in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// PyTorch's name of the type, such as `float32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::I16 => "int16",
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::Bool => "bool",
        }
    }

    /// The type of the elements of a storage class such as `FloatStorage`; `None` if it is not supported.
    pub fn of_storage_class(name: &str) -> Option<Self> {
        Some(match name {
            "FloatStorage" => Self::F32,
            "DoubleStorage" => Self::F64,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "CharStorage" => Self::I8,
            "ByteStorage" => Self::U8,
            "BoolStorage" => Self::Bool,
            _ => return None,
        })
    }

    /// The storage class of this type.
    pub fn storage_class(self) -> &'static str {
        match self {
            Self::F32 => "FloatStorage",
            Self::F64 => "DoubleStorage",
            Self::F16 => "HalfStorage",
            Self::Bf16 => "BFloat16Storage",
            Self::I64 => "LongStorage",
            Self::I32 => "IntStorage",
            Self::I16 => "ShortStorage",
            Self::I8 => "CharStorage",
            Self::U8 => "ByteStorage",
            Self::Bool => "BoolStorage",
        }
    }
}

/// The largest number of elements of a tensor.
pub const MAX_ELEMENTS: usize = 1 << 31;
/// The largest number of elements of an expanded tensor, which has more elements than its storage. Without this limit a file
/// of a few bytes could take gigabytes of memory.
pub const MAX_EXPANDED_ELEMENTS: usize = 1 << 22;
/// The largest number of dimensions.
pub const MAX_DIMENSIONS: usize = 32;

/// Why a tensor is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// It has more than [`MAX_DIMENSIONS`].
    #[error("it has {0} dimensions, more than {MAX_DIMENSIONS}")]
    TooManyDimensions(usize),
    /// The numbers of dimensions and strides differ.
    #[error("it has {dimensions} dimensions and {strides} strides")]
    StridesDoNotFit {
        /// The number of dimensions.
        dimensions: usize,
        /// The number of strides.
        strides: usize,
    },
    /// It has more than [`MAX_ELEMENTS`].
    #[error("shape {0:?} is too large")]
    TooLarge(Vec<usize>),
    /// It is expanded to more than [`MAX_EXPANDED_ELEMENTS`].
    #[error(
        "shape {shape:?} is far larger than the {stored} elements stored for it; save it again after `.contiguous()`"
    )]
    Expanded {
        /// Its shape.
        shape: Vec<usize>,
        /// The number of elements in its storage.
        stored: usize,
    },
    /// It extends beyond the end of its storage.
    #[error("shape {shape:?} reaches past the {stored} elements stored for it")]
    OutOfBounds {
        /// Its shape.
        shape: Vec<usize>,
        /// The number of elements in its storage.
        stored: usize,
    },
    /// Its elements are floats, and integers were requested.
    #[error("it holds {} and not integers", .0.name())]
    NotIntegers(Dtype),
}

/// A tensor as a view of its storage, which it may share with other tensors. All elements lie within the storage.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorRef<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    bytes: &'a [u8],
    elements: usize,
}

impl<'a> TensorRef<'a> {
    /// A view of `bytes`, which are little-endian elements of type `dtype`. `offset` and `strides` are in elements.
    ///
    /// # Errors
    /// When an element lies outside `bytes`, or the tensor exceeds a limit of this module.
    pub fn new(
        dtype: Dtype,
        bytes: &'a [u8],
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
    ) -> Result<Self, TensorError> {
        if shape.len() > MAX_DIMENSIONS {
            return Err(TensorError::TooManyDimensions(shape.len()));
        }
        if shape.len() != strides.len() {
            return Err(TensorError::StridesDoNotFit { dimensions: shape.len(), strides: strides.len() });
        }
        let Some(elements) = element_count(&shape) else { return Err(TensorError::TooLarge(shape)) };
        let stored = bytes.len() / dtype.size();
        if elements > 0 && last_element(offset, &shape, &strides).is_none_or(|last| last >= stored) {
            return Err(TensorError::OutOfBounds { shape, stored });
        }
        if elements > stored && elements > MAX_EXPANDED_ELEMENTS {
            return Err(TensorError::Expanded { shape, stored });
        }
        Ok(Self { dtype, shape, strides, offset, bytes, elements })
    }

    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The size of each dimension; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The bytes of the whole storage.
    pub fn storage(&self) -> &'a [u8] {
        self.bytes
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.elements
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// Whether the elements are stored without gaps in row-major order.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.elements == 0
            || self.shape.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
                let fits = size == 1 || stride == expected;
                expected *= size;
                fits
            })
    }

    /// The elements in row-major order as 32-bit floats, rounded to the nearest.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F32 => self.map(f32::from_le_bytes),
            Dtype::F64 => self.map(|bytes| f64::from_le_bytes(bytes) as f32),
            Dtype::F16 => self.map(|bytes| half::f16::from_le_bytes(bytes).to_f32()),
            Dtype::Bf16 => self.map(|bytes| half::bf16::from_le_bytes(bytes).to_f32()),
            Dtype::I64 => self.map(|bytes| i64::from_le_bytes(bytes) as f32),
            Dtype::I32 => self.map(|bytes| i32::from_le_bytes(bytes) as f32),
            Dtype::I16 => self.map(|bytes| f32::from(i16::from_le_bytes(bytes))),
            Dtype::I8 => self.map(|bytes| f32::from(i8::from_le_bytes(bytes))),
            Dtype::U8 => self.map(|[byte]| f32::from(byte)),
            Dtype::Bool => self.map(|[byte]| f32::from(byte != 0)),
        }
    }

    /// The elements in row-major order as integers.
    ///
    /// # Errors
    /// [`TensorError::NotIntegers`] when they are floats.
    pub fn to_i64(&self) -> Result<Vec<i64>, TensorError> {
        Ok(match self.dtype {
            Dtype::I64 => self.map(i64::from_le_bytes),
            Dtype::I32 => self.map(|bytes| i64::from(i32::from_le_bytes(bytes))),
            Dtype::I16 => self.map(|bytes| i64::from(i16::from_le_bytes(bytes))),
            Dtype::I8 => self.map(|bytes| i64::from(i8::from_le_bytes(bytes))),
            Dtype::U8 => self.map(|[byte]| i64::from(byte)),
            Dtype::Bool => self.map(|[byte]| i64::from(byte != 0)),
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => return Err(TensorError::NotIntegers(self.dtype)),
        })
    }

    /// Decodes the elements of N bytes in row-major order.
    fn map<const N: usize, T>(&self, decode: impl Fn([u8; N]) -> T) -> Vec<T> {
        let (stored, _) = self.bytes.as_chunks::<N>();
        if self.is_contiguous() {
            // The offset of an empty tensor may be out of range.
            let elements = stored.get(self.offset..).unwrap_or_default().iter().take(self.elements);
            return elements.map(|&bytes| decode(bytes)).collect();
        }
        let mut out = Vec::with_capacity(self.elements);
        let mut index = vec![0; self.shape.len()];
        let mut position = self.offset;
        for _ in 0..self.elements {
            // `new` has checked that the position is in range.
            out.extend(stored.get(position).map(|&bytes| decode(bytes)));
            // Increment the index of the last dimension, with a carry to the one before it. The position may wrap around
            // before a carry, because a dimension of one element may have any stride.
            for ((index, &size), &stride) in index.iter_mut().zip(&self.shape).zip(&self.strides).rev() {
                *index += 1;
                position = position.wrapping_add(stride);
                if *index < size {
                    break;
                }
                position = position.wrapping_sub(stride.wrapping_mul(size));
                *index = 0;
            }
        }
        out
    }
}

/// The strides of a row-major tensor, in elements.
pub(crate) fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    let mut stride: usize = 1;
    for (slot, &size) in strides.iter_mut().zip(shape).rev() {
        *slot = stride;
        // As in PyTorch, an empty dimension does not set the strides before it to 0.
        stride = stride.saturating_mul(size.max(1));
    }
    strides
}

/// The number of elements; `None` if it exceeds [`MAX_ELEMENTS`].
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    let count = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size))?;
    (count <= MAX_ELEMENTS).then_some(count)
}

/// The position of the last element; `None` if it overflows. No dimension may be empty.
fn last_element(offset: usize, shape: &[usize], strides: &[usize]) -> Option<usize> {
    shape
        .iter()
        .zip(strides)
        .try_fold(offset, |position, (&size, &stride)| position.checked_add(size.checked_sub(1)?.checked_mul(stride)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn a_transposed_view_is_read_in_row_major_order() {
        let bytes = floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let tensor = TensorRef::new(Dtype::F32, &bytes, 1, vec![3, 2], vec![1, 3]).unwrap();
        assert!(!tensor.is_contiguous());
        assert_eq!(tensor.to_f32(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn expanded_tensors_and_scalars_are_read() {
        let bytes = floats(&[7.0, 8.0]);
        let expanded = TensorRef::new(Dtype::F32, &bytes, 1, vec![2, 3], vec![0, 0]).unwrap();
        assert_eq!(expanded.to_f32(), [8.0; 6]);
        let scalar = TensorRef::new(Dtype::F32, &bytes, 0, vec![], vec![]).unwrap();
        assert_eq!(scalar.to_f32(), [7.0]);
        // A dimension of one element may have any stride.
        let odd = TensorRef::new(Dtype::F32, &bytes, 0, vec![1, 2], vec![usize::MAX, 1]).unwrap();
        assert!(odd.is_contiguous());
        assert_eq!(odd.to_f32(), [7.0, 8.0]);
    }

    #[test]
    fn empty_tensors_need_no_storage() {
        let tensor = TensorRef::new(Dtype::I64, &[], usize::MAX, vec![usize::MAX, 0, usize::MAX], vec![9; 3]).unwrap();
        assert!(tensor.is_empty());
        assert_eq!(tensor.to_i64().unwrap(), []);
    }

    #[test]
    fn invalid_views_are_refused() {
        let bytes = floats(&[1.0; 6]);
        let new = |offset, shape: &[usize], strides: &[usize]| {
            TensorRef::new(Dtype::F32, &bytes, offset, shape.to_vec(), strides.to_vec()).unwrap_err()
        };
        assert!(matches!(new(1, &[2, 3], &[3, 1]), TensorError::OutOfBounds { stored: 6, .. }));
        assert!(matches!(new(6, &[], &[]), TensorError::OutOfBounds { .. }));
        assert!(matches!(new(0, &[2], &[usize::MAX]), TensorError::OutOfBounds { .. }));
        assert!(matches!(new(usize::MAX, &[2], &[1]), TensorError::OutOfBounds { .. }));
        assert!(matches!(new(0, &[usize::MAX, 2], &[0, 0]), TensorError::TooLarge(_)));
        assert!(matches!(new(0, &[MAX_EXPANDED_ELEMENTS + 1], &[0]), TensorError::Expanded { .. }));
        assert!(matches!(new(0, &[1; 33], &[1; 33]), TensorError::TooManyDimensions(33)));
        assert!(matches!(new(0, &[1], &[]), TensorError::StridesDoNotFit { dimensions: 1, strides: 0 }));
    }

    #[test]
    fn all_types_are_converted() {
        let read = |dtype, bytes: &[u8]| {
            let count = bytes.len() / Dtype::size(dtype);
            let tensor = TensorRef::new(dtype, bytes, 0, vec![count], vec![1]).unwrap();
            (tensor.to_f32(), tensor.to_i64())
        };
        assert_eq!(read(Dtype::F16, &[0x00, 0x3c, 0x00, 0xc0]).0, [1.0, -2.0]);
        assert_eq!(read(Dtype::Bf16, &[0x80, 0x3f, 0x49, 0x40]).0, [1.0, 3.140625]);
        assert_eq!(read(Dtype::F64, &1e300f64.to_le_bytes()).0, [f32::INFINITY]);
        assert_eq!(read(Dtype::F64, &0.1f64.to_le_bytes()), (vec![0.1], Err(TensorError::NotIntegers(Dtype::F64))));
        assert_eq!(read(Dtype::I64, &i64::MIN.to_le_bytes()), (vec![i64::MIN as f32], Ok(vec![i64::MIN])));
        assert_eq!(read(Dtype::I32, &(-3i32).to_le_bytes()), (vec![-3.0], Ok(vec![-3])));
        assert_eq!(read(Dtype::I16, &(-300i16).to_le_bytes()), (vec![-300.0], Ok(vec![-300])));
        assert_eq!(read(Dtype::I8, &[0xff, 0x7f]), (vec![-1.0, 127.0], Ok(vec![-1, 127])));
        assert_eq!(read(Dtype::U8, &[0xff]), (vec![255.0], Ok(vec![255])));
        assert_eq!(read(Dtype::Bool, &[0, 1, 2]), (vec![0.0, 1.0, 1.0], Ok(vec![0, 1, 1])));
    }

    #[test]
    fn strides_are_those_of_pytorch() {
        assert_eq!(row_major_strides(&[2, 3, 4]), [12, 4, 1]);
        assert_eq!(row_major_strides(&[]), [0usize; 0]);
        assert_eq!(row_major_strides(&[0, 700]), [700, 1]);
        assert_eq!(row_major_strides(&[5, 0]), [1, 1]);
    }
}
