//! Pictures in pixels: kitty's graphics protocol and sixel. The bytes are written after the frame, because the pictures
//! are not part of its cells.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ratatui::layout::Rect;

use super::Rgb;
use crate::config::ImageProtocol;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GraphicsProtocol {
    /// kitty, Ghostty, WezTerm, Konsole.
    Kitty,
    /// foot, xterm, mlterm and others.
    Sixel,
}

impl GraphicsProtocol {
    /// The protocol to use; `None` means characters. It is only detected for a local terminal without a multiplexer:
    /// over SSH a picture takes a hundred times the bytes of its cells, and multiplexers do not pass pictures on.
    pub(crate) fn detect(setting: ImageProtocol, variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let value = |name: &str| variable(name).unwrap_or_default();
        let set = |name: &str| !value(name).is_empty();
        match setting {
            ImageProtocol::Off => None,
            ImageProtocol::Kitty => Some(Self::Kitty),
            ImageProtocol::Sixel => Some(Self::Sixel),
            ImageProtocol::Auto if set("SSH_CONNECTION") || set("SSH_TTY") || set("TMUX") || set("STY") => None,
            ImageProtocol::Auto => match (value("TERM").as_str(), value("TERM_PROGRAM").as_str()) {
                ("xterm-kitty" | "xterm-ghostty", _) | (_, "ghostty" | "WezTerm") => Some(Self::Kitty),
                _ if set("KITTY_WINDOW_ID") => Some(Self::Kitty),
                (term, _) if term.starts_with("foot") || term.starts_with("mlterm") => Some(Self::Sixel),
                _ => None,
            },
        }
    }

    /// The bytes that draw the picture at the top left of `area`, as large as fits. `cell` is the size of a cell in
    /// pixels. The cursor does not move.
    pub(crate) fn draw(self, picture: &Rgb, area: Rect, cell: [u16; 2]) -> Vec<u8> {
        let [cell_width, cell_height] = cell.map(|side| usize::from(side.max(1)));
        let room = [usize::from(area.width) * cell_width, usize::from(area.height) * cell_height];
        let [width, height] = picture.fit(room[0], room[1]);
        if width == 0 {
            return vec![];
        }
        let mut out = format!("\x1b7\x1b[{};{}H", area.y + 1, area.x + 1).into_bytes();
        match self {
            Self::Kitty => kitty(picture, [width.div_ceil(cell_width), height.div_ceil(cell_height)], &mut out),
            Self::Sixel => {
                // Sixel bands are six rows high. A band that reaches below the area would scroll the screen.
                let height = (height / 6 * 6).max(6.min(height));
                if let Some(scaled) = picture.scaled(width, height) {
                    sixel(&scaled, &mut out);
                }
            }
        }
        out.extend(b"\x1b8");
        out
    }

    /// The bytes that remove the picture. The cells below a sixel must be redrawn instead.
    pub(crate) fn clear(self) -> &'static [u8] {
        match self {
            Self::Kitty => b"\x1b_Ga=d,d=I,i=7,q=2;\x1b\\",
            Self::Sixel => b"",
        }
    }
}

/// The terminal scales the picture to the given columns and rows.
fn kitty(picture: &Rgb, [columns, rows]: [usize; 2], out: &mut Vec<u8>) {
    let [width, height] = picture.size();
    let text = STANDARD.encode(picture.pixels().as_flattened());
    let mut chunks = text.as_bytes().chunks(4096).peekable();
    let mut head = format!("a=T,f=24,s={width},v={height},c={columns},r={rows},i=7,q=2,C=1,");
    while let Some(chunk) = chunks.next() {
        out.extend(format!("\x1b_G{head}m={};", u8::from(chunks.peek().is_some())).bytes());
        out.extend(chunk);
        out.extend(b"\x1b\\");
        head.clear();
    }
}

/// Six levels of each channel, with ordered dithering.
fn sixel(picture: &Rgb, out: &mut Vec<u8>) {
    const BAYER: [[i32; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
    let [width, height] = picture.size();
    out.extend(format!("\x1bP0;1q\"1;1;{width};{height}").bytes());
    let colour = |at: usize| {
        let (x, y) = (at % width, at / width);
        let shift = (BAYER[y % 4][x % 4] * 2 - 15) * 51 / 32;
        let level = |c: u8| ((i32::from(c) + shift + 25).clamp(0, 255) / 51) as usize;
        picture.pixels().get(at).map_or(0, |[r, g, b]| level(*r) * 36 + level(*g) * 6 + level(*b))
    };
    let colours: Vec<usize> = (0..width * height).map(colour).collect();
    let mut used = [false; 216];
    for c in &colours {
        if let Some(used) = used.get_mut(*c) {
            *used = true;
        }
    }
    for c in (0..216).filter(|c| used.get(*c) == Some(&true)) {
        let percent = |level: usize| level * 20;
        out.extend(format!("#{c};2;{};{};{}", percent(c / 36), percent(c / 6 % 6), percent(c % 6)).bytes());
    }
    for (number, band) in colours.chunks(width * 6).enumerate() {
        // No separator after the last band: at the end of the screen it would scroll.
        if number > 0 {
            out.push(b'-');
        }
        let mut here: Vec<usize> = band.to_vec();
        here.sort_unstable();
        here.dedup();
        for c in here {
            out.extend(format!("#{c}").bytes());
            let column = |x: usize| {
                let bits = (0..6).filter(|y| band.get(y * width + x) == Some(&c)).map(|y| 1_u8 << y);
                63 + bits.sum::<u8>()
            };
            run_lengths((0..width).map(column), out);
            out.push(b'$');
        }
    }
    out.extend(b"\x1b\\");
}

fn run_lengths(bytes: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let mut bytes = bytes.peekable();
    while let Some(byte) = bytes.next() {
        let mut count = 1;
        while bytes.next_if_eq(&byte).is_some() {
            count += 1;
        }
        match count {
            1..4 => out.extend(std::iter::repeat_n(byte, count)),
            _ => out.extend(format!("!{count}{}", char::from(byte)).bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn remote_and_unknown_terminals_get_characters() {
        let auto = |pairs| GraphicsProtocol::detect(ImageProtocol::Auto, env(pairs));
        assert_eq!(auto(&[("TERM", "xterm-kitty")]), Some(GraphicsProtocol::Kitty));
        assert_eq!(auto(&[("TERM", "foot-extra")]), Some(GraphicsProtocol::Sixel));
        assert_eq!(auto(&[("TERM", "xterm-256color")]), None);
        assert_eq!(auto(&[("TERM", "xterm-kitty"), ("SSH_TTY", "/dev/pts/1")]), None);
        assert_eq!(auto(&[("TERM", "foot"), ("TMUX", "x")]), None);
        assert_eq!(
            GraphicsProtocol::detect(ImageProtocol::Sixel, env(&[("SSH_TTY", "/dev/pts/1")])),
            Some(GraphicsProtocol::Sixel)
        );
        assert_eq!(GraphicsProtocol::detect(ImageProtocol::Off, env(&[("TERM", "foot")])), None);
    }

    /// Decodes sixels to the colour number of each pixel.
    fn read_sixels(text: &str, width: usize, height: usize) -> Vec<Option<usize>> {
        let body = text.split_once("\"1;1;").unwrap().1.split_once('#').unwrap().1;
        let body = format!("#{}", body.split_once("\x1b\\").unwrap().0);
        let mut screen = vec![None; width * height];
        let (mut x, mut y, mut colour, mut bytes) = (0, 0, 0, body.bytes().peekable());
        let number = |bytes: &mut std::iter::Peekable<std::str::Bytes<'_>>| {
            let mut n = 0;
            while let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
                n = n * 10 + usize::from(digit - b'0');
            }
            n
        };
        while let Some(byte) = bytes.next() {
            let mut count = 1;
            let byte = match byte {
                b'#' => {
                    colour = number(&mut bytes);
                    while bytes.next_if_eq(&b';').is_some() {
                        number(&mut bytes);
                    }
                    continue;
                }
                b'$' => {
                    x = 0;
                    continue;
                }
                b'-' => {
                    (x, y) = (0, y + 6);
                    continue;
                }
                b'!' => {
                    count = number(&mut bytes);
                    bytes.next().unwrap()
                }
                byte => byte,
            };
            for _ in 0..count {
                for bit in (0..6).filter(|bit| (byte - 63) >> bit & 1 == 1) {
                    screen[(y + bit) * width + x] = Some(colour);
                }
                x += 1;
            }
        }
        screen
    }

    #[test]
    fn sixels_draw_every_pixel_in_a_similar_colour() {
        let bytes: Vec<u8> = (0..20 * 12).flat_map(|i| [(i * 7 % 256) as u8, (i % 256) as u8, 200]).collect();
        let picture = Rgb::new(20, 12, &bytes).unwrap();
        let mut out = vec![];
        sixel(&picture, &mut out);
        let screen = read_sixels(std::str::from_utf8(&out).unwrap(), 20, 12);
        for (pixel, colour) in picture.pixels().iter().zip(screen) {
            let colour = colour.expect("every pixel is drawn");
            for (own, level) in pixel.iter().zip([colour / 36, colour / 6 % 6, colour % 6]) {
                assert!(own.abs_diff(level as u8 * 51) <= 51, "{pixel:?} {colour}");
            }
        }
    }

    #[test]
    fn kitty_receives_all_pixels_in_chunks() {
        let bytes: Vec<u8> = (0..60 * 40 * 3).map(|i| (i % 251) as u8).collect();
        let picture = Rgb::new(60, 40, &bytes).unwrap();
        let text = String::from_utf8(GraphicsProtocol::Kitty.draw(&picture, Rect::new(4, 2, 30, 10), [8, 16])).unwrap();
        assert!(text.starts_with("\x1b7\x1b[3;5H\x1b_Ga=T,f=24,s=60,v=40,c=30,r=10,"), "{text:.80}");
        let parts: Vec<&str> = text.split("\x1b_G").skip(1).map(|part| part.split_once("\x1b\\").unwrap().0).collect();
        assert!(parts.len() > 1 && parts.iter().all(|part| part.split_once(';').unwrap().1.len() <= 4096));
        let more: Vec<bool> = parts.iter().map(|part| part.contains("m=1;")).collect();
        assert!(more.iter().rev().skip(1).all(|more| *more) && !more[more.len() - 1]);
        let joined: String = parts.iter().map(|part| part.split_once(';').unwrap().1).collect();
        assert_eq!(STANDARD.decode(joined).unwrap(), bytes);
    }

    #[test]
    fn no_sixel_reaches_below_its_area() {
        let picture = Rgb::new(30, 90, &[9; 30 * 90 * 3]).unwrap();
        for rows in 1..6 {
            let out = GraphicsProtocol::Sixel.draw(&picture, Rect::new(0, 0, 20, rows), [10, 19]);
            let bands = out.iter().filter(|byte| **byte == b'-').count();
            assert!((bands + 1) * 6 <= usize::from(rows) * 19, "{rows}");
        }
        assert!(GraphicsProtocol::Sixel.draw(&picture, Rect::new(0, 0, 0, 4), [10, 19]).is_empty());
    }
}
