//! What can go wrong between a checkpoint and a feature.

use std::path::PathBuf;

use reeldeck_common::error::ErrorKind;
use reeldeck_pickle::checkpoint::CheckpointError;

/// What can go wrong between a checkpoint and a feature.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The checkpoint cannot be read.
    #[error("failed to read the checkpoint {path}", path = path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CheckpointError,
    },
    /// The checkpoint is readable and not for this network.
    #[error("the checkpoint {path} does not fit the recipe's model: {reason}", path = path.display())]
    Misfit {
        /// The file.
        path: PathBuf,
        /// The first keys that are missing, surplus or misshapen.
        reason: String,
    },
    /// The checkpoint is not the one that the engine looked at.
    #[error("the checkpoint {path} changed: its digest is {found}, and {expected} was expected", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// SHA-256 of what is there now.
        found: String,
        /// SHA-256 of what was there.
        expected: String,
    },
    /// The device cannot be used.
    #[error("{0}")]
    Device(String),
    /// libtorch reports an error.
    #[error("libtorch failed: {}", first_line(.0))]
    Torch(#[from] tch::TchError),
    /// The memory that this process may use is used up.
    #[error("not enough memory for the model")]
    NoMemory,
    /// The network gave infinities or what is not a number.
    #[error("the model gave numbers that are not finite; the checkpoint is damaged or the precision too low for it")]
    NotFinite,
    /// A weight of the checkpoint cannot be one.
    #[error(
        "the weights of {0} hold numbers that are not finite or beyond all measure; the checkpoint is damaged, download it again"
    )]
    Immense(String),
    /// Frames and clips do not go together.
    #[error("{0}")]
    Internal(String),
}

fn first_line(error: &tch::TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

impl ModelError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Checkpoint { .. }
            | Self::Misfit { .. }
            | Self::Changed { .. }
            | Self::NotFinite
            | Self::Immense(_)
            | Self::Internal(_) => ErrorKind::Internal,
            Self::Device(_) => ErrorKind::Device,
            Self::NoMemory => ErrorKind::OutOfMemory,
            Self::Torch(error) => {
                let text = error.to_string();
                if text.contains("out of memory")
                    || text.contains("not enough memory")
                    || text.contains("can't allocate")
                    || text.contains("bad_alloc")
                {
                    ErrorKind::OutOfMemory
                } else if text.contains("CUDA") || text.contains("cuDNN") {
                    ErrorKind::Device
                } else {
                    ErrorKind::Internal
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of libtorch 2.11, some shortened.
    #[test]
    fn what_libtorch_says_of_memory_is_understood() {
        for (text, kind) in [
            (
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to \
                 allocate 123 bytes. Error code 12 (Cannot allocate memory)",
                ErrorKind::OutOfMemory,
            ),
            ("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory", ErrorKind::OutOfMemory),
            ("std::bad_alloc", ErrorKind::OutOfMemory),
            ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of", ErrorKind::OutOfMemory),
            ("CUDA error: an illegal memory access was encountered", ErrorKind::Device),
            ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", ErrorKind::Device),
            ("shape '[2]' is invalid for input of size 3", ErrorKind::Internal),
        ] {
            assert_eq!(ModelError::Torch(tch::TchError::Torch(text.into())).kind(), kind, "{text}");
        }
        assert_eq!(ModelError::NoMemory.kind(), ErrorKind::OutOfMemory);
    }
}
