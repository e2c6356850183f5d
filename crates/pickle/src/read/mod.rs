//! The pickle reader: a stack machine that builds nodes. It never imports, looks up or calls anything.

mod error;
mod input;
mod literal;
mod text;

use std::collections::HashMap;

pub use error::{PickleError, Problem};

use crate::opcode as op;
use crate::value::{Node, NodeId, Object, Pickle};
use input::Input;

/// Limits on the size of a pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest number of values. A value takes about 40 to 200 bytes; text and bytes are borrowed from the input.
    pub max_nodes: usize,
}

impl Default for Limits {
    /// Four million values. A checkpoint with 320 tensors has 9,000.
    fn default() -> Self {
        Self { max_nodes: 4_000_000 }
    }
}

/// Reads the pickle of protocol 0 to 5 at the start of `bytes`. Also returns its length in bytes, because a file may continue
/// after it.
///
/// # Errors
/// [`PickleError`] when the bytes are not a pickle, end early, exceed `limits`, or refer to data outside the pickle
/// (out-of-band buffers, extension codes).
pub fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Pickle<'a>, usize), PickleError> {
    let mut machine = Machine {
        input: Input::new(bytes),
        nodes: Vec::new(),
        // An id has 32 bits.
        max_nodes: limits.max_nodes.min(u32::MAX as usize),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let offset = machine.input.position();
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => return Ok((Pickle { nodes: machine.nodes, root }, machine.input.position())),
            Err(problem) => return Err(PickleError { offset, problem }),
        }
    }
}

/// The state between two opcodes. It grows by at most a constant per byte of input, because the stack and the memo contain
/// ids instead of values.
struct Machine<'a> {
    input: Input<'a>,
    nodes: Vec<Node<'a>>,
    max_nodes: usize,
    stack: Vec<NodeId>,
    /// The stack's height at each open MARK. Values below the last mark are inaccessible.
    marks: Vec<usize>,
    memo: HashMap<u64, NodeId>,
}

impl<'a> Machine<'a> {
    /// Executes one opcode. Returns the root after the last one.
    fn step(&mut self) -> Result<Option<NodeId>, Problem> {
        let opcode = self.input.u8()?;
        match opcode {
            op::STOP => return self.pop().map(Some),
            op::PROTO => match self.input.u8()? {
                0..=5 => {}
                newer => return Err(Problem::Protocol(newer)),
            },
            // A frame is only a hint for buffering.
            op::FRAME => drop(self.input.array::<8>()?),
            op::MARK => self.marks.push(self.stack.len()),
            op::POP => self.pop_value_or_mark()?,
            op::POP_MARK => drop(self.pop_to_mark()?),
            op::DUP => {
                let top = self.top()?;
                self.stack.push(top);
            }
            op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.put(opcode)?,
            op::GET | op::BINGET | op::LONG_BINGET => self.get(opcode)?,
            op::TUPLE | op::TUPLE1 | op::TUPLE2 | op::TUPLE3 | op::LIST | op::DICT | op::FROZENSET => {
                self.collect(opcode)?;
            }
            op::APPEND | op::APPENDS | op::ADDITEMS | op::SETITEM | op::SETITEMS => self.extend(opcode)?,
            op::STACK_GLOBAL => self.stack_global()?,
            op::REDUCE | op::NEWOBJ | op::NEWOBJ_EX | op::INST | op::OBJ => self.object(opcode)?,
            op::BUILD => self.build()?,
            op::PERSID | op::BINPERSID => self.persistent(opcode)?,
            op::NEXT_BUFFER | op::READONLY_BUFFER => return Err(Problem::OutOfBand),
            op::EXT1 | op::EXT2 | op::EXT4 => return Err(Problem::Extension),
            _ => {
                let value = literal::read(opcode, &mut self.input)?;
                self.push(value)?;
            }
        }
        Ok(None)
    }

    fn new_node(&mut self, node: Node<'a>) -> Result<NodeId, Problem> {
        if self.nodes.len() >= self.max_nodes {
            return Err(Problem::TooManyValues(self.max_nodes));
        }
        let id = u32::try_from(self.nodes.len()).map_err(|_| Problem::TooManyValues(self.max_nodes))?;
        self.nodes.push(node);
        Ok(NodeId(id))
    }

    fn push(&mut self, node: Node<'a>) -> Result<(), Problem> {
        let id = self.new_node(node)?;
        self.stack.push(id);
        Ok(())
    }

    /// The height of the inaccessible part of the stack.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<NodeId, Problem> {
        if self.stack.len() <= self.floor() {
            return Err(Problem::EmptyStack);
        }
        self.stack.pop().ok_or(Problem::EmptyStack)
    }

    fn top(&self) -> Result<NodeId, Problem> {
        if self.stack.len() <= self.floor() {
            return Err(Problem::EmptyStack);
        }
        self.stack.last().copied().ok_or(Problem::EmptyStack)
    }

    fn pop_value_or_mark(&mut self) -> Result<(), Problem> {
        match self.marks.last() {
            Some(&height) if height == self.stack.len() => drop(self.marks.pop()),
            _ => drop(self.pop()?),
        }
        Ok(())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<NodeId>, Problem> {
        let height = self.marks.pop().ok_or(Problem::NoMark)?;
        Ok(self.take_from(height))
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<NodeId>, Problem> {
        let height = self.stack.len().checked_sub(count).ok_or(Problem::EmptyStack)?;
        if height < self.floor() {
            return Err(Problem::EmptyStack);
        }
        Ok(self.take_from(height))
    }

    /// Removes the values from `height` on. `split_off` could move the whole capacity of the stack into a small vector.
    fn take_from(&mut self, height: usize) -> Vec<NodeId> {
        // `drain` panics beyond the end. No mark is higher than the stack, so `min` changes nothing.
        self.stack.drain(height.min(self.stack.len())..).collect()
    }

    fn put(&mut self, opcode: u8) -> Result<(), Problem> {
        let key = match opcode {
            op::BINPUT => u64::from(self.input.u8()?),
            op::LONG_BINPUT => u64::from(self.input.u32()?),
            op::PUT => text::unsigned(self.input.line()?)?,
            _ => self.memo.len() as u64,
        };
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn get(&mut self, opcode: u8) -> Result<(), Problem> {
        let key = match opcode {
            op::BINGET => u64::from(self.input.u8()?),
            op::LONG_BINGET => u64::from(self.input.u32()?),
            _ => text::unsigned(self.input.line()?)?,
        };
        let id = self.memo.get(&key).copied().ok_or(Problem::NotInMemo(key))?;
        self.stack.push(id);
        Ok(())
    }

    /// Replaces values on the stack by a container.
    fn collect(&mut self, opcode: u8) -> Result<(), Problem> {
        let node = match opcode {
            op::TUPLE1 => Node::Tuple(self.pop_many(1)?),
            op::TUPLE2 => Node::Tuple(self.pop_many(2)?),
            op::TUPLE3 => Node::Tuple(self.pop_many(3)?),
            op::TUPLE => Node::Tuple(self.pop_to_mark()?),
            op::LIST => Node::List(self.pop_to_mark()?),
            op::FROZENSET => Node::Set(self.pop_to_mark()?),
            _ => Node::Dict(pairs(&self.pop_to_mark()?)?),
        };
        self.push(node)
    }

    /// Adds values on the stack to the container below them.
    fn extend(&mut self, opcode: u8) -> Result<(), Problem> {
        let values = match opcode {
            op::APPEND => self.pop_many(1)?,
            op::SETITEM => self.pop_many(2)?,
            _ => self.pop_to_mark()?,
        };
        let target = self.top()?;
        let target = self.nodes.get_mut(target.0 as usize).ok_or(Problem::EmptyStack)?;
        match (opcode, target) {
            (op::SETITEM | op::SETITEMS, Node::Dict(entries)) => entries.extend(pairs(&values)?),
            (op::SETITEM | op::SETITEMS, Node::Object(object)) => object.items.extend(pairs(&values)?),
            (op::APPEND | op::APPENDS, Node::List(elements)) => elements.extend(values),
            (op::ADDITEMS, Node::Set(elements)) => elements.extend(values),
            (op::APPEND | op::APPENDS | op::ADDITEMS, Node::Object(object)) => object.appended.extend(values),
            _ => return Err(Problem::NotAContainer),
        }
        Ok(())
    }

    fn stack_global(&mut self) -> Result<(), Problem> {
        let name = self.pop()?;
        let module = self.pop()?;
        // Text that does not borrow from the input would be copied each time that the pickle refers to it.
        let verbatim = |id: NodeId| match self.nodes.get(id.0 as usize) {
            Some(Node::Str(std::borrow::Cow::Borrowed(text))) => Ok(*text),
            _ => Err(Problem::Invalid("the name of a class")),
        };
        let node = Node::Global { module: verbatim(module)?, name: verbatim(name)? };
        self.push(node)
    }

    /// Replaces a callable and its arguments by a node.
    fn object(&mut self, opcode: u8) -> Result<(), Problem> {
        let (callable, args) = match opcode {
            op::INST => {
                let class = literal::global(&mut self.input)?;
                let args = self.pop_to_mark()?;
                (self.new_node(class)?, self.new_node(Node::Tuple(args))?)
            }
            op::OBJ => {
                let mut args = self.pop_to_mark()?;
                if args.is_empty() {
                    return Err(Problem::EmptyStack);
                }
                let class = args.remove(0);
                (class, self.new_node(Node::Tuple(args))?)
            }
            op::NEWOBJ_EX => {
                // No supported object has keyword arguments.
                let _keywords = self.pop()?;
                let args = self.pop()?;
                (self.pop()?, args)
            }
            _ => {
                let args = self.pop()?;
                (self.pop()?, args)
            }
        };
        let object = Object { callable, args, state: None, items: Vec::new(), appended: Vec::new() };
        self.push(Node::Object(Box::new(object)))
    }

    fn build(&mut self) -> Result<(), Problem> {
        let state = self.pop()?;
        let target = self.top()?;
        match self.nodes.get_mut(target.0 as usize) {
            Some(Node::Object(object)) => object.state = Some(state),
            _ => return Err(Problem::NotAnObject),
        }
        Ok(())
    }

    fn persistent(&mut self, opcode: u8) -> Result<(), Problem> {
        let id = match opcode {
            op::PERSID => {
                let line = self.input.line()?;
                self.new_node(Node::Str(String::from_utf8_lossy(line)))?
            }
            _ => self.pop()?,
        };
        self.push(Node::Persistent(id))
    }
}

/// Groups alternating keys and values into pairs.
fn pairs(values: &[NodeId]) -> Result<Vec<(NodeId, NodeId)>, Problem> {
    let (pairs, rest) = values.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Problem::KeyWithoutValue);
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}
