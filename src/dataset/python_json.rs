//! JSON as Python's `json.dump` writes it after `json.load`, to the byte.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Appends a quoted string. Everything but printable ASCII is escaped.
pub(crate) fn push_str(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// Appends a finite float as Python's `repr` does: the fewest digits that read back as the same number, with an exponent
/// from 1e16 on and below 1e-4.
pub(crate) fn push_float(out: &mut String, value: f64) {
    let shortest = format!("{:e}", value.abs());
    let places = shortest.bytes().take_while(|byte| *byte != b'e').count().saturating_sub(2);
    // Of two equally short and equally near decimals, Rust takes the upper and Python the even one. Rounding takes the even
    // one too.
    let rounded = format!("{:.places$e}", value.abs());
    let text = if rounded.parse() == Ok(value.abs()) { &rounded } else { &shortest };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (digits, exponent): (_, i32) = (mantissa.replace('.', ""), exponent.parse().unwrap_or(0));
    out.push_str(if value.is_sign_negative() { "-" } else { "" });
    match exponent {
        0..16 => {
            let whole = exponent as usize + 1;
            let digits = format!("{digits:0<whole$}");
            let (whole, fraction) = digits.split_at(whole);
            let _ = write!(out, "{whole}.{}", if fraction.is_empty() { "0" } else { fraction });
        }
        -4..0 => {
            let _ = write!(out, "0.{}{digits}", "0".repeat((-1 - exponent) as usize));
        }
        _ => {
            let _ = write!(out, "{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs());
        }
    }
}

/// Copies any JSON value in Python's form. Integers beyond 64 bits and the integer -0 become floats.
pub(super) struct Copy<'a>(pub(super) &'a mut String);

impl<'de> DeserializeSeed<'de> for Copy<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Copy<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.push_str("null");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        let _ = write!(self.0, "{value}");
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        let _ = write!(self.0, "{value}");
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        push_float(self.0, value);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        push_str(self.0, value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        self.0.push('[');
        let mut first = true;
        loop {
            let before = self.0.len();
            self.0.push_str(if first { "" } else { ", " });
            if access.next_element_seed(Copy(self.0))?.is_none() {
                self.0.truncate(before);
                self.0.push(']');
                return Ok(());
            }
            first = false;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        self.0.push('{');
        let mut keys = HashSet::new();
        while let Some(key) = access.next_key::<String>()? {
            self.0.push_str(if keys.is_empty() { "" } else { ", " });
            push_str(self.0, &key);
            self.0.push_str(": ");
            // Python would silently use the last value in the position of the first key.
            if let Some(twice) = keys.replace(key) {
                return Err(A::Error::custom(format_args!("the key {twice:?} occurs twice in one object")));
            }
            access.next_value_seed(Copy(self.0))?;
        }
        self.0.push('}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn float(value: f64) -> String {
        let mut text = String::new();
        push_float(&mut text, value);
        text
    }

    fn copied(json: &str) -> String {
        let mut text = String::new();
        let mut deserializer = serde_json::Deserializer::from_str(json);
        Copy(&mut text).deserialize(&mut deserializer).unwrap();
        deserializer.end().unwrap();
        text
    }

    /// `json.dumps(json.loads(line))` of every line, by Python.
    fn python(lines: &[String]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lines");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let code = "import json, sys\nfor line in open(sys.argv[1], encoding='utf-8', newline='\\n'):\n    print(json.dumps(json.loads(line)))";
        let output = Command::new("python3").args(["-c", code]).arg(&file).output().expect("python3");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn floats_have_the_text_that_python_writes() {
        for (value, text) in [
            (92.0, "92.0"),
            (92.166667, "92.166667"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012345"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.2345e22, "1.2345e+22"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (-(1_359_060_667_238_921.0 + 0.25), "-1359060667238921.2"),
            (-123.0, "-123.0"),
        ] {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn values_have_the_text_that_python_writes() {
        let json = "[ ] , { } , { \"a\":[1,-2 ,5.40,1E5, true,null,false,\"\u{7f}é\\u00e9😀\\b\\f\\n\\r\\t\\u0001\\/\\\"\\\\\"] , \"b\":{\"c\" : { }}}";
        let expected = "[[], {}, {\"a\": [1, -2, 5.4, 100000.0, true, null, false, \
             \"\\u007f\\u00e9\\u00e9\\ud83d\\ude00\\b\\f\\n\\r\\t\\u0001/\\\"\\\\\"], \"b\": {\"c\": {}}}]";
        let json = format!("[{json}]");
        assert_eq!(copied(&json), expected);
        assert_eq!(python(&[json]), [expected]);
    }

    #[test]
    fn a_duplicate_key_is_refused() {
        let mut deserializer = serde_json::Deserializer::from_str("{\"a\": 1, \"b\": 2, \"a\": 3}");
        let error = Copy(&mut String::new()).deserialize(&mut deserializer).unwrap_err().to_string();
        assert!(error.contains("the key \"a\" occurs twice"), "{error}");
    }

    fn json() -> impl Strategy<Value = String> {
        let number = prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            any::<u64>().prop_map(|n| n.to_string()),
            proptest::num::f64::NORMAL.prop_map(|n| format!("{n:e}")),
            (any::<i32>(), 1..12usize).prop_map(|(n, d)| format!("{:.d$}", f64::from(n) / 977.0)),
            "-?(0|[1-9][0-9]{0,18})\\.[0-9]{1,20}([eE][+-]?[0-9]{1,2})?",
        ];
        let text = any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap());
        let leaf = prop_oneof![number, text, Just("true".into()), Just("null".into())];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(|v| format!("[{}]", v.join(" , "))),
                proptest::collection::btree_map("[a-z\u{e9}\"]{0,4}", inner, 0..6).prop_map(|m| {
                    let pairs: Vec<_> =
                        m.iter().map(|(k, v)| format!("{}:{v}", serde_json::to_string(k).unwrap())).collect();
                    format!("{{{}}}", pairs.join(","))
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn python_agrees(lines in proptest::collection::vec(json(), 1..200)) {
            let ours: Vec<_> = lines.iter().map(|line| copied(line)).collect();
            for (line, (ours, pythons)) in lines.iter().zip(ours.iter().zip(python(&lines))) {
                prop_assert_eq!(ours, &pythons, "{}", line);
            }
        }
    }
}
