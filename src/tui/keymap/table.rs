//! The default bindings and the contexts in which they work.

use crate::tui::action::Action;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Context {
    /// Everywhere except in the form.
    Everywhere,
    /// In every pane that has lines.
    Lists,
    Videos,
    Classes,
    Devices,
    Throughput,
    Log,
    Details,
    /// The form of the first start and of the settings.
    Form,
}

impl Context {
    /// In the order in which help shows them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Everywhere,
        Self::Lists,
        Self::Videos,
        Self::Classes,
        Self::Devices,
        Self::Throughput,
        Self::Log,
        Self::Details,
        Self::Form,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Everywhere => "Everywhere",
            Self::Lists => "Navigation",
            Self::Videos => "Videos",
            Self::Classes => "Classes",
            Self::Devices => "Devices",
            Self::Throughput => "Throughput",
            Self::Log => "Log",
            Self::Details => "Details of a video",
            Self::Form => "First start and settings",
        }
    }

    /// The contexts whose bindings work in this one, the most specific first.
    pub(crate) fn chain(self) -> &'static [Self] {
        match self {
            Self::Everywhere => &[Self::Everywhere],
            Self::Lists => &[Self::Lists, Self::Everywhere],
            Self::Videos => &[Self::Videos, Self::Lists, Self::Everywhere],
            Self::Classes => &[Self::Classes, Self::Lists, Self::Everywhere],
            Self::Devices => &[Self::Devices, Self::Lists, Self::Everywhere],
            Self::Throughput => &[Self::Throughput, Self::Everywhere],
            Self::Log => &[Self::Log, Self::Lists, Self::Everywhere],
            Self::Details => &[Self::Details, Self::Lists, Self::Everywhere],
            Self::Form => &[Self::Form],
        }
    }

    /// Whether it covers the panes.
    pub(crate) fn is_overlay(self) -> bool {
        matches!(self, Self::Details | Self::Form)
    }

    /// Whether a binding works in this context.
    pub(crate) fn offers(self, line: &Binding) -> bool {
        // An overlay hides the panes, so actions that switch panes are off.
        self.chain().contains(&line.context) && !(self.is_overlay() && line.action.is_about_panes())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    pub context: Context,
    /// The default keys.
    pub keys: &'static [&'static str],
    pub action: Action,
    /// One or two words for the footer.
    pub short: &'static str,
    /// A sentence for help and palette.
    pub long: &'static str,
    /// The rank in the footer, starting at 1; 0 leaves it out.
    pub footer: u8,
}

const fn binding(
    context: Context,
    keys: &'static [&'static str],
    action: Action,
    short: &'static str,
    long: &'static str,
    footer: u8,
) -> Binding {
    Binding { context, keys, action, short, long, footer }
}

use Action as A;
use Context::{Classes, Details, Devices, Everywhere, Form, Lists, Log, Videos};

#[rustfmt::skip]
pub(crate) const TABLE: &[Binding] = &[
    binding(Everywhere, &["s"], A::StartPause, "start run", "start a run over all queued videos; pause or resume it", 10),
    binding(Everywhere, &["S"], A::Stop, "stop", "stop the run, after the videos in progress or at once", 70),
    binding(Everywhere, &["R"], A::RetryAll, "retry failed", "retry all failed videos", 26),
    binding(Everywhere, &["l"], A::WriteList, "write list", "write the list of videos, hacs_data.txt", 60),
    binding(Everywhere, &["e"], A::Export, "export", "export the features, in any format", 62),
    binding(Everywhere, &["m"], A::WriteMissing, "list missing", "write the lists of missing videos", 64),
    binding(Everywhere, &["f5", "ctrl-r"], A::Rescan, "rescan", "scan the dataset folder again", 66),
    binding(Everywhere, &["c"], A::Check, "check", "check the videos that were not checked yet", 0),
    binding(Everywhere, &["C"], A::CheckDeep, "deep check", "check all videos again, decoding some frames of each", 0),
    binding(Everywhere, &["u"], A::Undo, "undo", "undo the last exclusion", 68),
    binding(Everywhere, &["T"], A::Theme, "theme", "choose the colour theme, with a preview", 0),
    binding(Everywhere, &[","], A::Settings, "settings", "change weights, devices, folders and the manifest", 78),
    binding(Everywhere, &["tab"], A::NextPane, "next pane", "focus the next pane", 0),
    binding(Everywhere, &["backtab"], A::PreviousPane, "previous pane", "focus the previous pane", 0),
    binding(Everywhere, &["1"], A::PaneClasses, "classes", "focus the classes", 0),
    binding(Everywhere, &["2"], A::PaneVideos, "videos", "focus the videos", 0),
    binding(Everywhere, &["3"], A::PaneDevices, "devices", "focus the devices", 0),
    binding(Everywhere, &["4"], A::PaneThroughput, "throughput", "go to the throughput", 0),
    binding(Everywhere, &["5"], A::PaneLog, "log", "focus the log", 0),
    binding(Everywhere, &["z"], A::Zoom, "zoom", "zoom: show this pane alone, or all panes again", 0),
    binding(Everywhere, &["esc"], A::Back, "back", "go back: end a range, clear filters, marks or the zoom", 0),
    binding(Everywhere, &[":", "ctrl-p"], A::Palette, "command", "command palette", 24),
    binding(Everywhere, &["?", "f1"], A::Help, "help", "show all keys", 3),
    binding(Everywhere, &["q", "ctrl-c"], A::Quit, "quit", "quit: leave a run in the background (detach) or stop it", 4),
    binding(Everywhere, &["ctrl-z"], A::Suspend, "suspend", "suspend the interface; `fg` resumes it", 0),
    binding(Everywhere, &["ctrl-l"], A::Redraw, "redraw", "redraw the screen", 0),

    binding(Lists, &["k", "up"], A::Up, "up", "up one line", 0),
    binding(Lists, &["j", "down"], A::Down, "down", "down one line", 0),
    binding(Lists, &["ctrl-u"], A::HalfUp, "half a page up", "up half a page", 0),
    binding(Lists, &["ctrl-d"], A::HalfDown, "half a page down", "down half a page", 0),
    binding(Lists, &["pgup", "ctrl-b"], A::PageUp, "page up", "up a page", 0),
    binding(Lists, &["pgdn", "ctrl-f"], A::PageDown, "page down", "down a page", 0),
    binding(Lists, &["g g", "home"], A::Top, "first", "to the first line", 0),
    binding(Lists, &["G", "end"], A::Bottom, "last", "to the last line", 0),

    binding(Videos, &["enter"], A::Open, "details", "show the details of this video", 22),
    binding(Videos, &["r"], A::Retry, "retry", "extract again: the marked videos, or this one", 20),
    binding(Videos, &["space"], A::Mark, "mark", "mark or unmark this video and move to the next", 30),
    binding(Videos, &["v"], A::Range, "range", "start a range of marks here, or end it", 52),
    binding(Videos, &["a"], A::MarkAll, "mark all", "mark all videos that the filter shows", 54),
    binding(Videos, &["i"], A::Invert, "invert", "invert the marks", 0),
    binding(Videos, &["A"], A::Unmark, "unmark", "remove all marks", 56),
    binding(Videos, &["/"], A::Filter, "filter", "show only matches in name, state or reason", 28),
    binding(Videos, &["f"], A::States, "states", "filter by state, such as failed or duplicate", 42),
    binding(Videos, &["F"], A::Problems, "problems", "show only videos with a problem, or all again", 40),
    binding(Videos, &["o"], A::Sort, "sort", "choose the column to sort by", 44),
    binding(Videos, &["O"], A::Reverse, "reverse", "reverse the order", 0),
    binding(Videos, &["<"], A::SortLeft, "sort left", "sort by the column to the left", 0),
    binding(Videos, &[">"], A::SortRight, "sort right", "sort by the column to the right", 0),
    binding(Videos, &["x"], A::Exclude, "exclude", "exclude or include the marked videos, or this one", 23),
    binding(Videos, &["y"], A::CopyName, "copy name", "copy the name of this video, over SSH too", 58),
    binding(Videos, &["Y"], A::CopyPath, "copy path", "copy the path of this video's file", 0),
    binding(Videos, &["w"], A::CopyReason, "copy reason", "copy the reason or error", 0),

    binding(Classes, &["enter", "space"], A::Open, "show class", "show the videos of this class", 22),
    binding(Classes, &["/"], A::Filter, "filter", "show only classes with a text in their name", 28),
    binding(Classes, &["o"], A::Sort, "sort", "sort by name, progress or problems", 44),

    binding(Devices, &["enter"], A::Open, "details", "show the details of this device's video", 22),

    binding(Log, &["enter"], A::Open, "show line", "show the whole line", 20),
    binding(Log, &["f"], A::States, "level", "show all lines, all but details, or only problems", 42),
    binding(Log, &["/"], A::Filter, "filter", "show only lines with a text", 28),
    binding(Log, &["y"], A::CopyLine, "copy line", "copy this line", 32),
    binding(Log, &["Y"], A::CopyLog, "copy all", "copy all lines that the filter shows", 34),
    binding(Log, &["o"], A::ShowLog, "open", "open the whole log in $PAGER or $EDITOR", 22),

    binding(Details, &["esc", "q", "enter"], A::Close, "back", "back to the table", 1),
    binding(Details, &["r"], A::Retry, "extract again", "extract this video again", 10),
    binding(Details, &["o"], A::Still, "picture", "show or hide a picture of this video", 20),
    binding(Details, &["x"], A::Exclude, "exclude", "exclude or include this video", 30),
    binding(Details, &["p", "h", "left"], A::PreviousVideo, "prev", "show the video before this one", 40),
    binding(Details, &["n", "l", "right"], A::NextVideo, "next", "show the video after this one", 41),
    binding(Details, &["y"], A::CopyName, "copy name", "copy the name of this video, over SSH too", 60),
    binding(Details, &["Y"], A::CopyPath, "copy path", "copy the path of this video's file, or of its feature", 50),
    binding(Details, &["w"], A::CopyReason, "copy why", "copy the reason and all attempts with their errors", 45),
    binding(Details, &["W"], A::CopyDetails, "copy all", "copy all details as text", 0),
    binding(Details, &["space"], A::PageDown, "page down", "down a page", 0),

    binding(Form, &["enter"], A::Confirm, "next", "next line; on the last one, save config.toml", 10),
    binding(Form, &["down", "ctrl-n"], A::NextLine, "down", "next line", 0),
    binding(Form, &["up", "backtab", "ctrl-p"], A::PreviousLine, "back", "previous line", 30),
    binding(Form, &["tab"], A::Complete, "complete", "complete the path", 20),
    binding(Form, &["ctrl-s"], A::WriteConfig, "save", "save config.toml and continue", 24),
    binding(Form, &["esc", "ctrl-c"], A::Leave, "leave", "leave without saving; asks once if something was typed", 22),
    binding(Form, &["f1"], A::Help, "help", "show all keys of the form", 28),
    binding(Form, &["ctrl-z"], A::Suspend, "suspend", "suspend the interface; `fg` resumes it", 0),
];
