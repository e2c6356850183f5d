//! The integers with which swscale converts one matrix and range of YUV to RGB.

/// The integers for one matrix and range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coefficients {
    // Each fits in 16 bits.
    pub(crate) y_offset: i32,
    pub(crate) y: i32,
    pub(crate) v_to_r: i32,
    pub(crate) u_to_g: i32,
    pub(crate) v_to_g: i32,
    pub(crate) u_to_b: i32,
}

impl Coefficients {
    /// Derives them from the four numbers of swscale's table for a matrix (Cr to R, Cb to B, Cb to G, Cr to G, each times
    /// 65536) and whether luma uses the full range.
    pub fn new(table: [i32; 4], full_range: bool) -> Self {
        let mut chroma = table.map(i64::from);
        let (mut luma, mut offset) = (1_i64 << 16, 0);
        if full_range {
            chroma = chroma.map(|c| c * 224 / 255);
        } else {
            luma = luma * 255 / 219;
            offset = 16_i64 << 16;
        }
        let round = |value: i64| ((value + (1 << 15)) >> 16).clamp(-0x8000, 0x7fff) as i32;
        let [cr_r, cb_b, cb_g, cr_g] = chroma;
        Self {
            y_offset: round(offset << 3),
            y: round(luma << 13),
            v_to_r: round(cr_r << 13),
            u_to_g: round(-cb_g << 13),
            v_to_g: round(-cr_g << 13),
            u_to_b: round(cb_b << 13),
        }
    }

    /// What one chroma sample adds to red, green and blue.
    pub(crate) fn chroma(&self, u: u8, v: u8) -> [i32; 3] {
        let u = (i32::from(u) << 3) - 1024;
        let v = (i32::from(v) << 3) - 1024;
        [(v * self.v_to_r) >> 16, ((u * self.u_to_g) >> 16) + ((v * self.v_to_g) >> 16), (u * self.u_to_b) >> 16]
    }

    /// The RGB pixel of one luma sample and the result of [`Self::chroma`].
    pub(crate) fn pixel(&self, luma: u8, chroma: [i32; 3]) -> [u8; 3] {
        let y = (((i32::from(luma) << 3) - self.y_offset) * self.y) >> 16;
        chroma.map(|c| (y + c).clamp(0, 255) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_match_swscale() {
        let bt601 = Coefficients::new([104597, 132201, 25675, 53279], false);
        assert_eq!((bt601.y_offset, bt601.y), (128, 9539));
        assert_eq!((bt601.v_to_r, bt601.u_to_g, bt601.v_to_g, bt601.u_to_b), (13075, -3209, -6660, 16525));
        let full = Coefficients::new([104597, 132201, 25675, 53279], true);
        assert_eq!((full.y_offset, full.y), (0, 8192));
        assert_eq!((full.v_to_r, full.u_to_g, full.v_to_g, full.u_to_b), (11485, -2819, -5850, 14516));
        let bt709 = Coefficients::new([117489, 138438, 13975, 34925], false);
        assert_eq!((bt709.v_to_r, bt709.u_to_g, bt709.v_to_g, bt709.u_to_b), (14686, -1747, -4366, 17305));
    }
}
