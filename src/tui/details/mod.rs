//! The details of a video: facts, feature, failed attempts, next step, and timelines. The view owns its scroll position
//! and its still. [`DetailsView::act`] tells the caller what to do.

use std::cell::Cell;
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Widget};

use super::action::Action;
use super::keymap::Keymap;
use super::picture::{self, Depth, Rgb};
use super::text;
use super::theme::{Role, Theme};
use crate::protocol::details::Details;
use crate::protocol::row::RowState;
use crate::protocol::snapshot::Phase;
use page::Page;

mod attempts;
mod facts;
mod keys;
mod page;
mod timelines;

pub(super) use keys::{is_details_action, no_retry, retry_word, unavailable_reason};

/// The size limit of a still in pixels: enough for half of the widest terminal.
pub(super) const STILL: [usize; 2] = [480, 270];

/// The width of copied text, in which only long lines are wrapped.
const TEXT_WIDTH: usize = 200;

/// From this width on the still is drawn beside the facts, below it among them.
const MIN_WIDTH_BESIDE: u16 = 110;

/// What the caller must do after an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ignored,
    /// Redraw.
    Moved,
    Close,
    /// Show the previous video of the table.
    Previous,
    /// Show the next video of the table.
    Next,
    Retry,
    Exclude {
        /// Include it again.
        undo: bool,
    },
    Copy(String),
    /// Copy a text that is too long to be shown; `what` names it.
    CopyNamed {
        what: &'static str,
        text: String,
    },
    /// Fetch a still of this file within [`STILL`] and pass it to [`DetailsView::set_still`].
    Still(PathBuf),
    /// The action is unavailable, for this reason.
    Refused(&'static str),
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Still {
    #[default]
    None,
    Loading,
    Loaded(Rgb),
    Failed(String),
}

#[derive(Clone, Debug)]
pub(super) struct DetailsView {
    details: Box<Details>,
    zone: TimeZone,
    depth: Depth,
    in_pixels: bool,
    still: Still,
    scroll: usize,
    /// The number of lines, and how many of them fit, as of the last draw.
    visible: Cell<(usize, usize)>,
    /// The area for a picture in pixels, as of the last draw.
    picture_at: Cell<Option<Rect>>,
}

impl DetailsView {
    pub(super) fn new(details: Box<Details>, zone: TimeZone, depth: Depth) -> Self {
        Self {
            details,
            zone,
            depth,
            in_pixels: false,
            still: Still::None,
            scroll: 0,
            visible: Cell::new((0, 0)),
            picture_at: Cell::new(None),
        }
    }

    /// Leaves the area of the still blank, for [`DetailsView::pixels`].
    pub(super) fn with_pixels(mut self, in_pixels: bool) -> Self {
        self.in_pixels = in_pixels;
        self
    }

    /// `Class/file`.
    pub(super) fn video(&self) -> &str {
        &self.details.row.video
    }

    pub(super) fn details(&self) -> &Details {
        &self.details
    }

    /// Shows newer details of the same video, or another video. For the same video, scroll position and still stay.
    pub(super) fn set(&mut self, details: Box<Details>) {
        if details.row.video != self.details.row.video {
            self.scroll = 0;
            self.still = Still::None;
        }
        self.details = details;
    }

    /// Ignores the still of another video.
    pub(super) fn set_still(&mut self, video: &str, still: Result<Rgb, String>) {
        if video == self.details.row.video {
            self.still = match still {
                Ok(picture) => Still::Loaded(picture),
                Err(error) => Still::Failed(error),
            };
        }
    }

    /// The file to fetch a still of, which counts as being fetched. `None` if it is not on disk.
    pub(super) fn load_still(&mut self) -> Option<PathBuf> {
        let path = self.details.path.clone().filter(|_| self.details.row.state.is_video())?;
        self.still = Still::Loading;
        Some(path)
    }

    /// Draws still, facts, attempts and timelines, as much as fits, without frame and keys.
    pub(super) fn draw_preview(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let mut page = Page::new(*theme, usize::from(area.width));
        page.text("", self.video(), Role::Title);
        if self.still != Still::None {
            self.write_still(&mut page, usize::from(area.height) * 2 / 5);
        }
        facts::write(&mut page, &self.details, &self.zone);
        self.write_history(&mut page);
        for (y, line) in (area.y..area.bottom()).zip(&page.lines) {
            buffer.set_line(area.x, y, line, area.width);
        }
    }

    /// The still to draw in pixels and its area, as of the last draw.
    pub(super) fn pixels(&self) -> Option<(Rect, &Rgb)> {
        match &self.still {
            Still::Loaded(picture) => Some((self.picture_at.get()?, picture)),
            _ => None,
        }
    }

    /// Runs an action for which [`is_details_action`] is true.
    pub(super) fn act(&mut self, action: Action) -> Outcome {
        // Whether a run is active, the caller has checked.
        if let Some(why) = unavailable_reason(action, &self.details, false) {
            return Outcome::Refused(why);
        }
        let (lines, height) = self.visible.get();
        let last = lines.saturating_sub(height);
        let page = height.saturating_sub(1).max(1);
        let to = match action {
            Action::Close => return Outcome::Close,
            Action::PreviousVideo => return Outcome::Previous,
            Action::NextVideo => return Outcome::Next,
            Action::Retry => return Outcome::Retry,
            Action::Exclude => return Outcome::Exclude { undo: keys::is_excluded(&self.details) },
            Action::CopyName => return Outcome::Copy(self.video().to_owned()),
            Action::CopyPath => {
                return self.path().map_or(Outcome::Ignored, |path| Outcome::Copy(path.display().to_string()));
            }
            Action::CopyReason => return Outcome::CopyNamed { what: "the error", text: self.error_text() },
            Action::CopyDetails => return Outcome::CopyNamed { what: "the details", text: self.text() },
            Action::Still if matches!(self.still, Still::Loaded(_) | Still::Failed(_)) => {
                self.still = Still::None;
                return Outcome::Moved;
            }
            Action::Still if self.still == Still::Loading => return Outcome::Moved,
            Action::Still => return self.load_still().map_or(Outcome::Ignored, Outcome::Still),
            Action::Down => self.scroll + 1,
            Action::Up => self.scroll.saturating_sub(1),
            Action::PageDown => self.scroll + page,
            Action::PageUp => self.scroll.saturating_sub(page),
            Action::HalfDown => self.scroll + page.div_ceil(2),
            Action::HalfUp => self.scroll.saturating_sub(page.div_ceil(2)),
            Action::Top => 0,
            Action::Bottom => last,
            _ => return Outcome::Ignored,
        };
        self.scroll = to.min(last);
        Outcome::Moved
    }

    /// The reason and all attempts with their errors.
    fn error_text(&self) -> String {
        let reason = self.details.row.reason.iter().map(|reason| format!("{}: {reason}\n", self.video()));
        let mut page = Page::new(Theme::default(), TEXT_WIDTH);
        attempts::write(&mut page, &self.details.attempts, self.details.row.attempts == 0, &self.zone);
        reason.collect::<String>() + &page.text_only()
    }

    /// The whole page without its colours.
    fn text(&self) -> String {
        let area = Rect { width: TEXT_WIDTH as u16, height: 1, ..Rect::ZERO };
        format!("{}\n{}", self.video(), self.page(&Theme::default(), area, false).text_only())
    }

    /// The path to copy: the file's, or the feature's if the file is missing.
    fn path(&self) -> Option<PathBuf> {
        self.details.path.clone().or_else(|| self.details.feature.as_ref().map(|feature| feature.path.clone()))
    }

    /// `phase`: that of the run, if the engine is connected. `progress`: that of the video, if it is in progress.
    pub(super) fn draw(
        &self,
        theme: &Theme,
        keymap: &Keymap,
        (phase, progress): (Option<Phase>, Option<String>),
        area: Rect,
        buffer: &mut Buffer,
    ) {
        let is_active = !matches!(phase, None | Some(Phase::Starting | Phase::Waiting | Phase::Idle));
        self.picture_at.set(None);
        let area = area.intersection(buffer.area);
        Clear.render(area, buffer);
        buffer.set_style(area, theme.style(Role::Base));
        if area.width < 3 || area.height < 3 {
            let name = text::sanitized(self.video());
            return Line::raw(text::truncate(&name, area.width.into(), theme.ellipsis())).render(area, buffer);
        }
        let mut inner = area.inner(ratatui::layout::Margin::new(1, 1));
        if inner.width > 40 {
            (inner.x, inner.width) = (inner.x + 1, inner.width - 2);
        }
        let shown = self.still != Still::None;
        let beside = shown && inner.width >= MIN_WIDTH_BESIDE;
        if beside {
            let wide = inner.width * 2 / 5;
            self.draw_still(theme, Rect { x: inner.right() - wide, width: wide, ..inner }, buffer);
            inner.width -= wide + 2;
        }
        let page = self.page(theme, inner, shown && !beside);
        let (lines, height) = (page.lines.len(), usize::from(inner.height));
        self.visible.set((lines, height));
        let from = self.scroll.min(lines.saturating_sub(height));
        for (y, line) in (inner.y..inner.bottom()).zip(page.lines.iter().skip(from)) {
            buffer.set_line(inner.x, y, line, inner.width);
        }
        if let Some((top, rows)) = page.picture {
            self.place_picture(inner, top, rows, from, page.indent());
        }
        let (room, has_picture) = (usize::from(area.width) - 2, matches!(self.still, Still::Loaded(_)));
        let hints = keys::hints(theme, keymap, &self.details, is_active, has_picture, room);
        let shown = match (self.details.row.state, phase) {
            (RowState::Running, Some(Phase::Paused)) => theme.paused(),
            (state, _) => theme.state(state),
        };
        let progress = progress.map(|progress| format!(", {}", text::sanitized(&progress))).unwrap_or_default();
        let state = Span::styled(format!("{} {}{progress}", shown.glyph, shown.word), shown.style);
        let place = keys::place(keymap, from, height, lines);
        self.frame(theme, state, &hints, area, &place, buffer);
    }

    /// Draws the border with title, keys and scroll position.
    fn frame(
        &self,
        theme: &Theme,
        state: Span<'static>,
        hints: &Line<'_>,
        area: Rect,
        place: &str,
        buffer: &mut Buffer,
    ) {
        let block =
            Block::new().borders(Borders::ALL).border_set(theme.border()).border_style(theme.style(Role::Focus));
        block.render(area, buffer);
        let room = usize::from(area.width) - 2;
        let mut used = 0;
        if !place.is_empty() && room > 40 {
            used = text::width(place) + 2;
            let x = area.right() - used as u16;
            buffer.set_string(x, area.y, place, theme.style(Role::Dim));
        }
        let name = text::sanitized(self.video());
        let left = room.saturating_sub(used + text::width(&state.content) + 6);
        let mut title = vec![];
        if left >= 8 {
            let (class, file) = name.rsplit_once('/').unwrap_or(("", &name));
            let both = text::width(class) + text::width(file) + 3;
            let named = if both <= left && !class.is_empty() {
                format!("{file}{}{class}", theme.separator())
            } else {
                file.into()
            };
            title.push(Span::raw(" "));
            title.push(Span::styled(
                text::truncate(&named, left, theme.ellipsis()).into_owned(),
                theme.style(Role::Title),
            ));
            title.push(Span::raw(" "));
        }
        title.push(Span::styled(format!(" {} ", state.content), state.style));
        buffer.set_line(area.x + 1, area.y, &Line::from(title), (room - used.min(room)) as u16);
        buffer.set_line(area.x + 1, area.bottom() - 1, hints, room as u16);
    }

    fn page(&self, theme: &Theme, area: Rect, with_still: bool) -> Page {
        let mut page = Page::new(*theme, usize::from(area.width));
        facts::write(&mut page, &self.details, &self.zone);
        if with_still {
            page.gap();
            self.write_still(&mut page, usize::from(area.height) * 2 / 3);
        }
        self.write_history(&mut page);
        page
    }

    fn write_history(&self, page: &mut Page) {
        attempts::write(page, &self.details.attempts, self.details.row.attempts == 0, &self.zone);
        timelines::write(page, &self.details);
    }

    fn write_still(&self, page: &mut Page, rows: usize) {
        match &self.still {
            Still::None => {}
            Still::Loading => page.text("picture", "being fetched", Role::Dim),
            Still::Failed(why) => page.text("picture", why, Role::Warn),
            Still::Loaded(picture) => {
                let lines = picture::lines(picture, page.room(), rows, self.depth);
                let from = page.lines.len();
                if self.in_pixels {
                    page.picture = Some((from, lines.len()));
                }
                for (at, line) in lines.into_iter().enumerate() {
                    page.line(if at == 0 { "picture" } else { "" }, if self.in_pixels { vec![] } else { line.spans });
                }
            }
        }
    }

    /// Draws the still beside the facts.
    fn draw_still(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let (words, role) = match &self.still {
            Still::None => return,
            Still::Loaded(picture) => {
                let lines = picture::lines(picture, usize::from(area.width), usize::from(area.height), self.depth);
                if self.in_pixels {
                    self.picture_at.set(Some(Rect { height: lines.len() as u16, ..area }));
                    return;
                }
                for (y, line) in (area.y..area.bottom()).zip(&lines) {
                    buffer.set_line(area.x, y, line, area.width);
                }
                return;
            }
            Still::Loading => (format!("fetching a picture {}", theme.ellipsis()), Role::Dim),
            Still::Failed(why) => (why.clone(), Role::Warn),
        };
        for (y, line) in (area.y..area.bottom()).zip(text::wrap(&text::sanitized(&words), usize::from(area.width))) {
            buffer.set_string(area.x, y, line, theme.style(role));
        }
    }

    /// Reserves the area for pixels if all of it is visible.
    fn place_picture(&self, inner: Rect, top: usize, rows: usize, from: usize, indent: usize) {
        let place = top.checked_sub(from).filter(|top| top + rows <= usize::from(inner.height));
        self.picture_at.set(place.map(|top| Rect {
            x: inner.x + indent as u16,
            y: inner.y + top as u16,
            width: inner.width - indent as u16,
            height: rows as u16,
        }));
    }
}

/// A time in `zone`, to the second.
fn format_time(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests;
