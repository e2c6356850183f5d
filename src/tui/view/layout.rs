//! The layout of the screen for every size. The view, the mouse and the lists use it.

use ratatui::layout::{Rect, Size};

use super::{tabs, toast_lines};
use crate::tui::app::App;
use crate::tui::pane::Pane;

/// From this size on all panes are visible at once.
const ALL_WIDTH: u16 = 100;
const ALL_HEIGHT: u16 = 28;

/// From this width on a preview is beside the table. If the table is shown alone, less will do.
const PREVIEW_WIDTH: u16 = 160;
const PREVIEW_WIDTH_ALONE: u16 = 120;

/// Toasts leave a pane at least so many lines, with its frame.
const MIN_PANE: u16 = 4;

/// The smallest usable size.
pub(crate) const MIN_SIZE: Size = Size { width: 34, height: 8 };

/// The areas of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The terminal is smaller than [`MIN_SIZE`].
    pub too_small: bool,
    pub header: Rect,
    pub classes: Option<Rect>,
    pub videos: Option<Rect>,
    /// Details of the video under the cursor.
    pub preview: Option<Rect>,
    pub devices: Option<Rect>,
    pub throughput: Option<Rect>,
    pub log: Option<Rect>,
    /// The devices in one line each, while their pane is hidden.
    pub strip: Option<Rect>,
    /// Where toasts are: below a pane that is shorter, or on its lower border.
    pub toasts: Option<Rect>,
    pub footer: Rect,
}

impl Layout {
    /// The area of a pane, if it is visible.
    pub(crate) fn pane(&self, pane: Pane) -> Option<Rect> {
        match pane {
            Pane::Classes => self.classes,
            Pane::Videos => self.videos,
            Pane::Devices => self.devices,
            Pane::Throughput => self.throughput,
            Pane::Log => self.log,
        }
    }

    /// The area of the focused pane, if it is the only one.
    pub(crate) fn alone(&self, focus: Pane) -> Option<Rect> {
        let visible = Pane::ALL.into_iter().filter(|pane| self.pane(*pane).is_some()).count();
        self.pane(focus).filter(|area| visible == 1 && area.height > 3)
    }

    fn place(&mut self, pane: Pane, area: Rect) {
        let place = match pane {
            Pane::Classes => &mut self.classes,
            Pane::Videos => &mut self.videos,
            Pane::Devices => &mut self.devices,
            Pane::Throughput => &mut self.throughput,
            Pane::Log => &mut self.log,
        };
        *place = Some(area);
    }
}

pub(crate) fn current(app: &App) -> Layout {
    of(app, app.size)
}

/// The layout for a size other than that of the state.
pub(crate) fn of(app: &App, size: Size) -> Layout {
    let lines = match shows_all(size, app.zoom) {
        true => app.device_lines().len(),
        false => app.strip_lines().len(),
    };
    let lines = if app.snapshot().is_none() { lines.max(1) } else { lines };
    let mut layout = compute(size, app.focus, app.zoom, lines);
    let pane = if layout.videos.is_some() { Pane::Videos } else { app.focus };
    if let Some(area) = layout.pane(pane) {
        let lines = toast_lines::arranged(app, area.width);
        // A short message stands beside the names of the other panes.
        let is_beside = match lines.as_slice() {
            [only] => tabs::width(area) + toast_lines::width(only) <= area.width,
            _ => false,
        };
        make_room(&mut layout, pane, area, lines.len() as u16, !shows_all(size, app.zoom) && !is_beside);
    }
    layout
}

/// Gives toasts rows of a pane. The first one is its lower border, unless that must stay visible (`keeps_border`) and there is room.
fn make_room(layout: &mut Layout, pane: Pane, area: Rect, lines: u16, keeps_border: bool) {
    let most = area.height.saturating_sub(MIN_PANE);
    let border = u16::from(!keeps_border || most < lines);
    let rows = lines.saturating_sub(border).min(most);
    if lines > 0 {
        layout.place(pane, Rect { height: area.height - rows, ..area });
        layout.toasts = Some(Rect { y: area.bottom() - rows - border, height: rows + border, ..area });
    }
}

fn shows_all(size: Size, zoom: bool) -> bool {
    size.width >= ALL_WIDTH && size.height >= ALL_HEIGHT && !zoom
}

pub(crate) fn compute(size: Size, focus: Pane, zoom: bool, devices: usize) -> Layout {
    let Size { width, height } = size;
    if width < MIN_SIZE.width || height < MIN_SIZE.height {
        return Layout { too_small: true, ..Layout::default() };
    }
    let head = if height < 14 { 1 } else { 2 };
    let mut layout = Layout {
        header: Rect::new(0, 0, width, head),
        footer: Rect::new(0, height - 1, width, 1),
        ..Layout::default()
    };
    let body = Rect::new(0, head, width, height - head - 1);
    match shows_all(size, zoom) {
        true => all(&mut layout, body, devices),
        false => one(&mut layout, body, focus, zoom, devices),
    }
    layout
}

fn all(layout: &mut Layout, body: Rect, devices: usize) {
    let log = match body.height {
        0..32 => 5,
        32..45 => 7,
        _ => 10,
    };
    let most = body.height / 4;
    let row = u16::try_from(devices).unwrap_or(u16::MAX).clamp(4, most.max(4)) + 2;
    let top = body.height - log - row;
    let left = (body.width / 4).clamp(26, 44);
    let right = (body.width / 3).clamp(34, 70);
    let at = |x, y, width, height| Rect::new(body.x + x, body.y + y, width, height);
    layout.classes = Some(at(0, 0, left, top));
    layout.videos = Some(at(left, 0, body.width - left, top));
    if body.width >= PREVIEW_WIDTH {
        divide(layout, body.width / 4);
    }
    layout.devices = Some(at(0, top, body.width - right, row));
    layout.throughput = Some(at(body.width - right, top, right, row));
    layout.log = Some(at(0, top + row, body.width, log));
}

/// Gives some columns of the table to the preview.
fn divide(layout: &mut Layout, width: u16) {
    if let Some(videos) = &mut layout.videos {
        videos.width -= width;
        layout.preview = Some(Rect { x: videos.right(), width, ..*videos });
    }
}

fn one(layout: &mut Layout, body: Rect, focus: Pane, zoom: bool, devices: usize) {
    let most = match body.height {
        0..10 => 0,
        10..16 => 1,
        16..24 => 4,
        _ => 8,
    };
    let rows = if zoom || focus == Pane::Devices { 0 } else { devices.min(most) };
    let strip = u16::try_from(rows).unwrap_or(0);
    layout.place(focus, Rect { height: body.height - strip, ..body });
    if focus == Pane::Videos && body.width >= PREVIEW_WIDTH_ALONE {
        divide(layout, body.width * 2 / 5);
    }
    if strip > 0 {
        layout.strip = Some(Rect::new(body.x, body.bottom() - strip, body.width, strip));
    }
}

/// A centred popup, cropped to the screen.
pub(crate) fn popup(size: Size, width: u16, height: u16) -> Rect {
    let width = width.min(size.width);
    let height = height.min(size.height);
    Rect::new((size.width - width) / 2, (size.height - height) / 2, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_cover_the_screen_without_overlap() {
        for width in 0..210 {
            for height in 0..70 {
                for (focus, zoom, devices) in [
                    (Pane::Videos, false, 0),
                    (Pane::Log, true, 1),
                    (Pane::Devices, false, 8),
                    (Pane::Classes, false, 16),
                ] {
                    let layout = compute(Size { width, height }, focus, zoom, devices);
                    let screen = Rect::new(0, 0, width, height);
                    let panes = Pane::ALL.into_iter().filter_map(|pane| layout.pane(pane));
                    let all: Vec<Rect> =
                        panes.chain([layout.header, layout.footer]).chain(layout.strip).chain(layout.preview).collect();
                    if layout.too_small {
                        continue;
                    }
                    assert!(layout.pane(focus).is_some(), "{width}x{height}: the pane with the keys is there");
                    assert_eq!(all.iter().map(|area| area.area()).sum::<u32>(), screen.area(), "{width}x{height}");
                    for (place, area) in all.iter().enumerate() {
                        assert_eq!(area.intersection(screen), *area, "{width}x{height}");
                        for other in all.iter().skip(place + 1) {
                            assert!(!area.intersects(*other), "{width}x{height}: {area} {other}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn small_terminals_show_one_pane_and_large_ones_all() {
        let common = compute(Size { width: 80, height: 24 }, Pane::Videos, false, 2);
        assert!(common.videos.is_some() && common.log.is_none());
        assert_eq!(common.strip.map(|area| area.height), Some(2));
        let large = compute(Size { width: 120, height: 40 }, Pane::Videos, false, 2);
        assert!(Pane::ALL.into_iter().all(|pane| large.pane(pane).is_some()) && large.strip.is_none());
        assert_eq!(large.preview, None);
        let wide = compute(Size { width: 200, height: 50 }, Pane::Videos, false, 2);
        assert!(wide.preview.is_some_and(|area| area.width == 50) && wide.videos.is_some_and(|area| area.width >= 100));
        assert!(compute(Size { width: 120, height: 40 }, Pane::Videos, true, 2).preview.is_some());
        assert!(compute(Size { width: 30, height: 40 }, Pane::Videos, false, 2).too_small);
    }
}
