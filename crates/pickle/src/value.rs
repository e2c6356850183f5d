//! The content of a pickle: an arena of nodes that refer to each other by index, and accessors for it.
//!
//! A pickle may be nested a million levels deep or contain itself. With indices instead of pointers, neither dropping nor
//! reading it recurses.

use std::borrow::Cow;

/// The index of a node in its [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

/// A value. Text and bytes borrow from the input if it contains them verbatim.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// Any other integer, as little-endian two's complement.
    BigInt(Cow<'a, [u8]>),
    /// A float.
    Float(f64),
    /// Text. Lone surrogates, which Python allows and UTF-8 does not, become U+FFFD.
    Str(Cow<'a, str>),
    /// `bytes`, `bytearray`, or a Python 2 string that is not UTF-8.
    Bytes(Cow<'a, [u8]>),
    /// A list.
    List(Vec<NodeId>),
    /// A dict, as its assignments in order. The last one of equal keys is valid.
    Dict(Vec<(NodeId, NodeId)>),
    /// A tuple.
    Tuple(Vec<NodeId>),
    /// A `set` or `frozenset` of protocol 4 or later. Older protocols write an [`Object`].
    Set(Vec<NodeId>),
    /// The name of a class or function, which is never looked up.
    Global {
        /// The module, such as `torch._utils`.
        module: &'a str,
        /// The name in the module, with dots if nested.
        name: &'a str,
    },
    /// The result of a call, which is never made.
    Object(Box<Object>),
    /// A persistent id: a reference to data outside the pickle, such as a tensor's storage.
    Persistent(NodeId),
}

/// A call and the changes to its result that Python would make.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The callable, usually a [`Node::Global`].
    pub callable: NodeId,
    /// The arguments, usually a [`Node::Tuple`].
    pub args: NodeId,
    /// The argument of `__setstate__`, or the content of `__dict__`.
    pub state: Option<NodeId>,
    /// The assignments `object[key] = value`, in order.
    pub items: Vec<(NodeId, NodeId)>,
    /// The elements to append or add to the object.
    pub appended: Vec<NodeId>,
}

/// A pickle, as [`read`](crate::read::read) returns it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pickle<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    pub(crate) root: NodeId,
}

/// A call of a named class or function, as [`Pickle::call`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'p> {
    /// The module, such as `torch._utils`.
    pub module: &'p str,
    /// The name in the module.
    pub name: &'p str,
    /// The positional arguments.
    pub args: &'p [NodeId],
}

/// Text that should encode bytes has a character above U+00FF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to turn text into bytes: character {character:?} is not in latin-1")]
pub struct NotLatin1 {
    /// The first such character.
    pub character: char,
}

impl<'a> Pickle<'a> {
    /// The root value.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes. A pickle that was read has at least one.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The ids of all nodes, in the order of their creation.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(NodeId)
    }

    /// The node with this id; [`Node::None`] for an id of another pickle that is out of range.
    pub fn get(&self, id: NodeId) -> &Node<'a> {
        self.nodes.get(id.0 as usize).unwrap_or(&Node::None)
    }

    /// The value of a bool.
    pub fn as_bool(&self, id: NodeId) -> Option<bool> {
        match self.get(id) {
            Node::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of an integer that fits 64 bits.
    pub fn as_int(&self, id: NodeId) -> Option<i64> {
        match self.get(id) {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of an integer that is a valid size or index.
    pub fn as_usize(&self, id: NodeId) -> Option<usize> {
        self.as_int(id).and_then(|value| usize::try_from(value).ok())
    }

    /// The value of a text.
    pub fn as_str(&self, id: NodeId) -> Option<&str> {
        match self.get(id) {
            Node::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The module and name of a class or function.
    pub fn as_global(&self, id: NodeId) -> Option<(&'a str, &'a str)> {
        match self.get(id) {
            Node::Global { module, name } => Some((module, name)),
            _ => None,
        }
    }

    /// The elements of a list, tuple or set.
    pub fn elements(&self, id: NodeId) -> Option<&[NodeId]> {
        match self.get(id) {
            Node::List(ids) | Node::Tuple(ids) | Node::Set(ids) => Some(ids),
            _ => None,
        }
    }

    /// The elements of a list, tuple or set of sizes.
    pub fn sizes(&self, id: NodeId) -> Option<Vec<usize>> {
        self.elements(id)?.iter().map(|&element| self.as_usize(element)).collect()
    }

    /// The call of a named class or function with a tuple of arguments.
    pub fn call(&self, id: NodeId) -> Option<Call<'_>> {
        let Node::Object(object) = self.get(id) else { return None };
        let (module, name) = self.as_global(object.callable)?;
        let Node::Tuple(args) = self.get(object.args) else { return None };
        Some(Call { module, name, args })
    }

    /// The assignments of a dict, an `OrderedDict` or another dict class, in order. The last one of equal keys is valid.
    pub fn entries(&self, id: NodeId) -> Option<Cow<'_, [(NodeId, NodeId)]>> {
        let object = match self.get(id) {
            Node::Dict(entries) => return Some(Cow::Borrowed(entries)),
            Node::Object(object) => object,
            _ => return None,
        };
        match self.as_global(object.callable) {
            Some(("collections", "OrderedDict")) => {}
            Some(("collections", "defaultdict")) => return Some(Cow::Borrowed(&object.items)),
            // Any class can have items. Without items it may not be a dict.
            _ if object.items.is_empty() => return None,
            _ => return Some(Cow::Borrowed(&object.items)),
        }
        // Python 2 passes an OrderedDict's items as an argument: a list of pairs.
        let first_argument = self.elements(object.args).and_then(|args| args.first());
        let Some(pairs) = first_argument.and_then(|&argument| self.elements(argument)) else {
            return Some(Cow::Borrowed(&object.items));
        };
        let mut entries = Vec::with_capacity(pairs.len() + object.items.len());
        for &pair in pairs {
            let &[key, value] = self.elements(pair)? else { return None };
            entries.push((key, value));
        }
        entries.extend_from_slice(&object.items);
        Some(Cow::Owned(entries))
    }

    /// The value of a text key in a dict or `OrderedDict`. The search is linear.
    pub fn field(&self, id: NodeId, key: &str) -> Option<NodeId> {
        self.lookup(&self.entries(id)?, key)
    }

    /// The value of a text key in the entries of a dict.
    pub(crate) fn lookup(&self, entries: &[(NodeId, NodeId)], key: &str) -> Option<NodeId> {
        entries.iter().rev().find(|(candidate, _)| self.as_str(*candidate) == Some(key)).map(|(_, value)| *value)
    }

    /// The value of bytes in all encodings of Python: verbatim (protocol 3 and later), or as a call of `_codecs.encode` with
    /// latin-1 text (protocols 0 to 2). The text is decoded here and not by the reader, so that the reader copies nothing.
    /// `None` if the node is not bytes.
    ///
    /// # Errors
    /// [`NotLatin1`] when the text has a character above U+00FF.
    pub fn bytes(&self, id: NodeId) -> Result<Option<Cow<'_, [u8]>>, NotLatin1> {
        if let Node::Bytes(bytes) = self.get(id) {
            return Ok(Some(Cow::Borrowed(bytes)));
        }
        let Some(call) = self.call(id) else { return Ok(None) };
        match (call.module, call.name, call.args) {
            ("_codecs", "encode", &[text, codec]) if self.as_str(codec) == Some("latin1") => {
                self.as_str(text).map(latin1).transpose()
            }
            ("__builtin__" | "builtins", "bytes", []) => Ok(Some(Cow::Borrowed(&[]))),
            _ => Ok(None),
        }
    }

    /// How many bytes of input [`bytes`](Self::bytes) would decode.
    pub(crate) fn encoded_len(&self, id: NodeId) -> usize {
        if let Node::Bytes(bytes) = self.get(id) {
            return bytes.len();
        }
        let text = self.call(id).and_then(|call| call.args.first().copied()).and_then(|text| self.as_str(text));
        text.map_or(0, str::len)
    }
}

/// Encodes text as latin-1.
fn latin1(text: &str) -> Result<Cow<'_, [u8]>, NotLatin1> {
    if text.is_ascii() {
        return Ok(Cow::Borrowed(text.as_bytes()));
    }
    let byte = |character: char| u8::try_from(u32::from(character)).map_err(|_| NotLatin1 { character });
    text.chars().map(byte).collect::<Result<Vec<u8>, _>>().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_encoded_as_latin1() {
        assert_eq!(latin1("abc").unwrap().as_ref(), b"abc");
        assert_eq!(latin1("\u{80}\u{ff}\0").unwrap().as_ref(), [0x80, 0xff, 0]);
        assert_eq!(latin1("\u{100}").unwrap_err().character, '\u{100}');
    }

    #[test]
    fn an_id_out_of_range_is_none() {
        let pickle = Pickle { nodes: vec![Node::Int(1)], root: NodeId(0) };
        assert_eq!(pickle.get(NodeId(7)), &Node::None);
    }
}
