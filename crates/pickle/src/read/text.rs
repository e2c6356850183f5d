//! Numbers and text of protocol 0, which are lines of ASCII.

use super::Problem;

/// The longest decimal integer, as in Python. The time to convert it grows with the square of its length.
const MAX_DIGITS: usize = 4300;

/// The number of a memo entry.
pub(super) fn unsigned(line: &[u8]) -> Result<u64, Problem> {
    parse(line).ok_or(Problem::Invalid("a memo entry's number"))
}

/// A float: Python's `repr`, with `inf` and `nan`.
pub(super) fn float(line: &[u8]) -> Result<f64, Problem> {
    parse(line).ok_or(Problem::Invalid("a float"))
}

fn parse<T: std::str::FromStr>(line: &[u8]) -> Option<T> {
    std::str::from_utf8(line).ok()?.trim_ascii().parse().ok()
}

/// Converts a decimal integer, which may end in `L`, to little-endian two's complement without redundant bytes.
pub(super) fn decimal(line: &[u8]) -> Result<Vec<u8>, Problem> {
    const INVALID: Problem = Problem::Invalid("an integer");
    let line = line.trim_ascii();
    let line = line.strip_suffix(b"L").unwrap_or(line);
    let (negative, digits) = match line {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return Err(INVALID);
    }
    // magnitude = magnitude * 10^9 + digits, for nine digits at a time.
    let mut magnitude: Vec<u32> = Vec::new();
    for chunk in digits.chunks(9) {
        let mut carry: u64 = parse(chunk).ok_or(INVALID)?;
        let scale = 10u64.pow(chunk.len() as u32);
        for limb in &mut magnitude {
            let value = u64::from(*limb) * scale + carry;
            *limb = value as u32;
            carry = value >> 32;
        }
        if carry > 0 {
            magnitude.push(carry as u32);
        }
    }
    let mut bytes: Vec<u8> = magnitude.iter().flat_map(|limb| limb.to_le_bytes()).collect();
    bytes.push(0);
    if negative {
        // Two's complement: invert, add one.
        let mut carry = true;
        for byte in &mut bytes {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    // Remove bytes that only repeat the sign.
    while let [.., before, last] = *bytes.as_slice()
        && (last == 0 && before < 0x80 || last == 0xff && before >= 0x80)
    {
        bytes.pop();
    }
    Ok(bytes)
}

/// Parses a quoted string with the escapes of Python 2's `repr`.
pub(super) fn quoted(line: &[u8]) -> Result<Vec<u8>, Problem> {
    const INVALID: Problem = Problem::Invalid("a string");
    let mut rest = match line.trim_ascii() {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return Err(INVALID),
    };
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (&escaped, after) = rest.split_first().ok_or(INVALID)?;
        rest = after;
        match escaped {
            b'\\' | b'\'' | b'"' => bytes.push(escaped),
            b'a' => bytes.push(0x07),
            b'b' => bytes.push(0x08),
            b'f' => bytes.push(0x0c),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'v' => bytes.push(0x0b),
            b'x' => {
                let (digits, after) = rest.split_at_checked(2).ok_or(INVALID)?;
                rest = after;
                bytes.push(u8::try_from(hexadecimal(digits).ok_or(INVALID)?).map_err(|_| INVALID)?);
            }
            b'0'..=b'7' => {
                let mut value = u32::from(escaped - b'0');
                for _ in 0..2 {
                    let [digit @ b'0'..=b'7', after @ ..] = rest else { break };
                    value = value * 8 + u32::from(digit - b'0');
                    rest = after;
                }
                // As in Python, `\777` is 0xff.
                bytes.push((value & 0xff) as u8);
            }
            // Python keeps unknown escapes.
            other => bytes.extend([b'\\', other]),
        }
    }
    Ok(bytes)
}

/// Parses latin-1 text with the escapes `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn raw_unicode_escape(line: &[u8]) -> Result<String, Problem> {
    const INVALID: Problem = Problem::Invalid("text");
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let Some((&next, after)) = rest.split_first().filter(|_| byte == b'\\') else {
            text.push(char::from(byte));
            continue;
        };
        rest = after;
        let digits = match next {
            b'u' => 4,
            b'U' => 8,
            _ => {
                text.extend(['\\', char::from(next)]);
                continue;
            }
        };
        let (digits, after) = rest.split_at_checked(digits).ok_or(INVALID)?;
        rest = after;
        let code = hexadecimal(digits).filter(|&code| code <= 0x10_ffff).ok_or(INVALID)?;
        // All other codes without a character are surrogates.
        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    Ok(text)
}

/// The value of at most eight hexadecimal digits.
fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value: u32, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_no_redundant_bytes() {
        for (decimal_text, bytes) in [
            ("0", vec![0]),
            ("-0", vec![0]),
            ("127L", vec![0x7f]),
            ("128", vec![0x80, 0]),
            ("-128", vec![0x80]),
            ("-129", vec![0x7f, 0xff]),
            ("4294967296", vec![0, 0, 0, 0, 1]),
            ("-18446744073709551616", vec![0, 0, 0, 0, 0, 0, 0, 0, 0xff]),
        ] {
            assert_eq!(decimal(decimal_text.as_bytes()).unwrap(), bytes, "{decimal_text}");
        }
        for wrong in ["", "-", "1_0", "0x10", "1 2", "L", "--1"] {
            assert!(decimal(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(decimal(&[b'9'; MAX_DIGITS]).is_ok());
        assert!(decimal(&[b'9'; MAX_DIGITS + 1]).is_err());
    }

    #[test]
    fn python_2_strings_are_unescaped() {
        assert_eq!(quoted(br#"'a\'b\\\x41\101\0z\q'"#).unwrap(), b"a'b\\AA\0z\\q");
        assert_eq!(quoted(br#""it's""#).unwrap(), b"it's");
        for wrong in [r"'", r"abc", r"'abc", r"'\'", r"'\x4'", r"'\xzz'", ""] {
            assert!(quoted(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unicode_escapes_are_decoded() {
        assert_eq!(
            raw_unicode_escape(b"caf\xe9 \\u20ac \\U0001f600 \\n \\\\u0041").unwrap(),
            "café € 😀 \\n \\\\u0041"
        );
        assert_eq!(raw_unicode_escape(b"\\ud83d!").unwrap(), "\u{fffd}!");
        assert_eq!(raw_unicode_escape(b"\\").unwrap(), "\\");
        for wrong in [&b"\\u12"[..], b"\\uzzzz", b"\\U00110000"] {
            assert!(raw_unicode_escape(wrong).is_err());
        }
    }
}
