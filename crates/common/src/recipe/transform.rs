//! From a decoded frame to the model's input: resizing, crop and normalisation.

use serde::{Deserialize, Serialize};

use super::within;

/// The largest value of a normalised pixel. Networks are trained with values near 1.
const MAX_VALUE: f32 = 1e4;

/// Resizing, centre crop and normalisation of a frame. Its serialised form has the keys of a recipe's `[transform]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Keys", into = "Keys")]
pub struct Transform {
    /// The size after resizing.
    pub resize: Resize,
    /// The interpolation, and the type of the transformed frame.
    pub filter: Filter,
    /// Side of the square centre crop, in pixels; `None` for the whole frame.
    pub crop: Option<usize>,
    /// Divides R, G and B, which are 0 to 255.
    pub scale: f32,
    /// Subtracted after that.
    pub mean: [f32; 3],
    /// Divides the difference.
    pub std: [f32; 3],
}

/// The size of a frame after resizing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// The short side becomes this many pixels, and the aspect ratio stays.
    ShortSide(usize),
    /// Both sides are set, whatever the aspect ratio.
    Exact {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
}

/// The interpolation when resizing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// OpenCV's 8-bit `INTER_LINEAR`. Transformed frames are bytes.
    OpencvU8,
    /// torch's bilinear interpolation in 32 bits, `align_corners` and `antialias` false. Transformed frames are `f32` from 0
    /// to 255.
    TorchF32,
}

/// The keys of a recipe. The hash of a feature set covers their order, so new keys are left out when they are absent.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    short_side: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resize: Option<ResizeKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<Size>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<Filter>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crop: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mean: Option<[f32; 3]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    std: Option<[f32; 3]>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ResizeKind {
    ShortSide,
    Exact,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(untagged, expecting = "`size` must be a number of pixels, or [height, width]")]
enum Size {
    Side(usize),
    Sides([usize; 2]),
}

const NO_MEAN: [f32; 3] = [0.0; 3];
const NO_STD: [f32; 3] = [1.0; 3];

impl TryFrom<Keys> for Transform {
    type Error = &'static str;

    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        let Keys { short_side, resize, size, filter, crop, scale, mean, std } = keys;
        let Some(kind) = resize else {
            let (Some(side), None, None, None) = (short_side, size, filter, scale) else {
                return Err(
                    "transform has neither `short_side` nor `resize`, `size` and `filter`: see docs/RECIPES.md",
                );
            };
            let (Some(crop), Some(mean), Some(std)) = (crop, mean, std) else {
                return Err("transform has `short_side`: `crop`, `mean` and `std` are missing");
            };
            return Ok(Self::short_side(side, crop, mean, std));
        };
        if short_side.is_some() {
            return Err("transform has both `resize` and `short_side`: say `size` instead of `short_side`");
        }
        let resize = match (kind, size.ok_or("transform.size is missing")?) {
            (ResizeKind::ShortSide, Size::Side(side)) => Resize::ShortSide(side),
            (ResizeKind::ShortSide, Size::Sides(_)) => {
                return Err("transform.size: one number with resize = \"short-side\"");
            }
            (ResizeKind::Exact, Size::Side(side)) => Resize::Exact { height: side, width: side },
            (ResizeKind::Exact, Size::Sides([height, width])) => Resize::Exact { height, width },
        };
        if crop.is_none() && kind_is_short_side(kind) {
            return Err(
                "transform.crop is missing: resized by the short side, frames of different videos differ in size",
            );
        }
        Ok(Self {
            resize,
            filter: filter.ok_or("transform.filter is missing")?,
            crop,
            scale: scale.unwrap_or(1.0),
            mean: mean.unwrap_or(NO_MEAN),
            std: std.unwrap_or(NO_STD),
        })
    }
}

fn kind_is_short_side(kind: ResizeKind) -> bool {
    matches!(kind, ResizeKind::ShortSide)
}

impl From<Transform> for Keys {
    /// The first form of the recipe where it says the same, so that both forms have the same hash.
    fn from(transform: Transform) -> Self {
        let Transform { resize, filter, crop, scale, mean, std } = transform;
        let none = Self {
            short_side: None,
            resize: None,
            size: None,
            filter: None,
            crop,
            scale: None,
            mean: Some(mean),
            std: Some(std),
        };
        let (kind, size) = match resize {
            Resize::ShortSide(side) if filter == Filter::OpencvU8 && scale == 1.0 => {
                return Self { short_side: Some(side), ..none };
            }
            Resize::ShortSide(side) => (ResizeKind::ShortSide, Size::Side(side)),
            Resize::Exact { height, width } if height == width => (ResizeKind::Exact, Size::Side(height)),
            Resize::Exact { height, width } => (ResizeKind::Exact, Size::Sides([height, width])),
        };
        Self {
            resize: Some(kind),
            size: Some(size),
            filter: Some(filter),
            scale: (scale != 1.0).then_some(scale),
            mean: (mean != NO_MEAN).then_some(mean),
            std: (std != NO_STD).then_some(std),
            ..none
        }
    }
}

impl Transform {
    /// The first form of a recipe: short side and centre crop in 8 bits.
    pub const fn short_side(short_side: usize, crop: usize, mean: [f32; 3], std: [f32; 3]) -> Self {
        let (resize, filter) = (Resize::ShortSide(short_side), Filter::OpencvU8);
        Self { resize, filter, crop: Some(crop), scale: 1.0, mean, std }
    }

    /// Height and width of a transformed frame.
    pub const fn output(&self) -> (usize, usize) {
        match (self.crop, self.resize) {
            (Some(crop), _) => (crop, crop),
            (None, Resize::ShortSide(side)) => (side, side),
            (None, Resize::Exact { height, width }) => (height, width),
        }
    }

    /// The size of a transformed frame in bytes: height × width × 3 values.
    pub const fn frame_bytes(&self) -> usize {
        let (height, width) = self.output();
        let value = match self.filter {
            Filter::OpencvU8 => 1,
            Filter::TorchF32 => 4,
        };
        height * width * 3 * value
    }

    /// Checks the ranges of all values.
    ///
    /// # Errors
    /// The first key that is out of range, and its valid values.
    pub(super) fn check(&self) -> Result<(), String> {
        let least = match self.resize {
            Resize::ShortSide(side) => {
                within("transform.short_side", side, 32, 1024)?;
                side
            }
            Resize::Exact { height, width } => {
                within("transform.size", height, 32, 1024)?;
                within("transform.size", width, 32, 1024)?;
                height.min(width)
            }
        };
        if let Some(crop) = self.crop {
            within("transform.crop", crop, 32, least)?;
        }
        if !self.scale.is_finite() || self.scale <= 0.0 {
            return Err(format!("transform.scale = {}: must be above zero", self.scale));
        }
        if self.std.iter().chain(&self.mean).any(|v| !v.is_finite()) || self.std.iter().any(|v| *v <= 0.0) {
            return Err("transform.mean and transform.std: must be finite, and std above zero".into());
        }
        // The network would see infinite values, or no differences between pixels.
        let largest = |(mean, std): (&f32, &f32)| [0.0, 255.0].map(|v: f32| ((v / self.scale - mean) / std).abs());
        let largest = self.mean.iter().zip(&self.std).flat_map(largest).fold(0.0, f32::max);
        if largest.is_nan() || largest > MAX_VALUE {
            return Err(format!(
                "transform.scale, mean and std: pixels from 0 to 255 become values up to {largest:e}; the limit is {MAX_VALUE}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Transform, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn pixels_that_become_huge_values_are_refused() {
        let with = |mean: f32, std: f32, scale: f32| {
            let transform = Transform::short_side(256, 224, [mean, 0.4, 0.4], [std, 0.2, 0.2]);
            Transform { scale, ..transform }.check()
        };
        assert_eq!(with(0.4, 0.2, 255.0), Ok(()));
        for (mean, std, scale) in [(0.4, 1e-40, 255.0), (1e38, 1.0, 255.0), (0.4, 0.2, 1e-6), (0.4, 1e-5, 1.0)] {
            let error = with(mean, std, scale).unwrap_err();
            assert!(error.contains("pixels from 0 to 255 become values up to"), "{error}");
        }
    }

    const FIRST: &str = r#"{"short_side":256,"crop":224,"mean":[1.5,2.0,3.0],"std":[4.0,5.0,6.0]}"#;

    #[test]
    fn the_keys_survive_a_round_trip() {
        for text in [
            FIRST,
            r#"{"resize":"exact","size":224,"filter":"torch-f32","scale":255.0}"#,
            r#"{"resize":"exact","size":[128,171],"filter":"torch-f32","crop":112,"scale":255.0,"mean":[1.0,2.0,3.0]}"#,
            r#"{"resize":"short-side","size":256,"filter":"torch-f32","crop":224,"std":[4.0,5.0,6.0]}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn both_forms_of_the_same_transform_have_the_same_keys() {
        let second = FIRST.replace(r#""short_side":256"#, r#""resize":"short-side","size":256,"filter":"opencv-u8""#);
        assert_eq!(read(&second), read(FIRST));
        assert_eq!(serde_json::to_string(&read(&second).unwrap()).unwrap(), FIRST);
    }

    #[test]
    fn the_output_is_the_crop_or_the_exact_size() {
        let exact = read(r#"{"resize":"exact","size":[128,171],"filter":"torch-f32"}"#).unwrap();
        assert_eq!((exact.output(), exact.frame_bytes()), ((128, 171), 128 * 171 * 3 * 4));
        let first = read(FIRST).unwrap();
        assert_eq!((first.output(), first.frame_bytes()), ((224, 224), 224 * 224 * 3));
    }

    #[test]
    fn incomplete_and_contradictory_transforms_are_errors() {
        for (text, says) in [
            (r#"{"crop":224}"#, "neither `short_side` nor `resize`"),
            (r#"{"short_side":256,"crop":224}"#, "`crop`, `mean` and `std` are missing"),
            (
                r#"{"short_side":256,"resize":"exact","size":224,"filter":"opencv-u8"}"#,
                "both `resize` and `short_side`",
            ),
            (r#"{"resize":"exact","filter":"opencv-u8"}"#, "transform.size is missing"),
            (r#"{"resize":"exact","size":224}"#, "transform.filter is missing"),
            (r#"{"resize":"exact","size":"224","filter":"opencv-u8"}"#, "number of pixels, or [height, width]"),
            (r#"{"resize":"short-side","size":224,"filter":"opencv-u8"}"#, "transform.crop is missing"),
            (r#"{"resize":"short-side","size":[2,3],"filter":"opencv-u8","crop":224}"#, "one number"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
