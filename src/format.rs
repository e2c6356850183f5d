//! Export formats and axis orders, as the command line, the configuration, clients and the engine name them.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A file format that trainers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// result.pkl and hacs_data.txt with the same videos in the same order, as MMAction2 dumps them
    Pkl,
    /// A .csv for each video, as MMAction2's BMN and TCANet read them
    Csv,
    /// A .npy for each video, as ActionFormer and OpenTAD read them
    Npy,
    /// A .npz for each video, with the array `feats`
    Npz,
    /// features.hdf5 with a dataset for each video
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
        matches!(self, Self::Csv | Self::Npy | Self::Npz)
    }
}

/// The axis order of an exported matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Axes {
    /// Clips × channels
    #[default]
    Tc,
    /// Channels × clips
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
