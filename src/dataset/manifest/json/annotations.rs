//! The annotations of one video: labels, segments, and the text as Python would write it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::super::Labels;
use super::super::guard::ParserState;
use super::super::names::check_label;
use super::super::segments::Segment;
use super::{ANY, Held, Text, fail};
use crate::dataset::python_json::{self, Copy};

/// Maximum number of different labels of one video.
const MAX_LABELS: usize = 1000;
/// The annotations of one video: its labels without duplicates, in the order of their first appearance, and on request the
/// text as Python would write it.
pub(super) struct Annotations<'a> {
    pub at: &'a ParserState,
    /// Receives the text, if it is requested.
    pub text: Option<&'a mut String>,
    /// The labels of all videos.
    pub all: &'a mut Labels,
    /// The labels of this video.
    pub labels: &'a mut Vec<u32>,
    /// The segments of this video.
    pub segments: &'a mut Vec<Segment>,
}

impl<'de> DeserializeSeed<'de> for Annotations<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Annotations<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of annotations")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<(), A::Error> {
        let mut text = String::new();
        push(&mut self.text, "[");
        let mut first = true;
        let at = self.at;
        loop {
            let annotation = Annotation { at, text: self.text.is_some().then_some(&mut text) };
            let Some((label, segment)) = access.next_element_seed(Held(at, annotation))? else { break };
            push(&mut self.text, if first { "" } else { ", " });
            push(&mut self.text, &text);
            text.clear();
            first = false;
            let label = self.all.take(&label).map_err(|why| fail(at, why))?;
            self.segments.push((label, segment));
            if !self.labels.contains(&label) {
                if self.labels.len() == MAX_LABELS {
                    return Err(fail(at, format_args!("one video has more than {MAX_LABELS} labels")));
                }
                self.labels.push(label);
            }
        }
        push(&mut self.text, "]");
        Ok(())
    }
}

fn push(text: &mut Option<&mut String>, more: &str) {
    if let Some(text) = text {
        text.push_str(more);
    }
}

/// One annotation. Its value is the label and the segment.
struct Annotation<'a> {
    at: &'a ParserState,
    text: Option<&'a mut String>,
}

impl<'de> DeserializeSeed<'de> for Annotation<'_> {
    type Value = (String, [f64; 2]);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Annotation<'_> {
    type Value = (String, [f64; 2]);

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an annotation, {\"label\": \"Archery\", \"segment\": [1.5, 20.0]}")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut label: Option<String> = None;
        let mut segment = None;
        let mut keys: Vec<String> = vec![];
        push(&mut self.text, "{");
        let at = self.at;
        while let Some(key) = access.next_key_seed(Held(at, PhantomData::<String>))? {
            if keys.contains(&key) {
                return Err(fail(at, format_args!("the key {key:?} occurs twice in one annotation")));
            }
            if keys.len() == 100 {
                return Err(fail(at, "one annotation has more than 100 keys"));
            }
            push(&mut self.text, if keys.is_empty() { "" } else { ", " });
            if let Some(text) = &mut self.text {
                python_json::push_str(text, &key);
                text.push_str(": ");
            }
            match (key.as_str(), &mut self.text) {
                ("label", text) => {
                    let value = access.next_value_seed(Held(at, Text("a label")))?;
                    check_label(&value).map_err(|error| fail(at, error))?;
                    if let Some(text) = text {
                        python_json::push_str(text, &value);
                    }
                    label = Some(value);
                }
                ("segment", text) => {
                    segment = Some(access.next_value_seed(Held(at, BeginEnd { at, text: text.as_deref_mut() }))?);
                }
                (_, Some(text)) => access.next_value_seed(Held(at, Copy(text)))?,
                (_, None) => drop(access.next_value_seed(Held(at, ANY))?),
            }
            keys.push(key);
        }
        push(&mut self.text, "}");
        match (label, segment) {
            (Some(label), Some(segment)) => Ok((label, segment)),
            (Some(_), None) => Err(fail(at, "the key \"segment\" is missing in an annotation")),
            (None, _) => Err(fail(at, "the key \"label\" is missing in an annotation")),
        }
    }
}

/// Start and end in seconds. Any two numbers are accepted, as by MMAction2.
struct BeginEnd<'a> {
    at: &'a ParserState,
    text: Option<&'a mut String>,
}

impl<'de> DeserializeSeed<'de> for BeginEnd<'_> {
    type Value = [f64; 2];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<[f64; 2], D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for BeginEnd<'_> {
    type Value = [f64; 2];

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a segment: begin and end in seconds, such as [1.5, 20.0]")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<[f64; 2], A::Error> {
        let mut segment = [0.0; 2];
        for (at, place) in segment.iter_mut().enumerate() {
            push(&mut self.text, if at == 0 { "[" } else { ", " });
            let number = Number { text: self.text.as_deref_mut() };
            let read = access.next_element_seed(Held(self.at, number))?;
            *place = read.ok_or_else(|| A::Error::invalid_length(at, &self))?;
        }
        push(&mut self.text, "]");
        match access.next_element_seed(Held(self.at, ANY))? {
            Some(_) => Err(A::Error::invalid_length(3, &self)),
            None => Ok(segment),
        }
    }
}

/// A number, whose text is copied as it is written.
struct Number<'a> {
    text: Option<&'a mut String>,
}

impl<'de> DeserializeSeed<'de> for Number<'_> {
    type Value = f64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<f64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Number<'_> {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number of seconds")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        self.text.map_or(Ok(()), |text| Copy(text).visit_u64(value))?;
        Ok(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        self.text.map_or(Ok(()), |text| Copy(text).visit_i64(value))?;
        Ok(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        self.text.map_or(Ok(()), |text| Copy(text).visit_f64(value))?;
        Ok(value)
    }
}
