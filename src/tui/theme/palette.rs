//! The true-colour themes. A test checks the contrast of every colour against its background.

use ratatui::style::{Color, Style};

use super::{Role, SERIES};

type Rgb = [u8; 3];

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Palette {
    /// The name in the configuration.
    pub name: &'static str,
    ground: Rgb,
    text: Rgb,
    dim: Rgb,
    line: Rgb,
    accent: Rgb,
    good: Rgb,
    warn: Rgb,
    error: Rgb,
    special: Rgb,
    /// The background of the row under the cursor.
    selection: Rgb,
    /// Further colours for series.
    more: [Rgb; 3],
    /// A heat map from the smallest to the largest value.
    heat: [Rgb; 4],
}

pub(super) const ALL: [Palette; 3] = [
    Palette {
        name: "night",
        ground: [22, 24, 30],
        text: [216, 219, 226],
        dim: [164, 171, 184],
        line: [92, 99, 114],
        accent: [104, 190, 230],
        good: [134, 204, 136],
        warn: [232, 196, 104],
        error: [245, 126, 130],
        special: [206, 160, 240],
        selection: [46, 54, 74],
        more: [[240, 160, 110], [130, 160, 250], [230, 150, 190]],
        heat: [[30, 34, 60], [60, 90, 160], [90, 190, 190], [246, 230, 130]],
    },
    Palette {
        name: "paper",
        ground: [250, 248, 243],
        text: [40, 42, 48],
        dim: [94, 98, 106],
        line: [140, 142, 148],
        accent: [0, 88, 150],
        good: [22, 104, 44],
        warn: [130, 76, 0],
        error: [176, 24, 36],
        special: [118, 48, 152],
        selection: [216, 227, 242],
        more: [[150, 60, 20], [50, 60, 170], [150, 30, 100]],
        heat: [[244, 240, 226], [170, 200, 190], [60, 130, 160], [40, 30, 90]],
    },
    Palette {
        name: "contrast",
        ground: [0, 0, 0],
        text: [255, 255, 255],
        dim: [196, 196, 196],
        line: [160, 160, 160],
        accent: [110, 215, 255],
        good: [110, 255, 140],
        warn: [255, 224, 70],
        error: [255, 140, 140],
        special: [255, 160, 255],
        selection: [0, 48, 96],
        more: [[255, 180, 110], [160, 185, 255], [255, 170, 210]],
        heat: [[0, 0, 40], [0, 90, 200], [0, 220, 160], [255, 255, 120]],
    },
];

impl Palette {
    pub(super) fn style(&self, role: Role) -> Style {
        let fg = |colour: Rgb| Style::new().fg(rgb(colour));
        match role {
            Role::Base => fg(self.text).bg(rgb(self.ground)),
            Role::Title => fg(self.text),
            Role::Dim | Role::KeyOff => fg(self.dim),
            Role::Border | Role::GaugeRest => fg(self.line),
            // The text keeps its own colour, so states stay visible under the cursor.
            Role::Selection => Style::new().bg(rgb(self.selection)),
            Role::Focus | Role::Key | Role::Gauge | Role::Chart | Role::Active => fg(self.accent),
            Role::Mark | Role::Match => fg(self.special),
            Role::Good => fg(self.good),
            Role::Warn => fg(self.warn),
            Role::Error => fg(self.error),
        }
    }

    pub(super) fn series(&self, index: usize) -> Color {
        let [a, b, c] = self.more;
        let series: [Rgb; SERIES] = [self.accent, self.good, self.warn, self.special, a, b, self.error, c];
        rgb(series.get(index).copied().unwrap_or(self.dim))
    }

    pub(super) fn heat(&self, value: u8) -> Color {
        let steps = self.heat.len() - 1;
        let place = usize::from(value) * steps;
        let (from, part) = ((place / 255).min(steps - 1), place - (place / 255).min(steps - 1) * 255);
        let (Some(a), Some(b)) = (self.heat.get(from), self.heat.get(from + 1)) else { return rgb(self.text) };
        let mix = |a: u8, b: u8| ((usize::from(a) * (255 - part) + usize::from(b) * part) / 255) as u8;
        rgb([mix(a[0], b[0]), mix(a[1], b[1]), mix(a[2], b[2])])
    }
}

fn rgb([r, g, b]: Rgb) -> Color {
    Color::Rgb(r, g, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance as WCAG 2 defines it.
    fn luminance(colour: Rgb) -> f64 {
        let [r, g, b] = colour.map(|c| {
            let c = f64::from(c) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_has_enough_contrast() {
        for p in &ALL {
            let [a, b, c] = p.more;
            for colour in [p.text, p.dim, p.accent, p.good, p.warn, p.error, p.special, a, b, c] {
                for ground in [p.ground, p.selection] {
                    let found = contrast(colour, ground);
                    assert!(found >= 4.5, "{}: {colour:?} on {ground:?}: {found:.1}", p.name);
                }
            }
            assert!(contrast(p.line, p.ground) >= 2.5, "{}", p.name);
        }
    }

    #[test]
    fn heat_map_brightness_is_monotonic() {
        for p in &ALL {
            let light: Vec<f64> = (0..=255)
                .map(|value| match p.heat(value) {
                    Color::Rgb(r, g, b) => luminance([r, g, b]),
                    other => panic!("{other:?}"),
                })
                .collect();
            let rises = p.heat.map(luminance).is_sorted();
            assert!(
                light.windows(2).all(|w| if rises { w[0] <= w[1] + 0.01 } else { w[1] <= w[0] + 0.01 }),
                "{}",
                p.name
            );
            assert!((light[0] - light[255]).abs() > 0.3);
        }
    }
}
