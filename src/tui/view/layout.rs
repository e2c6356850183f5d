//! Where things are on the screen, for every size. Asked by drawing, by the mouse, and by lists that want to know how much
//! of them is seen.

use ratatui::layout::{Rect, Size};

use crate::tui::app::App;
use crate::tui::pane::Pane;

/// From here on all panes are there at a time.
const ALL_WIDTH: u16 = 100;
const ALL_HEIGHT: u16 = 28;

/// With less than this nothing sensible can be shown.
pub const LEAST: Size = Size { width: 34, height: 8 };

/// Where things are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// There is not enough room.
    pub too_small: bool,
    /// Names, state, counts.
    pub header: Rect,
    /// The classes.
    pub classes: Option<Rect>,
    /// The videos.
    pub videos: Option<Rect>,
    /// The devices, in full.
    pub devices: Option<Rect>,
    /// The throughput.
    pub throughput: Option<Rect>,
    /// The log.
    pub log: Option<Rect>,
    /// The devices in a line each, where their pane is not there.
    pub strip: Option<Rect>,
    /// The keys.
    pub footer: Rect,
}

impl Plan {
    /// Where a pane is, if it is.
    pub fn pane(&self, pane: Pane) -> Option<Rect> {
        match pane {
            Pane::Classes => self.classes,
            Pane::Videos => self.videos,
            Pane::Devices => self.devices,
            Pane::Throughput => self.throughput,
            Pane::Log => self.log,
        }
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

/// Where things are now.
pub fn plan(app: &App) -> Plan {
    let devices = app.snapshot().map_or(1, |snapshot| snapshot.devices.len());
    of(app.size, app.focus, app.zoom, devices)
}

/// Where things are.
pub fn of(size: Size, focus: Pane, zoom: bool, devices: usize) -> Plan {
    let Size { width, height } = size;
    if width < LEAST.width || height < LEAST.height {
        return Plan { too_small: true, ..Plan::default() };
    }
    let head = if height < 14 { 1 } else { 2 };
    let mut plan =
        Plan { header: Rect::new(0, 0, width, head), footer: Rect::new(0, height - 1, width, 1), ..Plan::default() };
    let body = Rect::new(0, head, width, height - head - 1);
    match width >= ALL_WIDTH && height >= ALL_HEIGHT && !zoom {
        true => all(&mut plan, body, devices),
        false => one(&mut plan, body, focus, zoom, devices),
    }
    plan
}

fn all(plan: &mut Plan, body: Rect, devices: usize) {
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
    plan.classes = Some(at(0, 0, left, top));
    plan.videos = Some(at(left, 0, body.width - left, top));
    plan.devices = Some(at(0, top, body.width - right, row));
    plan.throughput = Some(at(body.width - right, top, right, row));
    plan.log = Some(at(0, top + row, body.width, log));
}

fn one(plan: &mut Plan, body: Rect, focus: Pane, zoom: bool, devices: usize) {
    let most = match body.height {
        0..10 => 0,
        10..16 => 1,
        16..24 => 4,
        _ => 8,
    };
    let wanted = if zoom || focus == Pane::Devices { 0 } else { devices.min(most) };
    let strip = u16::try_from(wanted).unwrap_or(0);
    plan.place(focus, Rect { height: body.height - strip, ..body });
    if strip > 0 {
        plan.strip = Some(Rect::new(body.x, body.bottom() - strip, body.width, strip));
    }
}

/// A popup of this size in the middle, or as much of it as there is room for.
pub fn popup(size: Size, width: u16, height: u16) -> Rect {
    let width = width.min(size.width);
    let height = height.min(size.height);
    Rect::new((size.width - width) / 2, (size.height - height) / 2, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overlaps_and_nothing_sticks_out() {
        for width in 0..210 {
            for height in 0..70 {
                for (focus, zoom, devices) in [
                    (Pane::Videos, false, 0),
                    (Pane::Log, true, 1),
                    (Pane::Devices, false, 8),
                    (Pane::Classes, false, 16),
                ] {
                    let plan = of(Size { width, height }, focus, zoom, devices);
                    let screen = Rect::new(0, 0, width, height);
                    let panes = Pane::ALL.into_iter().filter_map(|pane| plan.pane(pane));
                    let all: Vec<Rect> = panes.chain([plan.header, plan.footer]).chain(plan.strip).collect();
                    if plan.too_small {
                        continue;
                    }
                    assert!(plan.pane(focus).is_some(), "{width}x{height}: the pane with the keys is there");
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
    fn a_common_terminal_shows_one_pane_and_a_large_one_all() {
        let common = of(Size { width: 80, height: 24 }, Pane::Videos, false, 2);
        assert!(common.videos.is_some() && common.log.is_none());
        assert_eq!(common.strip.map(|area| area.height), Some(2));
        let large = of(Size { width: 120, height: 40 }, Pane::Videos, false, 2);
        assert!(Pane::ALL.into_iter().all(|pane| large.pane(pane).is_some()) && large.strip.is_none());
        assert!(of(Size { width: 30, height: 40 }, Pane::Videos, false, 2).too_small);
    }
}
