//! Errors of the model.

use std::io;
use std::path::PathBuf;

use reeldeck_common::error::ErrorKind;
use reeldeck_pickle::checkpoint::CheckpointError;

/// Why the model cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The checkpoint cannot be read.
    #[error("failed to read the checkpoint {path}", path = path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: CheckpointError,
    },
    /// The checkpoint is not for this network.
    #[error("the checkpoint {path} does not fit the recipe's model: {reason}", path = path.display())]
    Misfit {
        /// The file.
        path: PathBuf,
        /// The first keys that are missing, unexpected or of another shape.
        reason: String,
    },
    /// The recipe's network is in a module, which needs its file.
    #[error(
        "the recipe's network is in a module, which has no seeded weights and no checkpoint; name the module's file"
    )]
    NoCheckpoint,
    /// The module cannot be read.
    #[error("failed to read the module {path}; correct `module` in the recipe, or name the file with --checkpoint", path = path.display())]
    Module {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The module is not the one that the recipe pins.
    #[error(
        "the module {path} is not the one that the recipe pins: its SHA-256 is {found} instead of {pinned}; a module is a \
         program: run it only if you trust its source, and then set sha256 under [model]",
        path = path.display()
    )]
    OtherModule {
        /// The file.
        path: PathBuf,
        /// The SHA-256 in the recipe.
        pinned: String,
        /// The SHA-256 of the file.
        found: String,
    },
    /// The module does not compute what the recipe says.
    #[error("the module {path} {problem}", path = path.display())]
    WrongModule {
        /// The file.
        path: PathBuf,
        /// What it does instead.
        problem: String,
    },
    /// The checkpoint has changed since the engine read it.
    #[error("the checkpoint {path} has changed since the run began: its SHA-256 is {found} instead of {expected}; start the run again", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The current SHA-256.
        found: String,
        /// The expected SHA-256.
        expected: String,
    },
    /// The device cannot be used.
    #[error("{0}")]
    Device(String),
    /// libtorch failed.
    #[error("libtorch failed: {}", first_line(.0))]
    Torch(tch::TchError),
    /// The process has reached its memory limit.
    #[error("not enough memory for the model")]
    NoMemory,
    /// An output is infinite or NaN.
    #[error(
        "the model returned numbers that are not finite; the checkpoint is damaged, or the precision is too low for it"
    )]
    NotFinite,
    /// A weight of the checkpoint is NaN or far too large.
    #[error(
        "the weights of {0} contain numbers that are not finite or far too large; the checkpoint is damaged, remove it and download it again"
    )]
    InvalidWeights(String),
    /// A bug in reeldeck.
    #[error("{0}")]
    Internal(String),
}

/// cuDNN tries one algorithm after the other, and libtorch reports only that none worked. The usual reason is a lack of memory.
const NO_ALGORITHM: &str = "unable to find an engine to execute this computation";

/// Parts of libtorch's messages that mean a lack of memory.
const NO_MEMORY: [&str; 9] = [
    "out of memory",
    "not enough memory",
    "can't allocate",
    "bad_alloc",
    NO_ALGORITHM,
    // The allocator asks NVML how much memory is used, to describe the shortage. NVML may be missing in containers and for MIG.
    "NVML_SUCCESS == r",
    "STATUS_ALLOC_FAILED",
    "HOST_ALLOCATION_FAILED",
    // The allocator frees unused memory when none is left, and refuses that after a capture that CUDA did not end.
    "captures_underway.empty()",
];

fn first_line(error: &tch::TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

// Not a source: the rest of the text is libtorch's stack.
impl From<tch::TchError> for ModelError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error)
    }
}

impl ModelError {
    /// Whether no algorithm of cuDNN worked, perhaps because none supports the computation.
    pub(crate) fn lacks_algorithm(&self) -> bool {
        matches!(self, Self::Torch(error) if error.to_string().contains(NO_ALGORITHM))
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Checkpoint { .. }
            | Self::Misfit { .. }
            | Self::Changed { .. }
            | Self::NoCheckpoint
            | Self::Module { .. }
            | Self::OtherModule { .. }
            | Self::WrongModule { .. }
            | Self::NotFinite
            | Self::InvalidWeights(_)
            | Self::Internal(_) => ErrorKind::Internal,
            Self::Device(_) => ErrorKind::Device,
            Self::NoMemory => ErrorKind::OutOfMemory,
            Self::Torch(error) => {
                let text = error.to_string();
                if NO_MEMORY.iter().any(|part| text.contains(part)) {
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

    /// Messages of libtorch 2.11, some shortened.
    #[test]
    fn libtorch_errors_have_a_kind() {
        for (text, kind) in [
            (
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to \
                 allocate 123 bytes. Error code 12 (Cannot allocate memory)",
                ErrorKind::OutOfMemory,
            ),
            ("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory", ErrorKind::OutOfMemory),
            ("std::bad_alloc", ErrorKind::OutOfMemory),
            ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of", ErrorKind::OutOfMemory),
            ("GET was unable to find an engine to execute this computation", ErrorKind::OutOfMemory),
            ("FIND was unable to find an engine to execute this computation", ErrorKind::OutOfMemory),
            (
                "NVML_SUCCESS == r INTERNAL ASSERT FAILED at \"/pytorch/c10/cuda/CUDACachingAllocator.cpp\":1016, please report a \
                 bug to PyTorch.",
                ErrorKind::OutOfMemory,
            ),
            (
                "captures_underway.empty() INTERNAL ASSERT FAILED at \"/pytorch/c10/cuda/CUDACachingAllocator.cpp\":3662, please \
                 report a bug to PyTorch.",
                ErrorKind::OutOfMemory,
            ),
            ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", ErrorKind::OutOfMemory),
            ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", ErrorKind::OutOfMemory),
            ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED", ErrorKind::OutOfMemory),
            ("CUDA error: an illegal memory access was encountered", ErrorKind::Device),
            ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", ErrorKind::Device),
            ("shape '[2]' is invalid for input of size 3", ErrorKind::Internal),
        ] {
            assert_eq!(ModelError::Torch(tch::TchError::Torch(text.into())).kind(), kind, "{text}");
        }
        assert_eq!(ModelError::NoMemory.kind(), ErrorKind::OutOfMemory);
    }
}
