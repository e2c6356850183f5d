//! The official annotation file, read one video at a time: `{"database": {id: {duration, subset, annotations, url}}}`.

use std::fmt::{self, Display};
use std::io::BufRead;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Unexpected, Visitor};

use super::guard::{Guard, ParserState, Place, Stopped};
use super::names::check_id;
use super::segments::Segment;
use super::{Entry, Labels, Problem, Sink, Split};

mod annotations;

use annotations::Annotations;

/// Maximum length of an address.
const MAX_URL_LEN: usize = 2000;
/// Maximum duration in seconds. The number of frames of such a video still fits in 64 bits.
const MAX_DURATION_S: f64 = 1e9;

/// Passes every video to `sink`, in the file's order. The text of the annotations is kept only if `texts` is set.
pub(super) fn read(reader: impl BufRead, texts: bool, sink: &mut Sink<'_>) -> Result<(), (Place, Problem)> {
    let watched = ParserState::default();
    let mut failed = None;
    let mut reading = Reading { at: &watched, texts, sink, failed: &mut failed };
    let mut deserializer = serde_json::Deserializer::from_reader(Guard::new(reader, &watched));
    let read = File(&mut reading).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    let Err(error) = read else { return Ok(()) };
    if let Some(failed) = failed {
        return Err(failed);
    }
    let problem = match watched.stopped() {
        Some(Stopped::Io(source)) => Problem::Io(source),
        Some(Stopped::Bound(why)) => Problem::Content(format!("{why}; is this the right file?")),
        None if error.is_eof() => Problem::Content("the file is truncated; download or unpack it again".into()),
        None => Problem::Content(without_place(&error.to_string())),
    };
    Err((watched.place(), problem))
}

/// The message of serde_json without its position, which counts bytes.
fn without_place(message: &str) -> String {
    let message = message.rfind(" at line ").and_then(|end| message.get(..end)).unwrap_or(message);
    match message {
        "key must be a string" => "a key in double quotes is expected".into(),
        "expected value" => "a value is expected: a text in double quotes, a number, a list or an object".into(),
        "trailing characters" => "more text follows after the end of the manifest".into(),
        other => other.into(),
    }
}

/// A value that records the position of its first error.
struct Held<'w, S>(&'w ParserState, S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Held<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.1.deserialize(deserializer).inspect_err(|_| self.0.hold())
    }
}

/// Any value, which is ignored.
const ANY: PhantomData<IgnoredAny> = PhantomData;

/// An error at the current position.
fn fail<E: Error>(at: &ParserState, why: impl Display) -> E {
    at.hold();
    E::custom(why)
}

/// State that all parts share.
struct Reading<'r, 's> {
    at: &'r ParserState,
    texts: bool,
    sink: &'r mut Sink<'s>,
    failed: &'r mut Option<(Place, Problem)>,
}

/// The whole file.
struct File<'a, 'r, 's>(&'a mut Reading<'r, 's>);

impl<'de> DeserializeSeed<'de> for File<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for File<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with the key \"database\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut found = false;
        let at = self.0.at;
        while let Some(key) = access.next_key_seed(Held(at, OneOf(&["database"])))? {
            if key.is_none() {
                access.next_value_seed(Held(at, ANY))?;
            } else if std::mem::replace(&mut found, true) {
                return Err(fail(at, "the key \"database\" occurs twice"));
            } else {
                access.next_value_seed(Held(at, Database(self.0)))?;
            }
        }
        let hint =
            "the key \"database\" is missing; the manifest is HACS_segments_v1.1.1.json, or a file of that shape";
        if found { Ok(()) } else { Err(fail(at, hint)) }
    }
}

/// The videos by id.
struct Database<'a, 'r, 's>(&'a mut Reading<'r, 's>);

impl<'de> DeserializeSeed<'de> for Database<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Database<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with the videos by id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let Reading { at, texts, sink, failed } = self.0;
        while let Some(id) = access.next_key_seed(Held(at, PhantomData::<String>))? {
            let place = at.place();
            check_id(&id).map_err(|error| fail(at, error))?;
            at.video_begins();
            let video = Video { at, id: &id, texts: *texts, labels: sink.labels };
            let Parts { duration_s, split, labels, segments, url, text } = access.next_value_seed(Held(at, video))?;
            at.video_ends();
            let id = id.as_str();
            let (duration_s, split) = (Some(duration_s), Some(split));
            let entry = Entry { id, place, duration_s, split, labels, segments, url, text };
            if let Err(problem) = (sink.take)(entry, sink.labels) {
                **failed = Some((place, problem));
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// The fields of a video.
struct Parts {
    duration_s: f64,
    split: Split,
    labels: Vec<u32>,
    segments: Vec<Segment>,
    url: Option<String>,
    text: String,
}

/// One video.
struct Video<'a> {
    at: &'a ParserState,
    id: &'a str,
    texts: bool,
    labels: &'a mut Labels,
}

impl<'de> DeserializeSeed<'de> for Video<'_> {
    type Value = Parts;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parts, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Video<'_> {
    type Value = Parts;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "an object with the duration, subset and annotations of {:?}", self.id)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Parts, A::Error> {
        const KEYS: &[&str] = &["duration", "subset", "annotations", "url"];
        let (mut duration_s, mut split, mut annotations, mut url) = (None, None, None, None);
        let at = self.at;
        while let Some(key) = access.next_key_seed(Held(at, OneOf(KEYS)))? {
            let twice = match key {
                Some("duration") => duration_s.replace(access.next_value_seed(Held(at, Seconds))?).is_some(),
                Some("subset") => split.replace(access.next_value_seed(Held(at, Subset))?).is_some(),
                Some("annotations") => {
                    let mut text = String::new();
                    let (mut labels, mut segments) = (vec![], vec![]);
                    let texts = self.texts.then_some(&mut text);
                    let all = &mut *self.labels;
                    let (labels_of, segments_of) = (&mut labels, &mut segments);
                    let seed = Annotations { at, text: texts, all, labels: labels_of, segments: segments_of };
                    access.next_value_seed(Held(at, seed))?;
                    annotations.replace((labels, segments, text)).is_some()
                }
                Some("url") => url.replace(access.next_value_seed(Held(at, Text("an address")))?).is_some(),
                _ => {
                    access.next_value_seed(Held(at, ANY))?;
                    false
                }
            };
            if twice {
                let key = key.unwrap_or_default();
                return Err(fail(at, format_args!("the key {key:?} occurs twice in {:?}", self.id)));
            }
        }
        let missing = |key: &str| fail(at, format_args!("the key {key:?} is missing in {:?}", self.id));
        let duration_s = duration_s.ok_or_else(|| missing("duration"))?;
        let split = split.ok_or_else(|| missing("subset"))?;
        let (labels, segments, text) = annotations.unwrap_or_else(|| (vec![], vec![], "[]".into()));
        // Addresses are optional, so an unusable one is ignored.
        let url = url.filter(|url: &String| url.len() <= MAX_URL_LEN);
        Ok(Parts { duration_s, split, labels, segments, url, text })
    }
}

/// One of these keys, or `None` for any other key.
struct OneOf(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for OneOf {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for OneOf {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key in double quotes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|key| **key == text).copied())
    }
}

/// A duration, as a number or as a quoted number. Files of both kinds exist.
struct Seconds;

impl<'de> DeserializeSeed<'de> for Seconds {
    type Value = f64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<f64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Seconds {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "a duration in seconds, such as 92.17, from 0 to {MAX_DURATION_S:e}")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        self.visit_f64(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        let fits = (0.0..=MAX_DURATION_S).contains(&value);
        if fits { Ok(value) } else { Err(E::invalid_value(Unexpected::Float(value), &self)) }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        match text.trim_ascii().parse() {
            Ok(value) if (0.0..=MAX_DURATION_S).contains(&value) => Ok(value),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

/// `training`, `validation` or `testing`.
struct Subset;

impl<'de> DeserializeSeed<'de> for Subset {
    type Value = Split;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Split, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Subset {
    type Value = Split;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("\"training\", \"validation\" or \"testing\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Split, E> {
        Split::named(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// A string. The field is its description in errors.
struct Text(&'static str);

impl<'de> DeserializeSeed<'de> for Text {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} in double quotes", self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}
