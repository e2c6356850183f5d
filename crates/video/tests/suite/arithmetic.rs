//! Compares pixels with arithmetic: the drawing that was encoded, converted pixel by pixel with the published formulas.

use std::path::Path;

use reeldeck_common::limits::Limits;
use reeldeck_common::recipe::{Damage, Sampling, Transform};
use reeldeck_video::frames::{Pass, Request};
use reeldeck_video::full_decode;
use reeldeck_video::synth::{Synth, sample};

use crate::media::{Folder, small, take, take_both};

/// Rows of RGB without gaps.
#[derive(PartialEq)]
struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// Offset and factor of luma, V to R, U to G, V to G, U to B.
type Formula = [i32; 6];

const BT601: Formula = [128, 9539, 13075, -3209, -6660, 16525];
const BT709: Formula = [128, 9539, 14686, -1747, -4366, 17305];
const FULL_RANGE: Formula = [0, 8192, 11485, -2819, -5850, 14516];

/// The expected picture `t` of a 4:2:0 video.
fn drawn(synth: &Synth, formula: Formula, t: u32) -> Picture {
    let [offset, luma, v_to_r, u_to_g, v_to_g, u_to_b] = formula;
    let mut rgb = vec![];
    for y in 0..synth.height {
        for x in 0..synth.width {
            let plane = |plane: usize, x: u32, y: u32| i32::from(sample(synth.seed, plane, x, y, t)) << 3;
            let lum = ((plane(0, x, y) - offset) * luma) >> 16;
            // Chroma is drawn, and read, at the upper left of the four pixels that it covers.
            let (u, v) = (plane(1, x / 2 * 2, y / 2 * 2) - 1024, plane(2, x / 2 * 2, y / 2 * 2) - 1024);
            let red = lum + ((v * v_to_r) >> 16);
            let green = lum + ((u * u_to_g) >> 16) + ((v * v_to_g) >> 16);
            let blue = lum + ((u * u_to_b) >> 16);
            rgb.extend([red, green, blue].map(|value| value.clamp(0, 255) as u8));
        }
    }
    Picture { width: synth.width as usize, height: synth.height as usize, rgb }
}

/// A picture rotated clockwise by 90 degrees.
fn quarter(picture: &Picture) -> Picture {
    let Picture { width, height, ref rgb } = *picture;
    let mut out = vec![];
    for y in 0..width {
        for x in 0..height {
            let from = ((height - 1 - x) * width + y) * 3;
            out.extend(&rgb[from..from + 3]);
        }
    }
    Picture { width: height, height: width, rgb: out }
}

fn whole_pictures(path: &Path) -> Vec<Picture> {
    let mut pictures = vec![];
    full_decode::for_each_frame(path, &Limits::default(), &mut |picture| {
        pictures.push(Picture { width: picture.width, height: picture.height, rgb: picture.rgb.to_vec() });
        Ok(())
    })
    .unwrap();
    pictures
}

/// OpenCV's bilinear resize of whole 8-bit pictures, then the centred crop, without optimisation.
fn resized_and_cropped(picture: &Picture, short_side: usize, crop: usize) -> Vec<u8> {
    let (w, h) = (picture.width, picture.height);
    let scale = short_side as f64 / w.min(h) as f64;
    let (nw, nh) = ((w as f64 * scale + 0.5) as usize, (h as f64 * scale + 0.5) as usize);
    let at = |x: i64, y: i64, c: usize| {
        let (x, y) = (x.clamp(0, w as i64 - 1) as usize, y.clamp(0, h as i64 - 1) as usize);
        i64::from(picture.rgb[(y * w + x) * 3 + c])
    };
    let rint = |value: f32| (value * 2048.0).round_ties_even() as i64;
    let source = |d: usize, n: usize, nn: usize| {
        let f = ((d as f64 + 0.5) * (1.0 / (nn as f64 / n as f64)) - 0.5) as f32;
        (f.floor() as i64, f - f.floor())
    };
    let mut out = vec![];
    for y in (nh - crop) / 2..(nh - crop) / 2 + crop {
        for x in (nw - crop) / 2..(nw - crop) / 2 + crop {
            for c in 0..3 {
                let value = if (w, h) == (nw, nh) {
                    at(x as i64, y as i64, c)
                } else if (w, h) == (2 * nw, 2 * nh) {
                    let (x, y) = (2 * x as i64, 2 * y as i64);
                    (at(x, y, c) + at(x + 1, y, c) + at(x, y + 1, c) + at(x + 1, y + 1, c) + 2) >> 2
                } else {
                    let ((sx, fx), (sy, fy)) = (source(x, w, nw), source(y, h, nh));
                    let fx = if sx < 0 || sx >= w as i64 - 1 { 0.0 } else { fx };
                    let row = |y: i64| at(sx, y, c) * rint(1.0 - fx) + at(sx + 1, y, c) * rint(fx);
                    let sum = ((rint(1.0 - fy) * (row(sy) >> 4)) >> 16) + ((rint(fy) * (row(sy + 1) >> 4)) >> 16);
                    (sum + 2) >> 2
                };
                out.push(value.clamp(0, 255) as u8);
            }
        }
    }
    out
}

fn lossless(width: u32, height: u32, seed: u32) -> Synth {
    Synth { width, height, seed, ..small("ffv1", 9, &[]) }
}

fn check(path: &Path, expected: &[Picture], what: &str) {
    let pictures = whole_pictures(path);
    assert_eq!(pictures.len(), expected.len(), "{what}");
    for (t, (picture, expected)) in pictures.iter().zip(expected).enumerate() {
        assert_eq!((picture.width, picture.height), (expected.width, expected.height), "{what}");
        let differs = picture.rgb.iter().zip(&expected.rgb).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{what}: picture {t} differs in that byte of {}", picture.rgb.len());
    }
}

#[test]
fn every_picture_of_a_lossless_file_is_the_drawing_through_the_formula() {
    let folder = Folder::new();
    for (width, height) in [(64, 48), (65, 48), (37, 50), (8, 2), (2, 64), (320, 240)] {
        for (pixels, bt709, formula) in
            [("yuv420p", false, BT601), ("yuv420p", true, BT709), ("yuvj420p", false, FULL_RANGE)]
        {
            let synth = Synth { pixels: pixels.into(), bt709, ..lossless(width, height, 5) };
            // FFV1 itself does not tell the ranges apart, the container does; motion JPEG would not be lossless.
            let synth = if pixels == "yuvj420p" { x264(synth) } else { synth };
            let path = folder.make("a.mkv", &synth);
            let expected: Vec<_> = (0..9).map(|t| drawn(&synth, formula, t)).collect();
            check(&path, &expected, &format!("{width}x{height} {pixels} bt709 {bt709}"));
        }
    }
}

/// The same video by x264 without loss.
fn x264(synth: Synth) -> Synth {
    // x264 takes only whole chroma samples.
    let (width, height) = (synth.width.next_multiple_of(2), synth.height);
    Synth {
        width,
        height,
        ..Synth { pixels: synth.pixels, seed: synth.seed, rotate: synth.rotate, ..small("libx264", 9, &[("qp", "0")]) }
    }
}

#[test]
fn an_unknown_matrix_is_treated_as_bt601() {
    let folder = Folder::new();
    let synth = Synth { bt709: true, ..lossless(64, 48, 5) };
    let mut bytes = std::fs::read(folder.make("a.mkv", &synth)).unwrap();
    // Matroska's MatrixCoefficients, one byte long, 1 for BT.709.
    let tag = [0x55, 0xb1, 0x81, 1];
    let at = bytes.windows(4).position(|window| window == tag).unwrap();
    bytes[at + 3] = 177;
    let expected: Vec<_> = (0..9).map(|t| drawn(&synth, BT601, t)).collect();
    check(&folder.write("b.mkv", &bytes), &expected, "matrix 177");
}

#[test]
fn a_full_range_that_only_the_container_names_is_heeded() {
    let folder = Folder::new();
    let synth = Synth { bt709: true, ..lossless(64, 48, 5) };
    let mut bytes = std::fs::read(folder.make("a.mkv", &synth)).unwrap();
    // Matroska's MatrixCoefficients becomes its Range, 2 for full.
    let at = bytes.windows(4).position(|window| window == [0x55, 0xb1, 0x81, 1]).unwrap();
    bytes[at..at + 4].copy_from_slice(&[0x55, 0xb9, 0x81, 2]);
    let expected: Vec<_> = (0..9).map(|t| drawn(&synth, FULL_RANGE, t)).collect();
    check(&folder.write("b.mkv", &bytes), &expected, "full range");
}

#[test]
fn turned_pictures_are_the_turned_drawing() {
    let folder = Folder::new();
    for rotate in [90, 180, 270] {
        for (width, height) in [(64, 48), (50, 62)] {
            let synth = x264(Synth { rotate, ..lossless(width, height, 2) });
            let path = folder.make("a.mp4", &synth);
            let turn = |picture: Picture| (0..rotate / 90).fold(picture, |picture, _| quarter(&picture));
            let expected: Vec<_> = (0..9).map(|t| turn(drawn(&synth, BT601, t))).collect();
            check(&path, &expected, &format!("{width}x{height} turned by {rotate}"));
        }
    }
}

#[test]
fn crops_are_the_drawing_resized_and_cropped() {
    let folder = Folder::new();
    let sampling = Sampling::spread(1, 9, 1);
    for (width, height, short_side, crop) in [
        (64, 48, 40, 32),
        (65, 48, 40, 40),
        (64, 48, 48, 48),
        (128, 96, 48, 36),
        (96, 160, 48, 48),
        (37, 50, 64, 64),
        (34, 200, 32, 32),
        (340, 256, 256, 256),
        (512, 512, 256, 224),
        (640, 360, 256, 256),
    ] {
        let synth = lossless(width, height, 1);
        let path = folder.make("a.mkv", &synth);
        let transform = Transform::short_side(short_side, crop, [0.0; 3], [1.0; 3]);
        let request = Request { sampling, transform, damage: Damage { max_lost: 0.0 }, limits: Limits::default() };
        let taken = take_both(&path, &request).unwrap();
        assert_eq!(taken.frames.len(), 9);
        for (t, pixels) in taken.frames.iter().step_by(4) {
            let expected = resized_and_cropped(&drawn(&synth, BT601, *t as u32), short_side, crop);
            assert!(*pixels == expected, "{width}x{height} to {short_side}, crop {crop}, frame {t}");
        }
    }
}

#[test]
fn odd_heights_and_rare_formats_are_whole_pictures_resized_and_cropped() {
    let folder = Folder::new();
    let sampling = Sampling::spread(1, 9, 1);
    let transform = Transform::short_side(40, 36, [0.0; 3], [1.0; 3]);
    let request = Request { sampling, transform, damage: Damage { max_lost: 0.0 }, limits: Limits::default() };
    for (pixels, width, height) in [
        ("yuv420p", 64, 49),
        ("yuv420p", 65, 51),
        ("yuv422p", 64, 48),
        ("yuv444p", 61, 47),
        ("yuv420p10le", 64, 48),
        ("gray", 64, 48),
    ] {
        let path = folder.make("a.mkv", &Synth { pixels: pixels.into(), ..lossless(width, height, 1) });
        let taken = take(&path, &request, Pass::Best).unwrap();
        let pictures = whole_pictures(&path);
        for (t, pixels) in &taken.frames {
            assert!(*pixels == resized_and_cropped(&pictures[*t as usize], 40, 36), "{width}x{height}, frame {t}");
        }
    }
}
