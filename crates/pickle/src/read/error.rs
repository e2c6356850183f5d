//! Errors of the pickle reader.

/// Why a pickle is unreadable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to read the pickle at byte {offset}: {problem}")]
pub struct PickleError {
    /// The position of the failing opcode, in bytes from the start of the pickle.
    pub offset: usize,
    /// The problem.
    pub problem: Problem,
}

/// A problem of a pickle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The input ends within the pickle.
    #[error("it ends early")]
    EndsEarly,
    /// The protocol is newer than 5.
    #[error("unknown protocol {0}; the newest supported protocol is 5")]
    Protocol(u8),
    /// A byte is not an opcode.
    #[error("byte {0:#04x} is not an opcode")]
    UnknownOpcode(u8),
    /// It refers to protocol 5 buffers outside the pickle.
    #[error("it leaves data in buffers outside the file; write it without a buffer callback")]
    OutOfBand,
    /// It uses `copyreg` extension codes, which are defined only in the program that registered them.
    #[error("it uses extension codes, which only the program that wrote it can resolve")]
    Extension,
    /// An opcode needs more values than the stack has.
    #[error("a value is missing from the stack")]
    EmptyStack,
    /// An opcode needs a mark, and the stack has none.
    #[error("a mark is missing from the stack")]
    NoMark,
    /// It uses a memo entry that does not exist.
    #[error("memo entry {0} does not exist")]
    NotInMemo(u64),
    /// A dict gets an odd number of keys and values.
    #[error("a key has no value")]
    KeyWithoutValue,
    /// Elements are added to a value that is not a container.
    #[error("elements are added to a value that is not a container")]
    NotAContainer,
    /// A state is set on a value that is not an object.
    #[error("a state is set on a value that is not an object")]
    NotAnObject,
    /// A number, text or name is malformed.
    #[error("{0} is malformed")]
    Invalid(&'static str),
    /// It has more values than [`Limits`](super::Limits) allows.
    #[error("it has more than {0} values")]
    TooManyValues(usize),
}
