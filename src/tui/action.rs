//! The actions that keys are bound to. The configuration refers to them by name.

macro_rules! actions {
    ($($action:ident = $name:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum Action {
            $($action,)+
        }

        impl Action {
    /// Other words for it, by which the palette and the search of the help find it.
    pub(super) fn other_names(self) -> &'static [&'static str] {
        match self {
            Self::StartPause => &["begin", "extract", "run"],
            Self::Export => &["pkl", "result", "save"],
            Self::Quit => &["detach", "leave", "background", "exit"],
            _ => &[],
        }
    }

            pub(crate) const ALL: &[Self] = &[$(Self::$action),+];

            /// The name in the configuration.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)+
                }
            }
        }
    };
}

actions! {
    Quit = "quit",
    Help = "help",
    Palette = "palette",
    Back = "back",
    Suspend = "suspend",
    Redraw = "redraw",
    NextPane = "next-pane",
    PreviousPane = "previous-pane",
    PaneClasses = "pane-classes",
    PaneVideos = "pane-videos",
    PaneDevices = "pane-devices",
    PaneThroughput = "pane-throughput",
    PaneLog = "pane-log",
    Zoom = "zoom",
    StartPause = "start-pause",
    Stop = "stop",
    RetryAll = "retry-all",
    WriteList = "write-list",
    Export = "export",
    WriteMissing = "write-missing",
    Rescan = "rescan",
    Check = "check",
    CheckDeep = "check-deep",
    Undo = "undo",
    Theme = "theme",
    Settings = "settings",
    Up = "up",
    Down = "down",
    HalfUp = "half-page-up",
    HalfDown = "half-page-down",
    PageUp = "page-up",
    PageDown = "page-down",
    Top = "top",
    Bottom = "bottom",
    Open = "open",
    Mark = "mark",
    Range = "range",
    MarkAll = "mark-all",
    Invert = "invert-marks",
    Unmark = "unmark-all",
    Filter = "filter",
    States = "states",
    Problems = "problems",
    Sort = "sort",
    Reverse = "reverse",
    SortLeft = "sort-left",
    SortRight = "sort-right",
    Retry = "retry",
    Exclude = "exclude",
    CopyName = "copy-name",
    CopyPath = "copy-path",
    CopyReason = "copy-reason",
    CopyDetails = "copy-details",
    CopyLine = "copy-line",
    CopyLog = "copy-log",
    ShowLog = "show-log",
    Close = "close",
    Still = "still",
    PreviousVideo = "previous-video",
    NextVideo = "next-video",
    Confirm = "confirm",
    NextLine = "next-line",
    PreviousLine = "previous-line",
    Complete = "complete",
    WriteConfig = "write-config",
    Leave = "leave",
}

impl Action {
    /// Whether it moves between panes.
    pub(super) fn is_about_panes(self) -> bool {
        matches!(
            self,
            Self::NextPane
                | Self::PreviousPane
                | Self::PaneClasses
                | Self::PaneVideos
                | Self::PaneDevices
                | Self::PaneThroughput
                | Self::PaneLog
                | Self::Zoom
                | Self::Back
        )
    }
}
