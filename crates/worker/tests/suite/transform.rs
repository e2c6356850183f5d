//! The 32-bit resize against libtorch's own.

use reeldeck_common::recipe::{Filter, Resize, Transform};
use reeldeck_model::tch::{Kind, Tensor};
use reeldeck_video::geometry::Geometry;
use reeldeck_video::resize::{Resizer, RgbPicture};

/// Noise, the same on every machine.
fn picture(width: usize, height: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..width * height * 3).map(|_| next()).collect()
}

#[test]
fn a_frame_is_resized_as_libtorch_resizes_it() {
    for (width, height) in [(340, 256), (1920, 1080), (144, 256), (224, 224), (320, 240), (97, 31), (1, 1)] {
        for (out_width, out_height) in [(224, 224), (171, 128)] {
            let resize = Resize::Exact { height: out_height, width: out_width };
            let first = Transform::short_side(224, 224, [0.0; 3], [1.0; 3]);
            let transform = Transform { resize, filter: Filter::TorchF32, crop: None, ..first };
            let geometry = Geometry::new(width, height, &transform);
            let pixels = picture(width, height);
            let mut bytes = vec![0; transform.frame_bytes()];
            let mut rows = RgbPicture { data: &pixels, stride: width * 3 };
            Resizer::new(geometry, Filter::TorchF32).run(&mut rows, &mut bytes);
            let ours: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect();

            let whole = Tensor::from_slice(&pixels).view([1, height as i64, width as i64, 3]).permute([0, 3, 1, 2]);
            let size = [out_height as i64, out_width as i64];
            let theirs = whole.to_kind(Kind::Float).upsample_bilinear2d(size, false, None, None);
            let theirs = Vec::<f32>::try_from(theirs.permute([0, 2, 3, 1]).contiguous().view([-1])).unwrap();
            let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Positions are rounded to 32 bits: by half a unit of the side's last place, in libtorch and here.
            let bound = 255.0 * width.max(height) as f32 * f32::EPSILON * 2.0;
            assert!(worst <= bound, "{width}×{height} to {out_width}×{out_height}: {worst}");
        }
    }
}
