//! Pictures made of characters: two pixels per cell in colour, or shades without colours.

use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};

use super::gauge;
use super::theme::Theme;

pub(super) mod graphics;

/// An image with 8 bits per channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rgb {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

/// The number of colours that a cell can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    True,
    /// The 256 colours that nearly every terminal knows.
    Indexed,
    /// Shaded characters without colours.
    Shades,
    /// ASCII characters without colours.
    Ascii,
}

impl Depth {
    /// Many terminals that do not announce true colours know 256 only.
    pub(super) fn of(theme: &Theme, variable: impl Fn(&str) -> Option<String>) -> Self {
        let says = |name: &str, words: &[&str]| {
            variable(name).is_some_and(|value| words.iter().any(|word| value.to_ascii_lowercase().contains(word)))
        };
        match (theme.is_ascii(), theme.is_mono()) {
            (true, _) => Self::Ascii,
            (_, true) => Self::Shades,
            _ if says("COLORTERM", &["truecolor", "24bit"]) || says("TERM", &["direct", "kitty", "ghostty"]) => {
                Self::True
            }
            _ => Self::Indexed,
        }
    }
}

impl Rgb {
    /// An image of `width * height` pixels of 3 bytes each, row by row. `None` if the sizes do not match or are 0.
    pub(super) fn new(width: usize, height: usize, bytes: &[u8]) -> Option<Self> {
        let (pixels, rest) = bytes.as_chunks::<3>();
        let fits = width > 0 && height > 0 && rest.is_empty() && width.checked_mul(height) == Some(pixels.len());
        fits.then(|| Self { width, height, pixels: pixels.to_vec() })
    }

    /// Width and height.
    pub(super) fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    /// Row by row.
    pub(super) fn pixels(&self) -> &[[u8; 3]] {
        &self.pixels
    }

    /// The largest size of the same aspect ratio within `width` × `height`. It is at least 1 × 1 unless the box is
    /// empty.
    pub(super) fn fit(&self, width: usize, height: usize) -> [usize; 2] {
        if width == 0 || height == 0 {
            return [0, 0];
        }
        let scale = (width as f64 / self.width as f64).min(height as f64 / self.height as f64);
        let side = |own: usize, most: usize| ((own as f64 * scale).round() as usize).clamp(1, most);
        [side(self.width, width), side(self.height, height)]
    }

    /// Resamples by averaging.
    pub(super) fn scaled(&self, width: usize, height: usize) -> Option<Self> {
        if width == 0 || height == 0 {
            return None;
        }
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            let (top, bottom) = gauge::bucket(self.height, height, y);
            for x in 0..width {
                let (left, right) = gauge::bucket(self.width, width, x);
                let mut sums = [0_usize; 3];
                for row in top..bottom {
                    let row = self.pixels.get(row * self.width + left..row * self.width + right).unwrap_or_default();
                    row.iter()
                        .for_each(|pixel| sums.iter_mut().zip(pixel).for_each(|(sum, c)| *sum += usize::from(*c)));
                }
                let count = ((bottom - top) * (right - left)).max(1);
                pixels.push(sums.map(|sum| ((sum + count / 2) / count) as u8));
            }
        }
        Some(Self { width, height, pixels })
    }

    fn row(&self, y: usize) -> &[[u8; 3]] {
        self.pixels.get(y * self.width..(y + 1) * self.width).unwrap_or_default()
    }
}

/// Perceived brightness, 0 to 255.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((usize::from(r) * 299 + usize::from(g) * 587 + usize::from(b) * 114) / 1000) as u8
}

/// Draws the picture in at most `columns` × `rows` cells. A cell counts as twice as high as wide.
pub(super) fn lines(picture: &Rgb, columns: usize, rows: usize, depth: Depth) -> Vec<Line<'static>> {
    let [width, height] = picture.fit(columns, rows * 2);
    let rows = height.div_ceil(2);
    let shaded = matches!(depth, Depth::Shades | Depth::Ascii);
    let Some(small) = picture.scaled(width, if shaded { rows } else { height }) else { return vec![] };
    let line = |y: usize| {
        if shaded {
            let shade = |pixel: &[u8; 3]| gauge::shade(luma(*pixel), depth == Depth::Ascii);
            return Line::from(small.row(y).iter().map(shade).collect::<String>());
        }
        let (upper, lower) = (small.row(y * 2), small.row(y * 2 + 1));
        let mut spans: Vec<Span<'static>> = vec![];
        for (x, top) in upper.iter().enumerate() {
            let style = Style::new().fg(colour(*top, depth));
            let style = match lower.get(x) {
                Some(bottom) => style.bg(colour(*bottom, depth)),
                None => style,
            };
            match spans.last_mut() {
                Some(last) if last.style == style => last.content.to_mut().push('▀'),
                _ => spans.push(Span::styled("▀", style)),
            }
        }
        Line::from(spans)
    };
    (0..rows).map(line).collect()
}

fn colour([r, g, b]: [u8; 3], depth: Depth) -> Color {
    match depth {
        Depth::True => Color::Rgb(r, g, b),
        _ => Color::Indexed(indexed([r, g, b])),
    }
}

/// The levels of the 6 × 6 × 6 colour cube that starts at number 16.
const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// The nearest of the 240 fixed colours among the 256: the cube and 24 greys.
fn indexed(pixel: [u8; 3]) -> u8 {
    let nearest = |value: u8| (0..6_u8).min_by_key(|i| LEVELS[usize::from(*i)].abs_diff(value)).unwrap_or(0);
    let cube = pixel.map(nearest);
    let grey = ((usize::from(luma(pixel)).saturating_sub(3)) / 10).min(23) as u8;
    let far = |other: [u8; 3]| {
        let parts = pixel.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2));
        parts.sum::<u32>()
    };
    match far([8 + grey * 10; 3]) < far(cube.map(|i| LEVELS[usize::from(i)])) {
        true => 232 + grey,
        false => 16 + cube[0] * 36 + cube[1] * 6 + cube[2],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tui::text;

    fn ramp(width: usize, height: usize) -> Rgb {
        let bytes: Vec<u8> =
            (0..height * width).flat_map(|i| [(i * 255 / (width * height - 1).max(1)) as u8; 3]).collect();
        Rgb::new(width, height, &bytes).unwrap()
    }

    #[test]
    fn the_aspect_ratio_is_kept() {
        assert_eq!(Rgb::new(2, 2, &[0; 11]), None);
        assert_eq!(Rgb::new(0, 2, &[]), None);
        let wide = ramp(320, 180);
        assert_eq!((wide.fit(80, 100), wide.fit(1000, 18), wide.fit(1, 1)), ([80, 45], [32, 18], [1, 1]));
        assert_eq!(lines(&wide, 80, 100, Depth::True).len(), 23);
        assert_eq!(lines(&wide, 0, 9, Depth::True).len(), 0);
    }

    #[test]
    fn two_pixels_share_a_cell() {
        let picture = Rgb::new(1, 3, &[255, 0, 0, 0, 255, 0, 0, 0, 255]).unwrap();
        let drawn = lines(&picture, 1, 2, Depth::True);
        assert_eq!(drawn[0].spans[0].style, Style::new().fg(Color::Rgb(255, 0, 0)).bg(Color::Rgb(0, 255, 0)));
        assert_eq!(drawn[1].spans[0].style, Style::new().fg(Color::Rgb(0, 0, 255)));
        let plain = lines(&ramp(8, 1), 8, 1, Depth::Ascii);
        assert_eq!(plain[0].to_string(), " .:-=+#@");
    }

    #[test]
    fn the_nearest_indexed_colour_is_used() {
        let found = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [128, 128, 128], [95, 135, 175]].map(indexed);
        assert_eq!(found, [16, 231, 196, 244, 67]);
    }

    #[test]
    fn the_colour_depth_follows_theme_and_environment() {
        let depth = |theme: Theme, colorterm: &'static str| {
            Depth::of(&theme, move |name| (name == "COLORTERM").then(|| colorterm.to_owned()))
        };
        let theme = Theme::default();
        assert_eq!((depth(theme, "truecolor"), depth(theme, "")), (Depth::True, Depth::Indexed));
        assert_eq!(depth(Theme::named("none").unwrap(), "truecolor"), Depth::Shades);
        assert_eq!(depth(theme.with_ascii(true), "24bit"), Depth::Ascii);
    }

    proptest! {
        #[test]
        fn pictures_fit_into_their_area(w in 1..60_usize, h in 1..60_usize, columns in 0..50_usize, rows in 0..30_usize) {
            for depth in [Depth::True, Depth::Indexed, Depth::Shades, Depth::Ascii] {
                let drawn = lines(&ramp(w, h), columns, rows, depth);
                prop_assert!(drawn.len() <= rows);
                prop_assert!(drawn.iter().all(|line| text::width(&line.to_string()) <= columns));
            }
        }

        #[test]
        fn scaling_a_uniform_picture_keeps_its_colour(w in 1..40_usize, h in 1..40_usize, nw in 1..40_usize, nh in 1..40_usize, c: [u8; 3]) {
            let picture = Rgb::new(w, h, &c.repeat(w * h)).unwrap();
            prop_assert!(picture.scaled(nw, nh).unwrap().pixels().iter().all(|pixel| *pixel == c));
        }
    }
}
