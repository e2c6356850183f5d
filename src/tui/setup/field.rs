//! The fields of the setup form.

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::tui) enum Field {
    Root,
    Out,
    Checkpoint,
    /// The list of videos that should be there.
    Manifest,
    Devices,
    /// Where the videos lie; asked only if it is not clear.
    Layout,
}

impl Field {
    /// In the order of the form.
    pub(in crate::tui) const ALL: [Self; 6] =
        [Self::Root, Self::Out, Self::Checkpoint, Self::Manifest, Self::Devices, Self::Layout];
    /// The fields that are always asked.
    pub(in crate::tui) const ALWAYS: [Self; 5] =
        [Self::Root, Self::Out, Self::Checkpoint, Self::Manifest, Self::Devices];

    pub(in crate::tui) fn label(self) -> &'static str {
        match self {
            Self::Root => "dataset folder",
            Self::Out => "output folder",
            Self::Checkpoint => "checkpoint",
            Self::Manifest => "manifest",
            Self::Devices => "devices",
            Self::Layout => "layout",
        }
    }

    /// The label for a narrow terminal.
    pub(in crate::tui) fn short(self) -> &'static str {
        match self {
            Self::Root => "dataset",
            Self::Out => "output",
            Self::Checkpoint | Self::Manifest | Self::Devices | Self::Layout => self.label(),
        }
    }

    pub(in crate::tui) fn help(self) -> &'static str {
        match self {
            Self::Root => "Usually one folder per class. reeldeck only reads it.",
            Self::Out => "For features, lists, exports; outside the dataset folder.",
            Self::Checkpoint => "`published` | a .pth file | a URL | `seeded` (random)",
            Self::Manifest => "Optional: a list of the expected videos, JSON or text.",
            Self::Layout => "any (at any depth), classes, flat or split.",
            Self::Devices => "`cpu` | `cpu*2` | `cuda:0,cuda:1` | `all`: a worker each",
        }
    }

    /// The section and the key in the configuration file; an empty section for its top.
    pub(super) fn setting(self) -> (&'static str, &'static str) {
        match self {
            Self::Root => ("", "root"),
            Self::Out => ("", "out"),
            Self::Checkpoint => ("", "checkpoint"),
            Self::Manifest => ("manifest", "path"),
            Self::Devices => ("", "devices"),
            Self::Layout => ("scan", "layout"),
        }
    }

    /// Whether completion offers a file of this name.
    pub(super) fn takes_file(self, name: &str) -> bool {
        match self {
            Self::Root | Self::Out | Self::Devices | Self::Layout => false,
            Self::Checkpoint => [".pth", ".pt"].iter().any(|end| name.ends_with(end)),
            Self::Manifest => [".json", ".txt", ".csv", ".lst", ".list"].iter().any(|end| name.ends_with(end)),
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}
