//! Computes the resized size of a picture and the position of the crop.

use reeldeck_common::recipe::{Filter, Resize, Transform};

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
    /// The short side becomes as long as the recipe says, or both sides do. The crop is taken from the middle; without one it is
    /// the whole picture. Sizes and positions are rounded like those of the libraries that the filters come from: MMCV and MMAction2's
    /// `CenterCrop`, or torchvision's `Resize` and `CenterCrop`.
    pub fn new(width: usize, height: usize, transform: &Transform) -> Self {
        let is_torch = transform.filter == Filter::TorchF32;
        let resized = match transform.resize {
            Resize::ShortSide(short_side) => {
                let short = width.min(height);
                let scale = short_side as f64 / short as f64;
                let side = |pixels: usize| match is_torch {
                    true => short_side * pixels / short,
                    false => (pixels as f64 * scale + 0.5) as usize,
                };
                (side(width), side(height))
            }
            Resize::Exact { height, width } => (width, height),
        };
        let crop = transform.crop.map_or(resized, |side| (side, side));
        let corner = |resized: usize, crop: usize| match (resized - crop) % 4 {
            // Python rounds half of an odd number to the even neighbour.
            3 if is_torch => (resized - crop) / 2 + 1,
            _ => (resized - crop) / 2,
        };
        let corner = (corner(resized.0, crop.0), corner(resized.1, crop.1));
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
    /// What torchvision 0.26.0's `Resize` and `CenterCrop`, and TSP's, give.
    #[test]
    fn sizes_and_crops_of_torch() {
        let of = |source: (usize, usize), resize, crop| {
            let transform = Transform { resize, crop: Some(crop), filter: Filter::TorchF32, ..TRANSFORM };
            let geometry = Geometry::new(source.0, source.1, &transform);
            (geometry.resized, geometry.corner)
        };
        let exact = Resize::Exact { height: 128, width: 171 };
        assert_eq!(of((340, 256), exact, 112), ((171, 128), (30, 8)));
        assert_eq!(of((340, 256), exact, 114), ((171, 128), (28, 7)));
        assert_eq!(of((1920, 1080), Resize::ShortSide(256), 224), ((455, 256), (116, 16)));
        assert_eq!(of((320, 240), Resize::ShortSide(224), 224), ((298, 224), (37, 0)));
        assert_eq!(of((321, 241), Resize::ShortSide(256), 224), ((340, 256), (58, 16)));
    }
}
