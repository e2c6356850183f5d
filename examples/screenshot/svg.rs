//! Draws the screen of a terminal as SVG. Text uses any monospaced font; lines and blocks are shapes, so that they join
//! in every font.

use std::fmt::Write;

use vt100::{Cell, Color, Screen};

/// The size of a cell in pixels.
const WIDTH: f32 = 8.4;
const HEIGHT: f32 = 18.0;

/// The baseline, from the top of a cell.
const BASELINE: f32 = 13.5;

const MARGIN: f32 = 14.0;

const BACKGROUND: [u8; 3] = [22, 24, 30];
const TEXT: [u8; 3] = [216, 219, 226];

/// The sixteen colours that a terminal defines.
const COLOURS: [[u8; 3]; 16] = [
    [40, 44, 54],
    [240, 113, 120],
    [134, 204, 136],
    [229, 192, 96],
    [97, 160, 239],
    [198, 146, 233],
    [86, 194, 212],
    [216, 219, 226],
    [120, 127, 142],
    [255, 140, 146],
    [160, 224, 160],
    [245, 214, 130],
    [130, 185, 255],
    [220, 175, 250],
    [120, 216, 230],
    [255, 255, 255],
];

#[derive(Clone, Copy, PartialEq)]
struct CellStyle {
    foreground: [u8; 3],
    background: [u8; 3],
    bold: bool,
    italic: bool,
    underline: bool,
}

impl CellStyle {
    fn of(cell: &Cell) -> Self {
        let mut foreground = rgb(cell.fgcolor(), TEXT);
        let mut background = rgb(cell.bgcolor(), BACKGROUND);
        if cell.inverse() {
            std::mem::swap(&mut foreground, &mut background);
        }
        if cell.dim() {
            // About as terminals do.
            foreground = mix(foreground, background, 0.42);
        }
        Self { foreground, background, bold: cell.bold(), italic: cell.italic(), underline: cell.underline() }
    }
}

fn rgb(colour: Color, default: [u8; 3]) -> [u8; 3] {
    match colour {
        Color::Default => default,
        Color::Rgb(r, g, b) => [r, g, b],
        Color::Idx(index @ 232..) => [8 + (index - 232) * 10; 3],
        Color::Idx(index @ 16..) => {
            let level = |step: u8| if step == 0 { 0 } else { 55 + step * 40 };
            let index = index - 16;
            [level(index / 36), level(index / 6 % 6), level(index % 6)]
        }
        Color::Idx(index) => COLOURS.get(usize::from(index)).copied().unwrap_or(default),
    }
}

fn mix(a: [u8; 3], b: [u8; 3], part: f32) -> [u8; 3] {
    let one = |a: u8, b: u8| (f32::from(a) * (1.0 - part) + f32::from(b) * part).round() as u8;
    [one(a[0], b[0]), one(a[1], b[1]), one(a[2], b[2])]
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// At most two decimals.
fn number(value: f32) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub fn draw(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let [width, height] = [f32::from(columns) * WIDTH + 2.0 * MARGIN, f32::from(rows) * HEIGHT + 2.0 * MARGIN];
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" role=\"img\" \
         font-family=\"ui-monospace,'JetBrains Mono','Cascadia Mono',Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',\
         monospace\" font-size=\"14\">\n<title>reeldeck in a terminal</title>\n\
         <rect width=\"{0}\" height=\"{1}\" rx=\"10\" fill=\"{2}\"/>\n<g transform=\"translate({3} {3})\" shape-rendering=\"crispEdges\">\n",
        number(width),
        number(height),
        hex(BACKGROUND),
        number(MARGIN)
    );
    for row in 0..rows {
        draw_row(screen, row, columns, &mut out);
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// A character with its position and style.
struct Glyph {
    column: u16,
    wide: u16,
    text: String,
    style: CellStyle,
}

fn draw_row(screen: &Screen, row: u16, columns: u16, out: &mut String) {
    let glyphs: Vec<Glyph> = (0..columns)
        .filter_map(|column| {
            let cell = screen.cell(row, column).filter(|cell| !cell.is_wide_continuation())?;
            let text = if cell.has_contents() { cell.contents().to_owned() } else { " ".into() };
            Some(Glyph { column, wide: if cell.is_wide() { 2 } else { 1 }, text, style: CellStyle::of(cell) })
        })
        .collect();
    let top = f32::from(row) * HEIGHT;
    for run in glyphs.chunk_by(|a, b| a.style.background == b.style.background) {
        if let Some(first) = run.first().filter(|first| first.style.background != BACKGROUND) {
            let wide: u16 = run.iter().map(|glyph| glyph.wide).sum();
            let at = [f32::from(first.column) * WIDTH, top, f32::from(wide) * WIDTH, HEIGHT];
            rect(at, first.style.background, 1.0, out);
        }
    }
    let kind = |glyph: &Glyph| (is_shape(&glyph.text), glyph.text == " ");
    for run in glyphs.chunk_by(|a, b| a.style == b.style && kind(a) == kind(b)) {
        let Some(first) = run.first() else { continue };
        match kind(first) {
            (true, _) => run.chunk_by(|a, b| a.text == b.text).for_each(|same| shapes(same, top, out)),
            (false, true) if first.style.underline => letters(run, top, out),
            (false, true) => {}
            // Only words need a fixed length.
            _ => letters(run, top, out),
        }
    }
}

fn letters(run: &[Glyph], top: f32, out: &mut String) {
    let Some(first) = run.first() else { return };
    let text: String = run.iter().map(|glyph| glyph.text.as_str()).collect();
    let wide: u16 = run.iter().map(|glyph| glyph.wide).sum();
    let mut style = String::new();
    if first.style.bold {
        style.push_str(" font-weight=\"bold\"");
    }
    if first.style.italic {
        style.push_str(" font-style=\"italic\"");
    }
    if first.style.underline {
        style.push_str(" text-decoration=\"underline\"");
    }
    // A fixed length keeps the columns aligned in every font.
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\"{style} xml:space=\"preserve\">{}</text>",
        number(f32::from(first.column) * WIDTH),
        number(top + BASELINE),
        number(f32::from(wide) * WIDTH),
        hex(first.style.foreground),
        escaped(&text)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn rect([x, y, width, height]: [f32; 4], colour: [u8; 3], opacity: f32, out: &mut String) {
    let opacity = if opacity < 1.0 { format!(" fill-opacity=\"{}\"", number(opacity)) } else { String::new() };
    let _ = writeln!(
        out,
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"{opacity}/>",
        number(x),
        number(y),
        number(width),
        number(height),
        hex(colour)
    );
}

fn is_shape(text: &str) -> bool {
    let mut chars = text.chars();
    matches!((chars.next(), chars.next()), (Some(c), None) if block(c).is_some() || !arms(c).is_empty() || is_braille(c))
}

/// Draws the same shape several times side by side. Shapes that continue from cell to cell are drawn as one.
fn shapes(same: &[Glyph], top: f32, out: &mut String) {
    let Some(first) = same.first() else { return };
    let Some(c) = first.text.chars().next() else { return };
    let left = f32::from(first.column) * WIDTH;
    let right = left + same.len() as f32 * WIDTH;
    if let Some(([0.0, y, 1.0, height], opacity)) = block(c) {
        return rect([left, top + y * HEIGHT, right - left, height * HEIGHT], first.style.foreground, opacity, out);
    }
    if c == '─' {
        let path = format!("M{} {}H{}", number(left), number(top + HEIGHT / 2.0), number(right));
        let _ = writeln!(out, "<path d=\"{path}\" stroke=\"{}\"/>", hex(first.style.foreground));
        return;
    }
    if is_braille(c) {
        return dots(same, c, top, out);
    }
    same.iter().for_each(|glyph| shape(glyph, c, top, out));
}

fn is_braille(c: char) -> bool {
    matches!(c, '\u{2800}'..='\u{28ff}')
}

/// The diameter of a dot in pixels.
const DOT: f32 = 2.6;

/// The dots of a Braille character, two columns of four, of which charts consist. Fonts draw them too wide or too small.
fn dots(same: &[Glyph], c: char, top: f32, out: &mut String) {
    /// Column and row of the dot of each bit.
    const PLACES: [(f32, f32); 8] =
        [(0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (1.0, 0.0), (1.0, 1.0), (1.0, 2.0), (0.0, 3.0), (1.0, 3.0)];
    let set = PLACES.iter().enumerate().filter(|(bit, _)| c as u32 >> bit & 1 == 1).map(|(_, place)| place);
    let set: Vec<_> = set.collect();
    let mut path = String::new();
    for glyph in same {
        let left = f32::from(glyph.column) * WIDTH;
        for (column, row) in &set {
            let (x, y) = (left + (column + 0.5) * WIDTH / 2.0, top + (row + 0.5) * HEIGHT / 4.0);
            // A line of nearly no length with round ends.
            let _ = write!(path, "M{} {}h.01", number(x), number(y));
        }
    }
    if let Some(first) = same.first().filter(|_| !path.is_empty()) {
        let colour = hex(first.style.foreground);
        let _ = writeln!(
            out,
            "<path d=\"{path}\" shape-rendering=\"auto\" stroke=\"{colour}\" stroke-width=\"{}\" stroke-linecap=\"round\"/>",
            number(DOT)
        );
    }
}

fn shape(glyph: &Glyph, c: char, top: f32, out: &mut String) {
    let left = f32::from(glyph.column) * WIDTH;
    if let Some(([x, y, width, height], opacity)) = block(c) {
        let at = [left + x * WIDTH, top + y * HEIGHT, width * WIDTH, height * HEIGHT];
        return rect(at, glyph.style.foreground, opacity, out);
    }
    let (middle, centre) = (left + WIDTH / 2.0, top + HEIGHT / 2.0);
    let mut path = String::new();
    for arm in arms(c) {
        let _ = match arm {
            Arm::Left => write!(path, "M{} {}H{}", number(left), number(centre), number(middle)),
            Arm::Right => write!(path, "M{} {}H{}", number(middle), number(centre), number(left + WIDTH)),
            Arm::Up => write!(path, "M{} {}V{}", number(middle), number(top), number(centre)),
            Arm::Down => write!(path, "M{} {}V{}", number(middle), number(centre), number(top + HEIGHT)),
            Arm::Round { right, down } => {
                let (x, y) = (if *right { left + WIDTH } else { left }, if *down { top + HEIGHT } else { top });
                let [x, y, m, c] = [x, y, middle, centre].map(number);
                write!(path, "M{m} {y}Q{m} {c} {x} {c}")
            }
        };
    }
    let _ = writeln!(
        out,
        "<path d=\"{path}\" fill=\"none\" shape-rendering=\"auto\" stroke=\"{}\"/>",
        hex(glyph.style.foreground)
    );
}

/// The part of a cell that a block character fills, as x, y, width and height from 0 to 1, and its opacity.
fn block(c: char) -> Option<([f32; 4], f32)> {
    let eighth = |n: u32| n as f32 / 8.0;
    Some(match c {
        '█' => ([0.0, 0.0, 1.0, 1.0], 1.0),
        '▀' => ([0.0, 0.0, 1.0, 0.5], 1.0),
        '▁'..='▇' => {
            let filled = eighth(c as u32 - '▁' as u32 + 1);
            ([0.0, 1.0 - filled, 1.0, filled], 1.0)
        }
        '▉'..='▏' => ([0.0, 0.0, eighth(8 - (c as u32 - '█' as u32)), 1.0], 1.0),
        '▐' => ([0.5, 0.0, 0.5, 1.0], 1.0),
        '░' => ([0.0, 0.0, 1.0, 1.0], 0.25),
        '▒' => ([0.0, 0.0, 1.0, 1.0], 0.5),
        '▓' => ([0.0, 0.0, 1.0, 1.0], 0.75),
        _ => return None,
    })
}

/// A line from the centre of a cell to one of its sides.
enum Arm {
    Left,
    Right,
    Up,
    Down,
    Round { right: bool, down: bool },
}

/// The lines that a box-drawing character consists of.
fn arms(c: char) -> &'static [Arm] {
    use Arm::{Down, Left, Right, Round, Up};
    match c {
        '─' => &[Left, Right],
        '│' => &[Up, Down],
        '╭' => &[Round { right: true, down: true }],
        '╮' => &[Round { right: false, down: true }],
        '╰' => &[Round { right: true, down: false }],
        '╯' => &[Round { right: false, down: false }],
        '┌' => &[Right, Down],
        '┐' => &[Left, Down],
        '└' => &[Right, Up],
        '┘' => &[Left, Up],
        '├' => &[Up, Down, Right],
        '┤' => &[Up, Down, Left],
        '┬' => &[Left, Right, Down],
        '┴' => &[Left, Right, Up],
        '┼' => &[Left, Right, Up, Down],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    fn drawn(text: &str) -> String {
        let [rows, columns] = [2, 12].map(|side| NonZeroU16::new(side).expect("not nought"));
        let mut parser = vt100::Parser::new(rows, columns, 0);
        parser.process(text.as_bytes());
        draw(parser.screen())
    }

    #[test]
    fn text_keeps_columns_and_colours() {
        let picture = drawn("\x1b[1;38;2;1;2;3ma<b\x1b[0m&");
        assert!(picture.contains("x=\"0\" y=\"13.5\" textLength=\"25.2\""), "{picture}");
        assert!(picture.contains("fill=\"#010203\" font-weight=\"bold\"") && picture.contains(">a&lt;b</text>"));
        assert!(picture.contains("x=\"25.2\"") && picture.contains(">&amp;</text>"), "{picture}");
        // A wide character takes two columns.
        assert!(drawn("日x").contains("textLength=\"25.2\""));
    }

    #[test]
    fn backgrounds_and_reversed_cells_are_filled() {
        let reversed = drawn("\x1b[7m  x\x1b[0m");
        assert!(reversed.contains(&format!("width=\"25.2\" height=\"18\" fill=\"{}\"", hex(TEXT))), "{reversed}");
        assert!(reversed.contains(&format!("fill=\"{}\" xml:space", hex(BACKGROUND))));
        let indexed = [Color::Idx(196), Color::Idx(244), Color::Idx(1)].map(|colour| rgb(colour, TEXT));
        assert_eq!(indexed, [[255, 0, 0], [128, 128, 128], COLOURS[1]]);
    }

    #[test]
    fn the_dots_of_charts_are_drawn_as_shapes() {
        let picture = drawn("\u{2800}⢁⢁⠈");
        assert!(!picture.contains("<text"), "{picture}");
        // The first cell is empty.
        assert!(picture.contains("d=\"M10.5 2.25h.01M14.7 15.75h.01M18.9 2.25h.01M23.1 15.75h.01\""), "{picture}");
        assert!(picture.contains("d=\"M31.5 2.25h.01\""), "{picture}");
        assert_eq!(picture.matches("<path").count(), 2);
    }

    #[test]
    fn lines_and_blocks_are_drawn_as_shapes() {
        let picture = drawn("╭─╮▄▏░");
        assert!(!picture.contains("<text"), "{picture}");
        assert_eq!(picture.matches("<path").count(), 3);
        // Repeated characters become one line and one block.
        let long = drawn("────▄▄▄");
        assert_eq!((long.matches("<path").count(), long.matches("<rect").count()), (1, 2));
        assert!(long.contains("M0 9H33.6") && long.contains("x=\"33.6\" y=\"9\" width=\"25.2\""), "{long}");
        assert_eq!(block('▄').map(|(part, _)| part), Some([0.0, 0.5, 1.0, 0.5]));
        assert_eq!(block('▏').map(|(part, _)| part[2]), Some(0.125));
        assert_eq!(block('▉').map(|(part, _)| part[2]), Some(0.875));
        assert!(picture.contains("fill-opacity=\"0.25\""));
    }
}
