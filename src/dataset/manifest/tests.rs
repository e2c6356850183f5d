//! Tests of the readers: the fixture, invalid files, and random changes of valid files.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const FIXTURE: &str = include_str!("../../../tests/fixtures/hacs/HACS_segments_v1.1.1.json");

fn parse(text: impl AsRef<[u8]>, name: &str) -> Result<Manifest, ManifestError> {
    let mut reader = text.as_ref();
    let path = Path::new(name);
    let kind = begin(&mut reader, path)?;
    Manifest::from_reader(reader, kind, path, "v_")
}

/// Line, column and message of the error.
#[track_caller]
fn fails(text: impl AsRef<[u8]>, name: &str) -> (u32, u32, String) {
    match parse(text, name) {
        Err(ManifestError::Content { place, message, .. }) => {
            assert!(!message.contains(char::is_control) && message.len() < 2000, "{message:?}");
            (place.line, place.column, message)
        }
        other => panic!("{other:?}"),
    }
}

fn labels(manifest: &Manifest, id: &str) -> Vec<String> {
    let (_, listed) = manifest.at(manifest.position(id).unwrap()).unwrap();
    manifest.labels(listed).map(str::to_owned).collect()
}

#[test]
fn the_official_file_is_read() {
    let manifest = parse(FIXTURE, "HACS.json").unwrap();
    assert_eq!((manifest.kind, manifest.len(), manifest.classes()), (Kind::Annotations, 8, 6));
    let found: Vec<_> = manifest.videos().map(|(id, v)| (id, v.duration_s.unwrap(), v.split.unwrap().name())).collect();
    assert_eq!(found[0], ("--0edUL8zmA", 92.166667, "training"));
    assert_eq!(found[1], ("_a-B3xYz012", 30.05, "training"));
    assert_eq!(found[3], ("v_tR5pWq8sA", 61.0, "validation"));
    assert_eq!(found[7], ("__-__-__-__", 3.1, "testing"));
    assert_eq!(labels(&manifest, "-Zq9_k2LmNo"), ["Playing squash", "Archery"]);
    assert!(labels(&manifest, "T3sT_v1deo-").is_empty());
    assert_eq!(manifest.position("nobody"), None);
    let (id, listed) = manifest.at(0).unwrap();
    assert_eq!(listed.url, None, "the usual address takes no memory");
    assert_eq!(listed.address(id).unwrap(), "https://www.youtube.com/watch?v=--0edUL8zmA");
}

#[test]
fn annotations_have_the_text_that_python_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.json");
    fs::write(&path, FIXTURE).unwrap();
    let manifest = Manifest::read(&path, "v_").unwrap();
    let mut texts = vec![];
    manifest
        .each::<ManifestError>(|entry| {
            texts.push(entry.text.clone());
            Ok(())
        })
        .unwrap();
    assert_eq!(
        texts[0],
        r#"[{"label": "Dodgeball", "segment": [5.4, 11.6]}, {"label": "Dodgeball", "segment": [12.6, 88.16]}]"#
    );
    assert_eq!(texts[3], r#"[{"segment": [0.02, 60.98], "label": "Archery"}]"#);
    assert_eq!(texts[7], "[]");
}

#[test]
fn unknown_keys_are_ignored_and_annotations_are_optional() {
    let text = "\u{feff}{\"version\": \"VERSION 1.3\", \"taxonomy\": [{\"nodeId\": 1, \"parent\": null}],\r\n \"database\": {\r\n\
        \"a\": {\"resolution\": \"1x2\", \"duration\": 1e1, \"subset\": \"Test\"},\r\n\
        \"b\": {\"duration\": \" 2.5 \", \"subset\": \"val\", \"annotations\": [{\"segment\": [1, 2], \"label\": \"A b\", \"x\": [1]}]}}}\r\n";
    let manifest = parse(text, "m").unwrap();
    assert_eq!((manifest.len(), manifest.kind), (2, Kind::Annotations));
    assert_eq!(manifest.at(0).unwrap().1.split, Some(Split::Testing));
    assert_eq!(manifest.at(1).unwrap().1.duration_s, Some(2.5));
    assert_eq!(labels(&manifest, "b"), ["A b"]);
}

#[test]
fn only_urls_are_kept_as_addresses() {
    let url = |id: &str, url: &str| {
        let text =
            format!("{{\"database\": {{\"{id}\": {{\"duration\": 1, \"subset\": \"train\", \"url\": {url:?}}}}}}}");
        let manifest = parse(text, "m").unwrap();
        let (id, listed) = manifest.at(0).unwrap();
        listed.address(id)
    };
    assert_eq!(url("a", "https://example.org/a.mp4").unwrap(), "https://example.org/a.mp4");
    // An id that does not have YouTube's form has no default address.
    assert_eq!(url("a", "https://www.youtube.com/watch?v=a").unwrap(), "https://www.youtube.com/watch?v=a");
    for bad in ["--exec=rm", "file:///etc/passwd", "https://a b", "", "https://x\ny"] {
        assert_eq!(url("a", bad), None);
        assert_eq!(url("--0edUL8zmA", bad).unwrap(), "https://www.youtube.com/watch?v=--0edUL8zmA");
    }
    assert_eq!(url("a", &format!("https://{}", "x".repeat(3000))), None);
}

fn one(entry: &str) -> String {
    format!("{{\"database\": {{\n\"ok\": {{\"duration\": 1, \"subset\": \"training\"}},\n\"x\": {entry}\n}}}}")
}

/// The text without the mark, and the position of the character before the mark.
fn marked(text: &str) -> (String, u32, u32) {
    let (before, after) = text.split_once('¦').unwrap();
    let line = before.rsplit('\n').next().unwrap();
    (format!("{before}{after}"), before.matches('\n').count() as u32 + 1, line.chars().count() as u32)
}

#[test]
fn invalid_json_is_reported_with_its_position() {
    let annotated = |annotations: &str| {
        one(&format!("{{\"duration\": 1, \"subset\": \"training\", \"annotations\": {annotations}}}"))
    };
    // The mark stands after the last character that must be read to detect the error.
    for (text, says) in [
        (one("{\"duration\": 1}¦"), "the key \"subset\" is missing in \"x\""),
        (one("{\"subset\": \"training\"}¦"), "the key \"duration\" is missing"),
        (one("{\"duration\": \"long\"¦, \"subset\": \"training\"}"), "a duration in seconds, such as 92.17"),
        (one("{\"duration\": -1,¦ \"subset\": \"training\"}"), "a duration in seconds"),
        (one("{\"duration\": \"nan\"¦, \"subset\": \"training\"}"), "a duration in seconds"),
        (one("{\"duration\": 1e400,¦ \"subset\": \"training\"}"), "number out of range"),
        (one("{\"duration\": N¦aN}"), "a value is expected"),
        (one("{\"duration\": [1¦]}"), "a duration in seconds"),
        (one("{\"duration\": 1, \"subset\": \"trainin\"¦}"), "\"training\", \"validation\" or \"testing\""),
        (one("{\"duration\": 1, \"duration\": 2}¦"), "the key \"duration\" occurs twice in \"x\""),
        (one("7 ¦"), "an object with the duration, subset and annotations of \"x\""),
        (annotated("null¦"), "a list of annotations"),
        (annotated("[7]¦"), "an annotation, {\"label\""),
        (annotated("[{}¦]"), "\"label\" is missing"),
        (annotated("[{\"label\": \"A\"}¦]"), "\"segment\" is missing"),
        (annotated("[{\"label\": 7}¦]"), "a label in double quotes"),
        (annotated("[{\"label\": \"../A\"¦}]"), "it has a slash"),
        (annotated("[{\"segment\": [1]¦}]"), "begin and end in seconds"),
        (annotated("[{\"segment\": [1, 2, 3]¦}]"), "begin and end in seconds"),
        (annotated("[{\"segment\": [1, \"2\"¦]}]"), "a number of seconds"),
        (annotated("[{\"label\": \"A\", \"label\"¦: \"A\"}]"), "occurs twice in one annotation"),
        ("{\"database\": {\"ok\": }¦}".into(), "a value is expected"),
        ("{\"database\": {\"a\": 1}¦,}".into(), "an object with the duration"),
        ("{\"database\": {}¦".into(), "the file is truncated"),
        ("{\"database\": {\"a¦".into(), "the file is truncated"),
        ("{\"database\": {}}\n\n x¦".into(), "more text follows"),
        ("{\"database\": {}, \"database\"¦: {}}".into(), "occurs twice"),
        ("{\"data\": {}}¦".into(), "the key \"database\" is missing"),
        ("{\"database\": [¦]}".into(), "an object with the videos by id"),
        ("[¦1, 2]".into(), "an object with the key \"database\""),
        ("{¦\"database\": {}}".into(), "it names no video"),
        ("{a¦: 1}".into(), "a key in double quotes"),
        ("{\"a\": 1 \"¦b\": 2}".into(), "expected `,` or `}`"),
        ("{\"database\": {\"é\u{301}\": 7}¦}".into(), "an object with the duration"),
    ] {
        let (text, line, column) = marked(&text);
        let (found_line, found_column, message) = fails(&text, "m.json");
        assert!(message.contains(says), "{text}\n{message}");
        assert_eq!((found_line, found_column), (line, column), "{text}\n{message}");
    }
}

#[test]
fn unsafe_ids_and_duplicates_are_refused() {
    for (id, says) in
        [("../../x", "slash"), ("a\\nb", "control"), ("\\u001b[2J", "control"), ("..", "folder"), ("", "empty")]
    {
        let (line, column, message) = fails(format!("{{\"database\": {{\n  \"{id}\": {{}}}}}}"), "m");
        assert_eq!((line, column as usize), (2, 4 + id.chars().count()), "{message}");
        assert!(message.starts_with("the id ") && message.contains(says), "{message}");
    }
    let entry = "{\"duration\": 1, \"subset\": \"training\"}";
    let (line, column, message) =
        fails(format!("{{\"database\": {{\n\"a\": {entry},\n\"b\": {entry}, \"a\": {entry}}}}}"), "m");
    assert_eq!((line, column), (3, 47));
    assert_eq!(message, "the id \"a\" occurs twice, first at line 2, column 3; remove one of them");
}

#[test]
fn other_files_are_recognised() {
    for (bytes, name, says) in [
        (&b"\xff\xfe{\0"[..], "m.json", "UTF-16"),
        (b"PK\x03\x04rest", "m.zip", "zip archive"),
        (b"\x1f\x8b\x08", "m.gz", "gzip"),
        (b"\n<!DOCTYPE html>", "m.json", "web page"),
        (b"id,class", "m.json", "expected"),
        (b"", "m.json", "the file is truncated"),
        (b" \n\n", "m.txt", "names no video"),
        (b"\0\0\0\x18ftypisom", "v.mp4", "control character"),
        (b"\x80\x81", "v.bin", "not UTF-8"),
        (b"{\"database\": {\"a\xff\": 1}}", "m", "unicode"),
    ] {
        let (_, _, message) = fails(bytes, name);
        assert!(message.contains(says), "{name}: {message}");
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Manifest::read(dir.path(), ""), Err(ManifestError::NotAFile { .. })));
    assert!(matches!(Manifest::read(Path::new("/dev/zero"), ""), Err(ManifestError::NotAFile { .. })));
    assert!(matches!(Manifest::read(&dir.path().join("x"), ""), Err(ManifestError::Open { .. })));
}

#[test]
fn lists_of_all_forms_are_read() {
    let text = "\u{feff}--0edUL8zmA\r\n_b,Horseback_riding\r\n\r\nTai chi/v_c-d.mp4 -1\nA/v_v_x.webm\n e\n\
         v_1.mp4\nv_b c.MKV\nv_3.mp4,Archery\na.b\n"
        .replace(" e", "e");
    let manifest = parse(text, "list.txt").unwrap();
    assert_eq!(manifest.kind, Kind::List);
    let found: Vec<_> =
        manifest.videos().map(|(id, v)| (id, manifest.labels(v).next(), v.split, v.duration_s)).collect();
    let entry = |id, class| (id, class, None, None);
    assert_eq!(
        found,
        [
            entry("--0edUL8zmA", None),
            entry("_b", Some("Horseback_riding")),
            entry("c-d", Some("Tai chi")),
            entry("v_x", Some("A")),
            entry("e", None),
            // Names of files, and an id with a dot.
            entry("1", None),
            entry("b c", None),
            entry("3", Some("Archery")),
            entry("a.b", None),
        ]
    );
}

#[test]
fn invalid_lines_are_reported_with_their_position() {
    for (text, line, column, says) in [
        (&b"a\nb c\n"[..], 2, 2, "this is white space"),
        (b"a\tb", 1, 2, "this is white space"),
        (b"v_1.mp4\n2.mp4", 2, 1, "does not begin with \"v_\"; see `[manifest] prefix`: 2.mp4"),
        (b"2.mp4,X", 1, 1, "does not begin with \"v_\"; see `[manifest] prefix`: 2.mp4,X"),
        (b"v_1.mp4\n1", 2, 1, "occurs twice"),
        (b"a\n\na\n", 3, 1, "the id \"a\" occurs twice, first at line 1, column 1"),
        (b"a\nA/v_a.mp4 -1\n", 2, 1, "occurs twice"),
        (b"../../x", 1, 1, "not a path such as Class/file"),
        (b"/etc/passwd", 1, 1, "not a path such as Class/file"),
        (b"A/b.mp4 -1", 1, 1, "does not begin with \"v_\""),
        (b"a,..", 1, 3, "names a folder"),
        (b"a,", 1, 3, "empty"),
        (b"a,A,b\x1b", 1, 3, "control"),
        ("é\u{e9}".as_bytes(), 0, 0, ""),
        ("éé\nxé\u{7}".as_bytes(), 2, 1, "control"),
        (b"ab\xff", 1, 3, "not UTF-8"),
        ("éa\u{a0}b".as_bytes(), 1, 3, "white space"),
    ] {
        if line == 0 {
            parse(text, "list").unwrap();
            continue;
        }
        let (found_line, found_column, message) = fails(text, "list");
        assert!(message.contains(says), "{message}");
        assert_eq!((found_line, found_column), (line, column), "{message}");
    }
    let (line, column, message) = fails([b"a\n", [b'x'; 5000].as_slice()].concat(), "list");
    assert!(line == 2 && column > 4000 && message.contains("longer than 4096 bytes"), "{message}");
}

#[test]
fn memory_is_bounded() {
    // More labels than any dataset has.
    let mut text = String::from("{\"database\": {");
    for video in 0..70 {
        let _ = write!(text, "\"{video}\": {{\"duration\": 1, \"subset\": \"test\", \"annotations\": [");
        for label in 0..1000 {
            let comma = if label == 0 { "" } else { "," };
            let _ = write!(text, "{comma}{{\"label\": \"{video} {label}\", \"segment\": [1, 2]}}");
        }
        text.push_str("]},");
    }
    assert!(fails(&text, "m").2.contains("more than 65536 different labels"));
    let mut text = String::from("{\"database\": {\"a\": {\"duration\": 1, \"subset\": \"test\", \"annotations\": [");
    for label in 0..1001 {
        let _ = write!(text, "{{\"label\": \"{label}\", \"segment\": [1, 2]}},");
    }
    assert!(fails(&text, "m").2.contains("more than 1000 labels"));
    let endless = format!("{{\"database\": {{\"a\": {{\"x\": [{}", "1,".repeat(5 << 20));
    assert!(fails(&endless, "m").2.contains("more than 4 MiB of text"));
    assert!(fails(format!("{{\"a\": \"{}", "x".repeat(1 << 20)), "m").2.contains("64 KiB"));
    assert!(fails(format!("{{\"a\": {}", "[".repeat(1 << 20)), "m").2.contains("64 deep"));
}

/// Changes a text as damage, faulty tools and attackers do.
fn mutate(mut bytes: Vec<u8>, changes: &[(u8, usize, usize, u8)]) -> Vec<u8> {
    for (what, from, to, byte) in changes {
        let length = bytes.len().max(1);
        let (from, to) = (from % length, to % length);
        let (from, to) = (from.min(to), from.max(to).min(bytes.len()));
        match what % 6 {
            0 => bytes.truncate(from),
            1 if from < bytes.len() => bytes[from] = *byte,
            2 => bytes.insert(from, *byte),
            3 => drop(bytes.drain(from..to)),
            4 => {
                let piece = bytes[from..to].to_vec();
                bytes.splice(from..from, piece);
            }
            _ => bytes.splice(from..from, b"\"a\":[{".iter().copied()).for_each(drop),
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(u8, usize, usize, u8)>> {
    let byte = prop_oneof![proptest::sample::select(b"{}[]\",:\\/\n0e-. ".to_vec()), any::<u8>()];
    proptest::collection::vec((any::<u8>(), any::<usize>(), any::<usize>(), byte), 1..6)
}

/// A manifest that was read is usable, and an error has a position and a reason.
fn check(bytes: &[u8], name: &str) -> Result<(), TestCaseError> {
    match parse(bytes, name) {
        Ok(manifest) => {
            for (position, (id, listed)) in manifest.videos().enumerate() {
                prop_assert!(names::check_id(id).is_ok());
                prop_assert!(manifest.labels(listed).all(|label| names::check_label(label).is_ok()));
                prop_assert_eq!(manifest.position(id), Some(position));
                prop_assert!(listed.duration_s.is_none_or(|s| (0.0..=1e9).contains(&s)));
            }
        }
        Err(error) => {
            let text = error.to_string();
            prop_assert!(text.contains("line ") && text.contains("column "), "{}", text);
            prop_assert!(!text.contains(char::is_control), "{:?}", text);
        }
    }
    // The second pass, for annotations, accepts the same files and returns valid JSON.
    let (mut reader, mut texts) = (bytes, vec![]);
    if let Ok(kind) = begin(&mut reader, Path::new(name)) {
        let mut take = |entry: Entry<'_>, _: &Labels| {
            texts.push(entry.text);
            Ok(())
        };
        let mut sink = Sink { labels: &mut Labels::default(), take: &mut take };
        let _ = read_with(reader, kind, "v_", true, &mut sink);
    }
    for text in texts.iter().filter(|text| !text.is_empty()) {
        prop_assert!(serde_json::from_str::<Vec<serde_json::Value>>(text).is_ok(), "{}", text);
        prop_assert!(text.is_ascii());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_changed_file_makes_the_reader_panic(changes in changes()) {
        check(&mutate(FIXTURE.into(), &changes), "m.json")?;
    }

    #[test]
    fn no_changed_list_makes_the_reader_panic(changes in changes()) {
        let list = "\u{feff}--0edUL8zmA\r\n_b,Horseback_riding\r\n\r\nTai chi/v_c-d.mp4 -1\nA/v_v_x.webm\ne\n";
        check(&mutate(list.into(), &changes), "list.txt")?;
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes, "list.txt")?;
        check(&bytes, "m.json")?;
    }
}
