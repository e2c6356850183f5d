//! Why a pickle could not be read, and where.

/// A pickle could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to read the pickle at byte {offset}: {problem}")]
pub struct PickleError {
    /// Where the opcode that failed begins, in bytes from the start of the pickle.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a pickle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The input is over before the pickle is.
    #[error("it ends early")]
    EndsEarly,
    /// Newer than protocol 5.
    #[error("protocol {0} is not known; the newest known is 5")]
    Protocol(u8),
    /// A byte that is no opcode.
    #[error("byte {0:#04x} is no opcode")]
    UnknownOpcode(u8),
    /// Protocol 5 can leave data to its caller.
    #[error("it leaves data in buffers outside the file; write it without a buffer callback")]
    OutOfBand,
    /// `copyreg` codes mean something only inside the program that registered them.
    #[error("it uses extension codes, which mean nothing outside the program that wrote it")]
    Extension,
    /// An opcode takes more values than there are.
    #[error("a value is missing from the stack")]
    EmptyStack,
    /// An opcode takes all values from a mark on, and there is none.
    #[error("a mark is missing from the stack")]
    NoMark,
    /// A memo entry is used that was never made.
    #[error("memo entry {0} was never made")]
    NotInMemo(u64),
    /// A dict is given an odd number of keys and values.
    #[error("a key has no value")]
    KeyWithoutValue,
    /// Elements are added to what takes none.
    #[error("elements are added to what takes none")]
    NotAContainer,
    /// A state is given to what is no object.
    #[error("a state is given to what is no object")]
    NotAnObject,
    /// A number, text or name that cannot be read.
    #[error("{0} is malformed")]
    Invalid(&'static str),
    /// More values than [`Limits`](super::Limits) allows.
    #[error("it holds more than {0} values")]
    TooManyValues(usize),
}
