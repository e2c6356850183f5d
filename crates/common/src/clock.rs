//! The time of the system clock, which may be wrong by thousands of years.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

/// The present time. A clock beyond the years -9999 to 9999, for which [`Timestamp::now`] panics, gives the first or the last of these
/// times.
pub fn now() -> Timestamp {
    of(SystemTime::now())
}

fn of(time: SystemTime) -> Timestamp {
    let nearest = if time < SystemTime::UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::try_from(time).unwrap_or(nearest)
}

/// A later time; the last one if there is no such time.
pub fn after(start: Timestamp, duration: Duration) -> Timestamp {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    start.checked_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_timestamp() {
        let at = |seconds: u64| of(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(1 << 31).to_string(), "2038-01-19T03:14:08Z");
        for seconds in [253_402_207_201, 253_402_300_799, 253_402_300_800, 1 << 50, 1 << 62] {
            assert_eq!(at(seconds), Timestamp::MAX, "{seconds}");
        }
        assert_eq!(of(SystemTime::UNIX_EPOCH - Duration::from_secs(1)).as_second(), -1);
        assert_eq!(of(SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 50)), Timestamp::MIN);
        assert_eq!(after(Timestamp::UNIX_EPOCH, Duration::from_secs(5)).as_second(), 5);
        for start in [Timestamp::UNIX_EPOCH, Timestamp::MAX] {
            assert_eq!(after(start, Duration::MAX), Timestamp::MAX);
        }
    }
}
