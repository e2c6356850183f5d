//! Short messages that disappear by themselves.

use std::time::Duration;

use crate::protocol::words::Level;

/// The number of messages shown at a time.
const MAX_TOASTS: usize = 4;

/// The kind of answers to keys.
const ANSWER: &str = "answer";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Toast {
    pub text: String,
    pub level: Level,
    /// The time at which it disappears.
    pub until: Duration,
    /// The number of messages of the same kind, of which this is the last.
    pub count: usize,
    kind: Option<&'static str>,
}

/// The visible messages, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Toasts(Vec<Toast>);

impl Toasts {
    /// Shows a message for as long as it takes to read.
    pub(super) fn show(&mut self, now: Duration, level: Level, text: impl Into<String>) {
        let text = text.into();
        if let Some(same) = self.0.iter_mut().find(|toast| toast.text == text) {
            same.until = until(now, level, &text);
            return;
        }
        self.push(Toast { until: until(now, level, &text), text, level, count: 1, kind: None });
    }

    /// Shows the answer to a key in place of the answer to the key before.
    pub(super) fn answer(&mut self, now: Duration, text: impl Into<String>) {
        let text = text.into();
        self.0.retain(|toast| toast.kind != Some(ANSWER) && toast.text != text);
        self.push(Toast {
            until: until(now, Level::Info, &text),
            text,
            level: Level::Info,
            count: 1,
            kind: Some(ANSWER),
        });
    }

    /// Removes the answer to a key: something newer says what has come of it.
    pub(super) fn end_answer(&mut self) {
        self.0.retain(|toast| toast.kind != Some(ANSWER));
    }

    /// Shows a message in place of the previous one of its kind and counts them.
    pub(super) fn count(&mut self, now: Duration, level: Level, kind: &'static str, text: String) {
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

    /// Removes expired messages; true if there were any.
    pub(super) fn expire(&mut self, now: Duration) -> bool {
        let before = self.0.len();
        self.0.retain(|toast| toast.until > now);
        self.0.len() < before
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn shown(&self) -> &[Toast] {
        &self.0
    }
}

fn until(now: Duration, level: Level, text: &str) -> Duration {
    let least = if level == Level::Problem { 4_000 } else { 2_500 };
    // Toasts cover content, so they stay no longer than it takes to read their beginning.
    now + Duration::from_millis(least + 30 * text.len().min(130) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toasts_expire_and_are_limited_in_number() {
        let mut toasts = Toasts::default();
        let at = Duration::from_secs;
        for i in 0..9 {
            toasts.show(at(i), Level::Info, format!("{i}"));
        }
        assert_eq!(toasts.shown().len(), MAX_TOASTS);
        assert_eq!(toasts.shown()[3].text, "8");
        toasts.show(at(9), Level::Info, "8");
        assert_eq!(toasts.shown().len(), MAX_TOASTS, "a repeated message is shown once");
        assert!(toasts.expire(at(60)) && !toasts.expire(at(61)));
    }

    #[test]
    fn an_answer_takes_the_place_of_the_one_before() {
        let mut toasts = Toasts::default();
        toasts.show(Duration::ZERO, Level::Info, "3 videos queued again");
        toasts.answer(Duration::ZERO, "no run is active");
        toasts.answer(Duration::ZERO, "exporting pkl");
        let texts = |toasts: &Toasts| toasts.shown().iter().map(|toast| toast.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&toasts), ["3 videos queued again", "exporting pkl"]);
        toasts.end_answer();
        assert_eq!(texts(&toasts), ["3 videos queued again"]);
    }

    #[test]
    fn toasts_of_one_kind_are_counted() {
        let mut toasts = Toasts::default();
        for i in 0..300 {
            toasts.count(Duration::ZERO, Level::Problem, "failed", format!("failed v_{i}"));
        }
        assert_eq!((toasts.shown().len(), toasts.shown()[0].count), (1, 300));
        assert_eq!(toasts.shown()[0].text, "failed v_299");
    }
}
