//! NumPy's `.npy`: writes matrices of float32 or float16 as `numpy.save` does, and reads matrices of any float type.
//!
//! The existing crates bring a grammar of Python literals and much to compile; this needs three keys.

use reeldeck_common::feature::Matrix;
use reeldeck_pickle::tensor::{Dtype, TensorRef};

use crate::format::Axes;

const MAGIC: &[u8] = b"\x93NUMPY";
/// Our headers have 128 bytes. Larger headers than this do not belong to plain arrays.
const MAX_HEADER_LEN: usize = 1 << 16;

/// Appends the file of a matrix.
pub fn write(matrix: &Matrix, axes: Axes, out: &mut Vec<u8>) {
    write_as("<f4", f32::to_le_bytes, matrix, axes, out);
}

/// Whether [`write_half`] keeps all numbers of a matrix finite. The largest of float16 is 65504.
pub fn fits_half(matrix: &Matrix) -> bool {
    matrix.data.iter().all(|&number| half::f16::from_f32(number).is_finite())
}

/// The same in 16 bits, rounded to the nearest. See [`fits_half`].
pub fn write_half(matrix: &Matrix, axes: Axes, out: &mut Vec<u8>) {
    write_as("<f2", |number| half::f16::from_f32(number).to_le_bytes(), matrix, axes, out);
}

fn write_as<const N: usize>(descr: &str, bytes: fn(f32) -> [u8; N], matrix: &Matrix, axes: Axes, out: &mut Vec<u8>) {
    let [rows, columns] = axes.shape(matrix.shape);
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    // NumPy reserves 21 digits for the first size, then pads to a multiple of 64 and ends the line.
    header.extend(std::iter::repeat_n(' ', 21usize.saturating_sub(rows.to_string().len())));
    let start = MAGIC.len() + 4;
    let length = (start + header.len() + 1).next_multiple_of(64) - start;
    header.extend(std::iter::repeat_n(' ', length - header.len() - 1));
    header.push('\n');
    out.reserve(start + length + matrix.data.len() * N);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&(length as u16).to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    match axes {
        Axes::Tc => out.extend(matrix.data.iter().copied().flat_map(bytes)),
        Axes::Ct => out.extend(transposed(matrix).into_iter().flat_map(bytes)),
    }
}

/// The numbers in column order.
pub fn transposed(matrix: &Matrix) -> Vec<f32> {
    let [_, columns] = matrix.shape;
    (0..columns).flat_map(|column| matrix.data.iter().skip(column).step_by(columns)).copied().collect()
}

/// Reads a matrix of floats of any width as float32.
///
/// # Errors
/// What is wrong: another kind of file, a truncated one, not a matrix, not floats.
pub fn read(bytes: &[u8]) -> Result<Matrix, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is not a .npy file")?;
    let (length, at) = match rest {
        [1, 0, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 4),
        [2 | 3, 0, a, b, c, d, ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 6),
        _ => return Err("unknown version of the .npy format".into()),
    };
    if length > MAX_HEADER_LEN {
        return Err(format!("its header claims {length} bytes"));
    }
    let header = rest.get(at..at + length).ok_or("its header is truncated")?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is not text")?;
    let data = rest.get(at + length..).unwrap_or_default();
    let Header { dtype, fortran, shape: [rows, columns] } = parse(header)?;
    let needed = rows.checked_mul(columns).and_then(|n| n.checked_mul(dtype.size()));
    match needed {
        Some(needed) if needed == data.len() => {}
        Some(needed) => return Err(format!("it holds {} bytes of numbers where its header says {needed}", data.len())),
        None => return Err(format!("its header claims a shape of {rows} × {columns}")),
    }
    let strides = if fortran { vec![1, rows] } else { vec![columns, 1] };
    let tensor = TensorRef::new(dtype, data, 0, vec![rows, columns], strides).map_err(|error| error.to_string())?;
    Ok(Matrix { shape: [rows, columns], data: tensor.to_f32() })
}

struct Header {
    dtype: Dtype,
    fortran: bool,
    shape: [usize; 2],
}

/// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (100, 700), }`.
fn parse(header: &str) -> Result<Header, String> {
    let value = |key: &str| {
        let (_, rest) = header.split_once(&format!("'{key}':")).ok_or(format!("its header has no {key}"))?;
        Ok::<_, String>(rest.trim_start())
    };
    let descr = value("descr")?.strip_prefix('\'').and_then(|rest| rest.split('\'').next()).unwrap_or("a structure");
    let dtype = match descr {
        "<f4" => Dtype::F32,
        "<f8" => Dtype::F64,
        "<f2" => Dtype::F16,
        other => return Err(format!("it holds numbers of type {other:?}, not floats (<f2, <f4, <f8)")),
    };
    let fortran = match value("fortran_order")? {
        text if text.starts_with("True") => true,
        text if text.starts_with("False") => false,
        _ => return Err("fortran_order in its header is neither True nor False".into()),
    };
    let shape = value("shape")?.strip_prefix('(').and_then(|rest| rest.split(')').next());
    let shape = shape.ok_or("its header has no shape")?;
    let sizes: Result<Vec<usize>, _> =
        shape.split(',').map(str::trim).filter(|size| !size.is_empty()).map(str::parse).collect();
    match sizes.as_deref() {
        Ok(&[rows, columns]) => Ok(Header { dtype, fortran, shape: [rows, columns] }),
        _ => Err(format!("its shape is ({shape}), not two sizes")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn small() -> Matrix {
        Matrix { shape: [2, 3], data: vec![1.0, 2.0, 3.0, 4.0, 5.0, -0.5] }
    }

    /// The bytes that `numpy.save` of NumPy 2.4 writes.
    #[test]
    fn a_file_has_the_bytes_that_numpy_writes() {
        let mut out = vec![];
        write(&small(), Axes::Tc, &mut out);
        let mut expected = b"\x93NUMPY\x01\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }".to_vec();
        expected.resize(127, b' ');
        expected.push(b'\n');
        expected.extend([1.0f32, 2.0, 3.0, 4.0, 5.0, -0.5].iter().flat_map(|v| v.to_le_bytes()));
        assert_eq!(out, expected);
    }

    /// The bytes that `numpy.save` of NumPy 2.4 writes for `x.astype(numpy.float16)`.
    #[test]
    fn half_a_file_has_the_bytes_that_numpy_writes() {
        let matrix = Matrix { shape: [2, 3], data: vec![1.0, 2.0, 0.1, 1e-7, 65520.0, -0.5] };
        let mut out = vec![];
        write_half(&matrix, Axes::Tc, &mut out);
        let mut expected = b"\x93NUMPY\x01\0v\0{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }".to_vec();
        expected.resize(127, b' ');
        expected.push(b'\n');
        expected.extend([0x00, 0x3c, 0x00, 0x40, 0x66, 0x2e, 0x02, 0x00, 0x00, 0x7c, 0x00, 0xb8]);
        assert_eq!(out, expected);
        assert_eq!(read(&out).unwrap().data[2], 0.099_975_586);
    }

    #[test]
    fn ct_is_the_transposed_matrix() {
        let mut out = vec![];
        write(&small(), Axes::Ct, &mut out);
        let transposed = Matrix { shape: [3, 2], data: vec![1.0, 4.0, 2.0, 5.0, 3.0, -0.5] };
        assert_eq!(read(&out).unwrap(), transposed);
    }

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn other_widths_and_orders_are_read() {
        let numbers = [1.0f64, 2.0, 3.0, 4.0, 5.0, -0.5];
        let doubles: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
        let header = "{'shape': (2, 3), 'fortran_order': False, 'descr': '<f8'}\n";
        assert_eq!(read(&file(header, &doubles)).unwrap(), small());
        let columns = "{'descr': '<f8', 'fortran_order': True, 'shape': (3, 2,), }\n";
        let read_back = read(&file(columns, &doubles)).unwrap();
        assert_eq!((read_back.shape, read_back.data), ([3, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, -0.5]));
        let halves: Vec<u8> =
            [0x3c00u16, 0x4000, 0x4200, 0x4400, 0x4500, 0xb800].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(read(&file(&header.replace("f8", "f2"), &halves)).unwrap(), small());
    }

    #[test]
    fn other_files_are_refused_with_the_reason() {
        let fine = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
        let data = [0; 24];
        for (header, says) in [
            (fine.replace("<f4", "|O"), "\"|O\""),
            (fine.replace("'<f4'", "[('a', '<f4')]"), "a structure"),
            (fine.replace("(2, 3)", "(6,)"), "(6,), not two sizes"),
            (fine.replace("(2, 3)", "(2, -3)"), "not two sizes"),
            (fine.replace("(2, 3)", "(99999999999, 99999999999)"), "claims a shape"),
            (fine.replace("(2, 3)", "(2, 4)"), "24 bytes of numbers where its header says 32"),
            (fine.replace("False", "maybe"), "fortran_order"),
            (fine.replace("descr", "d"), "no descr"),
        ] {
            let error = read(&file(&header, &data)).unwrap_err();
            assert!(error.contains(says), "{header}: {error}");
        }
        assert!(read(b"PK\x03\x04").unwrap_err().contains("not a .npy file"));
        assert!(read(b"\x93NUMPY\x02\0\xff\xff\xff\xff").unwrap_err().contains("claims 4294967295"));
        assert!(read(&file(fine, &data)[..20]).unwrap_err().contains("truncated"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(rows in 1..20usize, columns in 1..20usize, bits in proptest::collection::vec(any::<u32>(), 400)) {
            let data: Vec<f32> = bits.iter().take(rows * columns).map(|b| f32::from_bits(*b)).collect();
            let matrix = Matrix { shape: [rows, columns], data };
            let mut out = vec![];
            write(&matrix, Axes::Tc, &mut out);
            prop_assert_eq!(out.len() % 64, rows * columns * 4 % 64);
            let read = read(&out).unwrap();
            prop_assert_eq!(read.shape, matrix.shape);
            let bits = |m: &Matrix| m.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&read), bits(&matrix));
        }

        #[test]
        fn nothing_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), known: bool) {
            if known {
                bytes.splice(0..0, file("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", &[]));
            }
            let _ = read(&bytes);
        }
    }
}
