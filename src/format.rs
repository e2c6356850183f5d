//! Export formats and axis orders, as the command line, the configuration, clients and the engine name them.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The file name of the pickle of [`Format::Pkl`].
pub(crate) const RESULTS: &str = "result.pkl";

/// A file format that trainers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One result.pkl with the logits of all videos, and hacs_data.txt with their names in the same order, as MMAction2
    /// writes them
    Pkl,
    /// One .csv file per video, for BMN and TCANet in MMAction2
    Csv,
    /// One .npy file per video, for ActionFormer and OpenTAD
    Npy,
    /// One .npz file per video with the array `feats`, for OpenTAD
    Npz,
    /// One features.hdf5 with a dataset per video, for ActionFormer and h5py
    H5,
}

impl Format {
    /// The name, which is also the name of the export's folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pkl => "pkl",
            Self::Csv => "csv",
            Self::Npy => "npy",
            Self::Npz => "npz",
            Self::H5 => "h5",
        }
    }

    /// Whether each video gets its own file.
    pub fn is_a_file_a_video(self) -> bool {
        match self {
            Self::Csv | Self::Npy | Self::Npz => true,
            Self::Pkl | Self::H5 => false,
        }
    }

    /// Whether users can choose the order of the axes.
    pub fn has_axes(self) -> bool {
        match self {
            Self::Npy | Self::Npz | Self::H5 => true,
            Self::Pkl | Self::Csv => false,
        }
    }
}

/// The axis order of an exported matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Axes {
    /// Clips × channels: one row per clip
    #[default]
    Tc,
    /// Channels × clips: one row per channel
    Ct,
}

impl Axes {
    /// The shape in which a matrix of clips × channels is written.
    pub fn shape<T>(self, [clips, channels]: [T; 2]) -> [T; 2] {
        match self {
            Self::Tc => [clips, channels],
            Self::Ct => [channels, clips],
        }
    }
}
