//! CSV as MMAction2's localizers read it: a header `f0,f1,…`, then one line per clip.
//!
//! MMAction2 prints a float32 as the float64 of the same value, by Python's `repr`, separated by `", "`. [`write()`] does
//! the same, to the byte. The compact form prints the fewest digits that read back as the same float32, also when they are
//! first read as float64 as `numpy.loadtxt` does; a test tries all values.

use reeldeck_common::feature::Matrix;

/// Appends the text of a matrix, rows × columns.
pub(crate) fn write(matrix: &Matrix, compact: bool, out: &mut Vec<u8>) {
    let [_, columns] = matrix.shape;
    for column in 0..columns {
        let comma = if column == 0 { "f" } else { ",f" };
        out.extend_from_slice(comma.as_bytes());
        out.extend_from_slice(column.to_string().as_bytes());
    }
    out.push(b'\n');
    // An estimate that avoids most reallocations.
    out.reserve(matrix.data.len() * if compact { 11 } else { 21 });
    for row in matrix.data.chunks_exact(columns.max(1)) {
        for (column, value) in row.iter().enumerate() {
            match (compact, column) {
                (_, 0) => {}
                (true, _) => out.push(b','),
                (false, _) => out.extend_from_slice(b", "),
            }
            if compact { shortest(*value, out) } else { python(*value, out) }
        }
        out.push(b'\n');
    }
}

/// Appends what Python prints for the float64 of the same value.
fn python(value: f32, out: &mut Vec<u8>) {
    let value = f64::from(value);
    if !value.is_finite() {
        return out.extend_from_slice(not_finite(value).as_bytes());
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    // Python uses an exponent below 1e-4 and from 1e16 on. In between the crate prints the same.
    if (1e-4..1e16).contains(&value.abs()) || value == 0.0 {
        return out.extend_from_slice(text.as_bytes());
    }
    let number = Decimal::of(text);
    let exponent = number.point - 1;
    out.extend_from_slice(number.sign.as_bytes());
    let digits = number.digits.as_bytes();
    out.extend_from_slice(digits.get(..1).unwrap_or_default());
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(digits.get(1..).unwrap_or_default());
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    out.extend_from_slice(format!("e{sign}{:02}", exponent.abs()).as_bytes());
}

/// Appends the shortest text that reads back as the same float32: no zero before the point, none at the end, an exponent
/// where it is shorter.
fn shortest(value: f32, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return out.extend_from_slice(not_finite(f64::from(value)).as_bytes());
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    if let Some((sign, before, after)) = plainly(text) {
        for part in [sign, before, after] {
            out.extend_from_slice(part.as_bytes());
        }
        return;
    }
    let Decimal { sign, digits, point } = Decimal::of(text);
    out.extend_from_slice(sign.as_bytes());
    if digits.is_empty() {
        return out.push(b'0');
    }
    let count = digits.len() as i32;
    let exponent = (point - count).to_string();
    let plain = if point <= 0 { 1 - point + count } else { point.max(count) + i32::from(point < count) };
    if count + 1 + (exponent.len() as i32) < plain {
        out.extend_from_slice(digits.as_bytes());
        out.push(b'e');
        return out.extend_from_slice(exponent.as_bytes());
    }
    let (before, after) = digits.split_at(point.clamp(0, count) as usize);
    out.extend_from_slice(before.as_bytes());
    out.extend(std::iter::repeat_n(b'0', (point - count).max(0) as usize));
    if !after.is_empty() {
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', (-point).max(0) as usize));
        out.extend_from_slice(after.as_bytes());
    }
}

/// Splits a number into its sign, integer part and fraction, unless an exponent could make it shorter. Nearly all numbers
/// take this path.
fn plainly(text: &str) -> Option<(&str, &str, &str)> {
    let (sign, number) = text.split_at(usize::from(text.starts_with('-')));
    let at = number.find('.').filter(|_| !number.contains('e'))?;
    let (before, after) = number.split_at(at);
    match (before, after) {
        (before, ".0") if before.ends_with("000") => None,
        (before, ".0") => Some((sign, before, "")),
        ("0", after) if after.starts_with(".000") => None,
        ("0", after) => Some((sign, "", after)),
        _ => Some((sign, before, after)),
    }
}

/// NaN and infinities as Python prints them and `numpy.loadtxt` reads them.
fn not_finite(value: f64) -> &'static str {
    match (value.is_nan(), value > 0.0) {
        (true, _) => "nan",
        (false, true) => "inf",
        (false, false) => "-inf",
    }
}

/// A decimal number, `sign 0.digits × 10^point`, without leading or trailing zeros; zero has no digits.
struct Decimal {
    sign: &'static str,
    digits: String,
    point: i32,
}

impl Decimal {
    fn of(text: &str) -> Self {
        let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [before, after].concat();
        let significant = all.trim_start_matches('0');
        let zeros = all.len() - significant.len();
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let point = before.len() as i32 - zeros as i32 + exponent;
        Self { sign, digits: significant.trim_end_matches('0').to_owned(), point }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: fn(f32, &mut Vec<u8>), value: f32) -> String {
        let mut out = vec![];
        write(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Rounds to as many digits as Rust's shortest text has, but as Python does: of two equally near decimals Python takes
    /// the even one.
    fn rounded(value: f64, shortest: &str) -> String {
        let count = shortest.split('e').next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
        format!("{value:.*e}", count - 1)
    }

    /// Python's `repr` of a float, derived from its rules.
    fn plain_repr(value: f64) -> String {
        let text = rounded(value, &format!("{value:e}"));
        let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
        let (mantissa, exponent) = text.split_once('e').unwrap();
        let exponent: i32 = exponent.parse().unwrap();
        let digits = mantissa.replace('.', "");
        let count = digits.len() as i32;
        let body = match exponent {
            -4..=-1 => format!("0.{}{digits}", "0".repeat((-exponent - 1) as usize)),
            0..=15 if count > exponent + 1 => {
                format!("{}.{}", &digits[..exponent as usize + 1], &digits[exponent as usize + 1..])
            }
            0..=15 => format!("{digits}{}.0", "0".repeat((exponent + 1 - count) as usize)),
            _ => {
                let rest = if count > 1 { format!(".{}", &digits[1..]) } else { String::new() };
                format!("{}{rest}e{}{:02}", &digits[..1], if exponent < 0 { '-' } else { '+' }, exponent.abs())
            }
        };
        format!("{sign}{body}")
    }

    /// Printed by Python 3.11: `[repr(float(numpy.float32(x)))]`.
    #[test]
    fn numbers_are_printed_as_python_prints_them() {
        for (value, expected) in [
            (0.0f32, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.10000000149011612"),
            (-1.2345678, "-1.2345677614212036"),
            (-19.197_28, "-19.197280883789062"),
            (1e-4, "9.999999747378752e-05"),
            (0.00010001, "0.00010001000191550702"),
            (1e-5, "9.999999747378752e-06"),
            (3.0e-5, "2.9999999242136255e-05"),
            (2f32.powi(-20), "9.5367431640625e-07"),
            (f32::from_bits(1), "1.401298464324817e-45"),
            (1e15, "999999986991104.0"),
            (1e16, "1.0000000272564224e+16"),
            (9_007_199_254_740_992.0, "9007199254740992.0"),
            (1e38, "9.999999680285692e+37"),
            (f32::MAX, "3.4028234663852886e+38"),
            (f32::NAN, "nan"),
            (f32::INFINITY, "inf"),
            (f32::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(text(python, value), expected, "{value:?}");
        }
    }

    #[test]
    fn compact_numbers_are_as_short_as_possible() {
        for (value, expected) in [
            (0.0f32, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, ".1"),
            (-0.05, "-.05"),
            (0.001, ".001"),
            (0.0001, "1e-4"),
            (0.00012345678, ".00012345678"),
            (1e-9, "1e-9"),
            (12.5, "12.5"),
            (100.0, "100"),
            (1000.0, "1e3"),
            (-0.00125, "-.00125"),
            (3.25e-4, "325e-6"),
            (12_300.0, "12300"),
            (1_230_000.0, "123e4"),
            (16_777_216.0, "16777216"),
            (f32::MAX, "34028235e31"),
            (f32::from_bits(1), "1e-45"),
            (f32::NAN, "nan"),
        ] {
            assert_eq!(text(shortest, value), expected, "{value:?}");
        }
    }

    #[test]
    fn a_matrix_is_a_header_and_a_line_per_clip() {
        let matrix = Matrix { shape: [2, 3], data: vec![0.5, -1.0, 2.0, 0.1, 1e-7, 3.0] };
        let text = |compact| {
            let mut out = vec![];
            write(&matrix, compact, &mut out);
            String::from_utf8(out).unwrap()
        };
        let original = "f0,f1,f2\n0.5, -1.0, 2.0\n0.10000000149011612, 1.0000000116860974e-07, 3.0\n";
        assert_eq!(text(false), original);
        assert_eq!(text(true), "f0,f1,f2\n.5,-1,2\n.1,1e-7,3\n");
    }

    fn same(bits: u32) -> Result<(), String> {
        let value = f32::from_bits(bits);
        let (full, compact) = (text(python, value), text(shortest, value));
        if value.is_nan() {
            return (full == "nan" && compact == "nan").then_some(()).ok_or(full);
        }
        if value.is_finite() && full != plain_repr(f64::from(value)) {
            return Err(format!("{full} is not what Python prints"));
        }
        if value.is_finite() && compact != plain_shortest(value) {
            return Err(format!("{compact} is not {}", plain_shortest(value)));
        }
        for text in [full, compact] {
            // Read as float32, and as float64 that is then rounded.
            let (direct, detour) = (text.parse::<f32>().unwrap(), text.parse::<f64>().unwrap() as f32);
            if direct.to_bits() != bits || detour.to_bits() != bits {
                return Err(format!("{text} reads as {direct} and {detour}"));
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn the_text_of_any_float_reads_as_the_same_float(bits: u32, value in -30.0f32..30.0, small in -1e-3f32..1e-3) {
            for bits in [bits, value.to_bits(), small.to_bits()] {
                prop_assert_eq!(same(bits), Ok(()), "{:?}", f32::from_bits(bits));
            }
        }
    }

    /// The shortest text, by comparing all candidates.
    fn plain_shortest(value: f32) -> String {
        let Decimal { sign, digits, point } = Decimal::of(&rounded(f64::from(value), &format!("{value:e}")));
        let count = digits.len() as i32;
        if digits.is_empty() {
            return format!("{sign}0");
        }
        let zeros = |n: i32| "0".repeat(n.max(0) as usize);
        let plain = if point <= 0 {
            format!(".{}{digits}", zeros(-point))
        } else if point < count {
            format!("{}.{}", &digits[..point as usize], &digits[point as usize..])
        } else {
            format!("{digits}{}", zeros(point - count))
        };
        let short = format!("{digits}e{}", point - count);
        format!("{sign}{}", if short.len() < plain.len() { short } else { plain })
    }

    /// Tries all 2³² values, which takes a quarter of an hour on two cores with optimisation.
    #[test]
    #[ignore = "takes long; `cargo test --release -p reeldeck --lib every_float -- --ignored`"]
    fn the_text_of_every_float_reads_as_the_same_float() {
        let threads = crate::parallel::threads();
        let parts = (0..1u32 << 12).map(|part| part << 20);
        let work = |start: u32| (start..=start | ((1 << 20) - 1)).try_for_each(same);
        let result = crate::parallel::ordered(threads, parts, work, |part| part);
        assert_eq!(result, Ok(()));
    }
}
