//! Input that tries to exhaust memory, time or the stack.

use crate::readers::all;

fn repeated(start: &[u8], repeat: &[u8], times: usize, end: &[u8]) -> Vec<u8> {
    [start, &repeat.repeat(times), end].concat()
}

/// Every reader gets every input.
#[test]
fn deep_and_long_input_is_refused() {
    for many in [200_000, 8000] {
        deep_and_long(many);
    }
}

fn deep_and_long(many: usize) {
    let inputs = [
        repeated(b"", b"[", many, b""),
        repeated(b"", b"[", many, &b"]".repeat(many)),
        repeated(b"", b"{\"a\":", many, &[b"1".as_slice(), &b"}".repeat(many)].concat()),
        repeated(b"{\"type\":\"init\",\"recipe\":", b"[", many, &[b"]".repeat(many), b"}".to_vec()].concat()),
        repeated(b"{\"type\":\"progress\",\"a\":[", b"0,", many, b"0]}"),
        repeated(
            b"{\"type\":\"failed\",\"source\":null,\"failure\":{\"kind\":\"io\",\"chain\":[",
            b"\"\",",
            many,
            b"\"\"]}}",
        ),
        repeated(b"{", b"\"a\":0,", many, b"\"a\":0}"),
        repeated(b"{\"type\":\"", b"a", 6 * many, b"\"}"),
        repeated(b"{\"", b"a", 6 * many, b"\":1}"),
        repeated(b"{\"id\":", b"9", 6 * many, b"}"),
        repeated(b"{\"id\":0.", b"0", 6 * many, b"1}"),
        repeated(b"\"", b"\\u0041", many, b"\""),
        // Recipes.
        repeated(b"a=", b"[", many, b""),
        repeated(b"a=", b"[", many, &b"]".repeat(many)),
        repeated(b"a=", b"{a=", many, b""),
        repeated(b"a", b".a", many, b"=1"),
        repeated(b"[a", b".a", many, b"]"),
        repeated(b"[[a", b".a", many, b"]]"),
        repeated(b"", b"[[a]]\n", many, b""),
        repeated(b"a=[", b"1,", many, b"]"),
        repeated(b"", b"a", 6 * many, b"=1"),
        repeated(b"sampling.", b"a", 6 * many, b"=1"),
        repeated(b"precision=\"", b"a", 6 * many, b"\""),
        repeated(b"name=\"", b"\\u0041", many, b"\""),
        repeated(b"", b"#\n", many, b""),
        (0..many / 4).flat_map(|number| format!("a{number}=1\n").into_bytes()).collect(),
    ];
    for input in inputs {
        for reader in all() {
            assert!(!reader.run(&input), "{} takes {:?}…", reader.name, String::from_utf8_lossy(&input[..40]));
        }
    }
}

/// Feature files whose header, or whose tensors, extend beyond the end of the file.
#[test]
fn wrong_lengths_are_refused() {
    let of_features = || all().iter().filter(|reader| reader.name.contains("feature"));
    let valid = &of_features().next().unwrap().valid[0];
    let header = u64::from_le_bytes(valid[..8].try_into().unwrap());
    let with_header = |text: &str, data: &[u8]| [&(text.len() as u64).to_le_bytes(), text.as_bytes(), data].concat();
    let mut files: Vec<Vec<u8>> =
        [0, 1, header - 1, header + 1, valid.len() as u64, 1 << 20, 100_000_000, u64::MAX - 8, u64::MAX]
            .map(|length| [&length.to_le_bytes(), &valid[8..]].concat())
            .into();
    let text = String::from_utf8(valid[8..8 + header as usize].to_vec()).unwrap();
    assert!(text.contains("[0,280000]") && text.contains("[100,700]"), "{text}");
    for (from, to) in [
        ("[0,280000]", "[0,18446744073709551615]"),
        ("[0,280000]", "[0,18446744073709551616]"),
        ("[0,280000]", "[280000,0]"),
        ("[0,280000]", "[0,-1]"),
        ("[100,700]", "[18446744073709551615,18446744073709551615]"),
        ("[100,700]", "[4294967296,4294967296]"),
        ("[100,700]", "[0,0]"),
        ("[100,700]", "[100,701]"),
        ("[100,700]", "[70000]"),
        ("\"F32\"", "\"F64\""),
        ("\"F32\"", "\"F4\""),
    ] {
        files.push(with_header(&text.replacen(from, to, 1), &valid[8 + header as usize..]));
    }
    let tensors: String =
        (0..8000).map(|i| format!("\"t{i}\":{{\"dtype\":\"F32\",\"shape\":[0,0],\"data_offsets\":[0,0]}},")).collect();
    files.push(with_header(&format!("{{{tensors}\"__metadata__\":{{}}}}"), b""));
    for file in files {
        for reader in of_features() {
            // The header reader does not see mistakes in the numbers.
            assert!(!reader.run(&file) || reader.name.contains("header"), "{}", reader.name);
        }
    }
}
