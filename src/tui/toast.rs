//! Short messages that go by themselves.

use std::time::Duration;

use crate::protocol::words::Level;

/// More at a time are not shown.
const MAX_TOASTS: usize = 4;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    /// What.
    pub text: String,
    /// How much it matters.
    pub level: Level,
    /// When it goes.
    pub until: Duration,
    /// So many of its kind, where they are counted.
    pub count: usize,
    kind: Option<&'static str>,
}

/// The messages that are shown, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Toasts(Vec<Toast>);

impl Toasts {
    /// Shows a message for as long as it takes to read it.
    pub fn show(&mut self, now: Duration, level: Level, text: impl Into<String>) {
        let text = text.into();
        if let Some(same) = self.0.iter_mut().find(|toast| toast.text == text) {
            same.until = until(now, level, &text);
            return;
        }
        self.push(Toast { until: until(now, level, &text), text, level, count: 1, kind: None });
    }

    /// Shows the last of many of a kind, and how many there were.
    pub fn count(&mut self, now: Duration, level: Level, kind: &'static str, text: String) {
        let before = self.0.iter().position(|toast| toast.kind == Some(kind)).map(|place| self.0.remove(place).count);
        let count = before.unwrap_or(0) + 1;
        self.push(Toast { until: until(now, level, &text), text, level, count, kind: Some(kind) });
    }

    fn push(&mut self, toast: Toast) {
        if self.0.len() >= MAX_TOASTS {
            self.0.remove(0);
        }
        self.0.push(toast);
    }

    /// Takes away those that have been there long enough; whether there were any.
    pub fn expire(&mut self, now: Duration) -> bool {
        let before = self.0.len();
        self.0.retain(|toast| toast.until > now);
        self.0.len() < before
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Those that are shown.
    pub fn shown(&self) -> &[Toast] {
        &self.0
    }
}

fn until(now: Duration, level: Level, text: &str) -> Duration {
    let least = if level == Level::Problem { 4_000 } else { 2_500 };
    // They lie on top of something: no longer than it takes to read the beginning.
    now + Duration::from_millis(least + 30 * text.len().min(130) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_go_by_themselves_and_do_not_pile_up() {
        let mut toasts = Toasts::default();
        let at = Duration::from_secs;
        for i in 0..9 {
            toasts.show(at(i), Level::Info, format!("{i}"));
        }
        assert_eq!(toasts.shown().len(), MAX_TOASTS);
        assert_eq!(toasts.shown()[3].text, "8");
        toasts.show(at(9), Level::Info, "8");
        assert_eq!(toasts.shown().len(), MAX_TOASTS, "the same again stays longer");
        assert!(toasts.expire(at(60)) && !toasts.expire(at(61)));
    }

    #[test]
    fn many_of_a_kind_are_counted() {
        let mut toasts = Toasts::default();
        for i in 0..300 {
            toasts.count(Duration::ZERO, Level::Problem, "failed", format!("failed v_{i}"));
        }
        assert_eq!((toasts.shown().len(), toasts.shown()[0].count), (1, 300));
        assert_eq!(toasts.shown()[0].text, "failed v_299");
    }
}
