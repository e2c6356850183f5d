//! Numbers for people: counts, sizes, times, rates, percentages.

use super::UNKNOWN;

/// `18,204`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 video`, `18,204 videos`.
pub(crate) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// `812 GB`, `41.2 MB`, `999 B`: powers of ten, as disks are sold and `ls --si` writes.
pub(crate) fn bytes(n: u64) -> String {
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64;
    for unit in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        value /= 1000.0;
        // A value that would round up to 1000 belongs to the next unit.
        if value < 99.95 {
            return format!("{value:.1} {unit}");
        }
        if value < 999.5 || unit == "EB" {
            return format!("{value:.0} {unit}");
        }
    }
    UNKNOWN.into()
}

/// `38/141 GB`: two sizes in the unit of the second.
pub(crate) fn bytes_of(used: u64, all: u64) -> String {
    let mut scale = 1.0;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        if all as f64 / scale < 999.5 {
            break;
        }
        (scale, unit) = (scale * 1000.0, next);
    }
    let [used, all] = [used, all].map(|size| match size as f64 / scale {
        few if few < 9.95 && unit != "B" => format!("{few:.1}"),
        many => format!("{many:.0}"),
    });
    format!("{used}/{all} {unit}")
}

/// A position or length in a video: `2:31`, `1:02:03`.
pub(crate) fn clock(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return UNKNOWN.into();
    }
    let s = seconds.round().min(1e12) as u64;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        hours => format!("{hours}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

/// A rough duration in one unit: `20 s`, `3 m`, `45 m`, `2 h`, `3 d`.
pub(crate) fn about(seconds: f64) -> String {
    let in_steps = |unit: f64, step: f64, name: &str| format!("{:.0} {name}", (seconds / unit / step).round() * step);
    match seconds {
        ..55.0 => format!("{:.0} s", (seconds / 10.0).round().max(1.0) * 10.0),
        ..1_170.0 => in_steps(60.0, 1.0, "m"),
        ..5_250.0 => in_steps(60.0, 5.0, "m"),
        ..171_000.0 => in_steps(3_600.0, 1.0, "h"),
        _ => in_steps(86_400.0, 1.0, "d"),
    }
}

/// Three significant digits: `0.12`, `9.2`, `812`, `1,204`.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return UNKNOWN.into();
    }
    match value.abs() {
        0.0 => "0".into(),
        v if v < 0.995 => format!("{value:.2}"),
        v if v < 99.95 => format!("{value:.1}"),
        v if v < 999.5 => format!("{value:.0}"),
        _ if value < 0.0 => format!("-{}", count(value.abs().round() as u64)),
        _ => count(value.round() as u64),
    }
}

/// `812 clips/s`, or `59 videos/h` for a rate below 0.1 per second.
pub(crate) fn rate(value: Option<f64>, unit: &str) -> String {
    match value {
        None => format!("{UNKNOWN} {unit}/s"),
        Some(value) if value > 0.0 && value < 0.1 => format!("{} {unit}/h", number(value * 3600.0)),
        Some(value) => format!("{} {unit}/s", number(value)),
    }
}

/// `41 %` of a value of 0 to 100; `n/a` if it is unknown. Values below 100 never round up to `100 %`.
pub(crate) fn percent(value: Option<f64>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else { return "n/a".into() };
    let rounded = match value {
        v if (99.0..100.0).contains(&v) => 99.0,
        v => v.round(),
    };
    // Turns negative zero into zero.
    format!("{:.0} %", rounded + 0.0)
}

/// `done` of `all` in percent; `None` if `all` is 0.
pub(crate) fn share(done: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| done as f64 * 100.0 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_a_suitable_unit() {
        let shown = [0, 999, 1000, 41_234_567, 99_949_999, 99_950_000, 999_499_999, 999_500_000, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "41.2 MB", "99.9 MB", "100 MB", "999 MB", "1.0 GB", "18.4 EB"]);
        assert_eq!(bytes_of(38_400_000_000, 141_000_000_000), "38/141 GB");
        assert_eq!(bytes_of(500_000_000, 8_000_000_000), "0.5/8.0 GB");
        assert_eq!(bytes_of(1_240_000_000, 25_300_000_000), "1.2/25 GB");
        assert_eq!(bytes_of(0, 0), "0/0 B");
    }

    #[test]
    fn positions_are_shown_as_on_a_clock() {
        assert_eq!([0.0, 151.2, 3723.0, -1.0, f64::NAN].map(clock), ["0:00", "2:31", "1:02:03", "–", "–"]);
    }

    #[test]
    fn a_guess_of_a_time_has_one_unit() {
        let shown = [1.0, 22.0, 54.0, 56.0, 181.0, 1_160.0, 1_180.0, 5_200.0, 5_300.0, 90_000.0, 200_000.0].map(about);
        assert_eq!(shown, ["10 s", "20 s", "50 s", "1 m", "3 m", "19 m", "20 m", "85 m", "1 h", "25 h", "2 d"]);
    }

    #[test]
    fn numbers_have_units_and_unknown_values_a_dash() {
        assert_eq!(
            [0, 12, 999, 1000, 18_204, 1_000_000].map(count),
            ["0", "12", "999", "1,000", "18,204", "1,000,000"]
        );
        assert_eq!(plural(1, "video", "videos"), "1 video");
        assert_eq!([0.0, 0.123, 9.23, 812.4, 1204.0].map(number), ["0", "0.12", "9.2", "812", "1,204"]);
        assert_eq!(rate(Some(9.23), "videos"), "9.2 videos/s");
        assert_eq!(rate(Some(0.02), "videos"), "72.0 videos/h");
        assert_eq!((rate(Some(0.0), "clips").as_str(), rate(None, "clips").as_str()), ("0 clips/s", "– clips/s"));
        let shown = [None, Some(-0.2), Some(40.6), Some(99.99), Some(100.0), Some(f64::NAN)].map(percent);
        assert_eq!(shown, ["n/a", "0 %", "41 %", "99 %", "100 %", "n/a"]);
        assert_eq!((share(1, 4), share(0, 0)), (Some(25.0), None));
    }
}
