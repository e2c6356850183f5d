//! Values of all kinds in all protocols, compared with Python's; and the output of `PickleWriter`.

use proptest::prelude::*;
use reeldeck_pickle::read::{Limits, Problem, read};
use reeldeck_pickle::value::{Node, NodeId, Pickle};
use reeldeck_pickle::write::PickleWriter;

use crate::python::{self, from_hex, to_hex};

fn parse(bytes: &[u8]) -> Pickle<'_> {
    let (pickle, length) = read(bytes, &Limits::default()).unwrap();
    assert_eq!(length, bytes.len());
    pickle
}

fn problem(bytes: &[u8]) -> Problem {
    read(bytes, &Limits::default()).unwrap_err().problem
}

/// Renders a value in the same way as `tests/python/values.py`.
fn render(pickle: &Pickle<'_>, id: NodeId) -> String {
    let all = |ids: &[NodeId]| ids.iter().map(|&id| render(pickle, id)).collect::<Vec<_>>();
    let set = |ids: &[NodeId]| {
        let mut elements = all(ids);
        elements.sort();
        format!("set {}", elements.join(", "))
    };
    if let Some(bytes) = pickle.bytes(id).unwrap() {
        return format!("bytes {}", to_hex(&bytes));
    }
    match pickle.get(id) {
        Node::None => "None".into(),
        Node::Bool(true) => "True".into(),
        Node::Bool(false) => "False".into(),
        Node::Int(value) => value.to_string(),
        Node::BigInt(bytes) => format!("big {}", to_hex(bytes)),
        Node::Float(value) => format!("float {}", to_hex(&value.to_be_bytes())),
        Node::Str(text) => format!("str {}", to_hex(text.as_bytes())),
        Node::List(ids) => format!("[{}]", all(ids).join(", ")),
        Node::Tuple(ids) => format!("({})", all(ids).join(", ")),
        Node::Set(ids) => set(ids),
        Node::Dict(_) | Node::Object(_) => {
            if let Some(call) = pickle.call(id)
                && matches!(call.name, "set" | "frozenset")
            {
                let elements = call.args.first().map(|&list| pickle.elements(list).unwrap());
                return set(elements.unwrap_or_default());
            }
            if let Some(entries) = pickle.entries(id) {
                let entries = entries.iter().map(|&(key, value)| {
                    let (key, value) = (render(pickle, key), render(pickle, value));
                    format!("{key}: {value}")
                });
                return format!("{{{}}}", entries.collect::<Vec<_>>().join(", "));
            }
            let Node::Object(object) = pickle.get(id) else { panic!("{:?}", pickle.get(id)) };
            let (module, mut name) = pickle.as_global(object.callable).unwrap();
            let mut module = module;
            if name == "_reconstructor" {
                (module, name) = pickle.as_global(pickle.elements(object.args).unwrap()[0]).unwrap();
            }
            format!("{module}.{name} {}", render(pickle, object.state.unwrap()))
        }
        node => panic!("{node:?}"),
    }
}

#[test]
fn values_of_all_protocols_are_read() {
    let output = python::run("values.py", &[]);
    let mut lines = output.lines();
    let expected = lines.next().unwrap();
    for (protocol, line) in lines.enumerate() {
        let bytes = from_hex(line);
        let pickle = parse(&bytes);
        assert_eq!(render(&pickle, pickle.root()), expected, "protocol {protocol}");
        // Shared values have one id.
        let shared = pickle.elements(pickle.field(pickle.root(), "shared").unwrap()).unwrap();
        assert_eq!(shared[0], shared[1]);
        let ordered = pickle.field(pickle.root(), "ordered").unwrap();
        assert_eq!(pickle.field(ordered, "c"), Some(shared[0]));
        assert_eq!(pickle.field(ordered, "b").and_then(|id| pickle.as_int(id)), Some(1));
        assert_eq!(pickle.field(ordered, "x"), None);
    }
}

#[test]
fn recursive_values_are_read() {
    let bytes = python::fixture("cycle.pkl");
    let pickle = parse(&bytes);
    assert_eq!(pickle.elements(pickle.root()), Some(&[pickle.root()][..]));
}

#[test]
fn ordered_dicts_of_python_2_are_read() {
    let bytes = b"\x80\x02ccollections\nOrderedDict\n](](U\x01aK\x01e](U\x01bK\x02ee\x85R(U\x01cK\x03u.";
    let pickle = parse(bytes);
    let entries = pickle.entries(pickle.root()).unwrap();
    let keys: Vec<_> = entries.iter().map(|(key, _)| pickle.as_str(*key).unwrap()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert_eq!(pickle.field(pickle.root(), "b").and_then(|id| pickle.as_int(id)), Some(2));
}

#[test]
fn the_last_of_equal_keys_is_valid() {
    let pickle = parse(b"}(X\x01\0\0\0aK\x01X\x01\0\0\0aK\x02u.");
    assert_eq!(pickle.field(pickle.root(), "a").and_then(|id| pickle.as_int(id)), Some(2));
}

#[test]
fn old_opcodes_for_objects_are_read() {
    for bytes in [&b"(K\x01imodule\nName\n."[..], b"(cmodule\nName\nK\x01o.", b"cmodule\nName\nK\x01\x85R."] {
        let pickle = parse(bytes);
        let call = pickle.call(pickle.root()).unwrap();
        assert_eq!((call.module, call.name), ("module", "Name"));
        assert_eq!(pickle.as_int(call.args[0]), Some(1));
    }
}

#[test]
fn python_2_strings_are_text_if_they_are_utf8() {
    let pickle = parse(b"(S'a\\x62'\nU\x02\xc3\xa9T\x02\0\0\0\xff\0t.");
    let ids = pickle.elements(pickle.root()).unwrap();
    assert_eq!(pickle.as_str(ids[0]), Some("ab"));
    assert_eq!(pickle.as_str(ids[1]), Some("é"));
    assert_eq!(pickle.bytes(ids[2]).unwrap().unwrap().as_ref(), b"\xff\0");
}

#[test]
fn errors_describe_problem_and_position() {
    let error = read(b"\x80\x02K\x01h\x07.", &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "failed to read the pickle at byte 4: memo entry 7 does not exist");
    for (bytes, expected) in [
        (&b""[..], Problem::EndsEarly),
        (b"K", Problem::EndsEarly),
        (b"X\xff\xff\xff\xff", Problem::EndsEarly),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff", Problem::EndsEarly),
        (b"Iabc", Problem::EndsEarly),
        (b"\x80\x06", Problem::Protocol(6)),
        (b"\xff", Problem::UnknownOpcode(0xff)),
        (b"\x80\x02\x82\x01.", Problem::Extension),
        (b".", Problem::EmptyStack),
        (b"K\x01(.", Problem::EmptyStack),
        (b"K\x01(\x85", Problem::EmptyStack),
        (b"K\x01t", Problem::NoMark),
        (b"}K\x01(u", Problem::NotAContainer),
        (b"}(K\x01u", Problem::KeyWithoutValue),
        (b"]K\x01b", Problem::NotAnObject),
        (b"(o", Problem::EmptyStack),
        (b"Iabc\n", Problem::Invalid("an integer")),
        (b"Fabc\n", Problem::Invalid("a float")),
        (b"c\xff\nx\n", Problem::Invalid("the name of a class")),
        (b"VA\nVB\n\x93", Problem::Invalid("the name of a class")),
    ] {
        assert_eq!(problem(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(problem(&python::fixture("buffers.pkl")), Problem::OutOfBand);
}

#[test]
fn the_number_of_values_is_limited() {
    let limits = Limits { max_nodes: 3 };
    assert!(read(b"(K\x01K\x02t.", &limits).is_ok());
    assert_eq!(read(b"(K\x01K\x02K\x03t.", &limits).unwrap_err().problem, Problem::TooManyValues(3));
}

#[test]
fn a_name_with_a_line_break_is_not_written() {
    let mut writer = PickleWriter::new(Vec::new()).unwrap();
    assert!(writer.global("os\nsystem", "x").is_err());
}

proptest! {
    #[test]
    fn written_values_are_read_back(
        ints in prop::collection::vec(any::<i64>(), 0..20),
        small in prop::collection::vec(-300i64..70_000, 0..20),
        floats in prop::collection::vec(any::<f64>(), 0..20),
        text in any::<String>(),
        bytes in prop::collection::vec(any::<u8>(), 0..10_000),
        flag in any::<bool>(),
    ) {
        let mut writer = PickleWriter::new(Vec::new()).unwrap();
        writer.empty_dict().unwrap();
        writer.mark().unwrap();
        writer.str("ints").unwrap();
        writer.mark().unwrap();
        for &int in ints.iter().chain(&small) {
            writer.int(int).unwrap();
        }
        writer.tuple().unwrap();
        writer.str("floats").unwrap();
        writer.empty_list().unwrap();
        for &float in &floats {
            writer.float(float).unwrap();
            writer.append().unwrap();
        }
        writer.str("text").unwrap();
        writer.str(&text).unwrap();
        writer.put(9).unwrap();
        writer.str("bytes").unwrap();
        writer.bytes(&bytes).unwrap();
        writer.str("again").unwrap();
        writer.get(9).unwrap();
        writer.tuple1().unwrap();
        writer.str("flag").unwrap();
        writer.bool(flag).unwrap();
        writer.set_items().unwrap();
        let written = writer.finish().unwrap();

        let pickle = parse(&written);
        let field = |key| pickle.field(pickle.root(), key).unwrap();
        let elements = |key| pickle.elements(field(key)).unwrap().iter();
        prop_assert_eq!(elements("ints").map(|&id| pickle.as_int(id).unwrap()).collect::<Vec<_>>(), [ints, small].concat());
        let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<_>>();
        let float = |id| if let Node::Float(value) = pickle.get(id) { *value } else { panic!("not a float") };
        prop_assert_eq!(bits(elements("floats").map(|&id| float(id)).collect()), bits(floats));
        prop_assert_eq!(pickle.as_str(field("text")).unwrap(), text);
        prop_assert_eq!(elements("again").copied().collect::<Vec<_>>(), vec![field("text")]);
        prop_assert_eq!(pickle.bytes(field("bytes")).unwrap().unwrap().into_owned(), bytes);
        prop_assert_eq!(pickle.as_bool(field("flag")), Some(flag));
    }
}
