//! Computes the resized size of a picture and the position of the crop.

use reeldeck_common::recipe::{Resize, Transform};

/// How a picture of one size is resized and cropped, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Width and height of the decoded picture, as displayed.
    pub source: (usize, usize),
    /// Width and height after the resize.
    pub resized: (usize, usize),
    /// Left and top of the crop in the resized picture.
    pub corner: (usize, usize),
    /// Width and height of the crop.
    pub crop: (usize, usize),
}

impl Geometry {
    /// The short side becomes as long as the recipe says, or both sides do. The crop is taken from the middle, rounded down;
    /// without one it is the whole picture.
    pub fn new(width: usize, height: usize, transform: &Transform) -> Self {
        let resized = match transform.resize {
            Resize::ShortSide(short_side) => {
                let scale = short_side as f64 / width.min(height) as f64;
                let side = |pixels: usize| (pixels as f64 * scale + 0.5) as usize;
                (side(width), side(height))
            }
            Resize::Exact { height, width } => (width, height),
        };
        let crop = transform.crop.map_or(resized, |side| (side, side));
        let corner = ((resized.0 - crop.0) / 2, (resized.1 - crop.1) / 2);
        Self { source: (width, height), resized, corner, crop }
    }

    /// The number of values of a crop: width × height × 3 channels.
    pub fn values(&self) -> usize {
        self.crop.0 * self.crop.1 * 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSFORM: Transform = Transform::short_side(256, 256, [0.0; 3], [1.0; 3]);

    /// Sizes and boxes that the original (mmaction2 1.2.0, Resize and CenterCrop) reported for real files.
    #[test]
    fn sizes_of_the_original() {
        for (source, resized, corner) in [
            ((340, 256), (340, 256), (42, 0)),
            ((144, 256), (256, 455), (0, 99)),
            ((1920, 1080), (455, 256), (99, 0)),
            ((320, 240), (341, 256), (42, 0)),
            ((321, 241), (341, 256), (42, 0)),
        ] {
            let geometry = Geometry::new(source.0, source.1, &TRANSFORM);
            assert_eq!((geometry.resized, geometry.corner), (resized, corner), "{source:?}");
        }
    }

    #[test]
    fn the_short_side_is_always_exact() {
        for side in 1..3000 {
            let geometry = Geometry::new(side, side + 7, &TRANSFORM);
            assert_eq!(geometry.resized.0, 256);
            assert!(geometry.corner.1 + 256 <= geometry.resized.1);
        }
    }

    #[test]
    fn an_exact_size_is_that_of_every_picture() {
        let resize = Resize::Exact { height: 128, width: 171 };
        for (crop, corner, size) in [(None, (0, 0), (171, 128)), (Some(112), (29, 8), (112, 112))] {
            for (width, height) in [(340, 256), (1080, 1920), (171, 128), (1, 1)] {
                let geometry = Geometry::new(width, height, &Transform { resize, crop, ..TRANSFORM });
                let expected = Geometry { source: (width, height), resized: (171, 128), corner, crop: size };
                assert_eq!(geometry, expected);
                assert_eq!(geometry.values(), size.0 * size.1 * 3);
            }
        }
    }
}
