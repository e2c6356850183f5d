//! What keys can do, each by the name that the configuration uses.

macro_rules! actions {
    ($($(#[doc = $doc:literal])+ $action:ident = $name:literal,)+) => {
        /// What a key can do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Action {
            $($(#[doc = $doc])+ $action,)+
        }

        impl Action {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$action),+];

            /// Its name in the configuration.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)+
                }
            }
        }
    };
}

actions! {
    /// Leave, with a question while a run is going on.
    Quit = "quit",
    /// Show all keys.
    Help = "help",
    /// StateStyle for an action by its name.
    Palette = "palette",
    /// Back out one level.
    Back = "back",
    /// Give the terminal back for a while.
    Suspend = "suspend",
    /// Draw everything anew.
    Redraw = "redraw",
    /// To the next pane.
    NextPane = "next-pane",
    /// To the pane before.
    PreviousPane = "previous-pane",
    /// To the classes.
    PaneClasses = "pane-classes",
    /// To the videos.
    PaneVideos = "pane-videos",
    /// To the devices.
    PaneDevices = "pane-devices",
    /// To the throughput.
    PaneThroughput = "pane-throughput",
    /// To the log.
    PaneLog = "pane-log",
    /// The pane alone, or with the others.
    Zoom = "zoom",
    /// Start, pause or go on.
    StartPause = "start-pause",
    /// Stop the run.
    Stop = "stop",
    /// Try all failed videos again.
    RetryAll = "retry-all",
    /// Write `hacs_data.txt`.
    WriteList = "write-list",
    /// Write what trainers read.
    Export = "export",
    /// Write the lists of missing videos.
    WriteMissing = "write-missing",
    /// StateStyle through the dataset folder again.
    Rescan = "rescan",
    /// Check what was not checked yet.
    Check = "check",
    /// Check everything anew, decoding some frames.
    CheckDeep = "check-deep",
    /// Take the last exclusion back.
    Undo = "undo",
    /// Up one line.
    Up = "up",
    /// Down one line.
    Down = "down",
    /// Up half a page.
    HalfUp = "half-page-up",
    /// Down half a page.
    HalfDown = "half-page-down",
    /// Up a page.
    PageUp = "page-up",
    /// Down a page.
    PageDown = "page-down",
    /// To the first line.
    Top = "top",
    /// To the last line.
    Bottom = "bottom",
    /// Open what the cursor is on.
    Open = "open",
    /// Mark or unmark, and go on.
    Mark = "mark",
    /// Begin or end a range of marks.
    Range = "range",
    /// Mark all that is shown.
    MarkAll = "mark-all",
    /// Mark what is not marked, and the other way round.
    Invert = "invert-marks",
    /// Take all marks away.
    Unmark = "unmark-all",
    /// Show only what contains a text.
    Filter = "filter",
    /// Show only some states, or log lines of a level.
    States = "states",
    /// Show only what has a problem.
    Problems = "problems",
    /// Choose the order.
    Sort = "sort",
    /// Turn the order round.
    Reverse = "reverse",
    /// Sort by the column to the left.
    SortLeft = "sort-left",
    /// Sort by the column to the right.
    SortRight = "sort-right",
    /// Try the marked videos again, or this one.
    Retry = "retry",
    /// Leave the marked videos alone, or this one.
    Exclude = "exclude",
    /// Copy the video's name.
    Yank = "copy-name",
    /// Copy the file's path.
    YankPath = "copy-path",
    /// Back from the details.
    Close = "close",
    /// Show a picture of the video, or no longer.
    Still = "still",
    /// To the video before this one.
    PreviousVideo = "previous-video",
    /// To the video after this one.
    NextVideo = "next-video",
    /// What is on this line of the form will do.
    Confirm = "confirm",
    /// To the next line of the form.
    NextLine = "next-line",
    /// To the line before.
    PreviousLine = "previous-line",
    /// Complete what is being typed.
    Complete = "complete",
    /// Write the configuration.
    WriteConfig = "write-config",
    /// Leave the form.
    Leave = "leave",
}

impl Action {
    /// It moves about among the panes.
    pub fn is_about_panes(self) -> bool {
        use Action as A;
        matches!(
            self,
            A::NextPane
                | A::PreviousPane
                | A::PaneClasses
                | A::PaneVideos
                | A::PaneDevices
                | A::PaneThroughput
                | A::PaneLog
                | A::Zoom
                | A::Back
        )
    }
}
