//! Themes: a style for each role and a glyph, a word and a style for each state. A theme has 16 colours, true colours
//! or none, and Unicode or ASCII.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

use super::text;
use crate::protocol::row::{Finding, RowState};
use palette::Palette;

mod palette;

/// The purpose of a piece of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// Background and ordinary text.
    Base,
    /// Secondary text.
    Dim,
    /// Titles and column headers.
    Title,
    Border,
    /// The border of the focused pane.
    Focus,
    Key,
    /// A key that is unavailable now.
    KeyOff,
    /// The row under the cursor.
    Selection,
    Mark,
    /// A filter and its matches.
    Match,
    /// The filled part of a gauge.
    Gauge,
    /// The empty part of a gauge.
    GaugeRest,
    Chart,
    Good,
    Warn,
    Error,
    /// In progress.
    Active,
}

impl Role {
    #[cfg(test)]
    pub(super) const ALL: [Self; 17] = [
        Self::Base,
        Self::Dim,
        Self::Title,
        Self::Border,
        Self::Focus,
        Self::Key,
        Self::KeyOff,
        Self::Selection,
        Self::Mark,
        Self::Match,
        Self::Gauge,
        Self::GaugeRest,
        Self::Chart,
        Self::Good,
        Self::Warn,
        Self::Error,
        Self::Active,
    ];
}

/// How a state or a finding is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StateStyle {
    /// One column wide and unique.
    pub glyph: &'static str,
    pub word: &'static str,
    pub style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colours {
    /// Bold, dim, underlined and reversed text only.
    None,
    /// The 16 colours and the background of the terminal.
    Terminal,
    /// True colours with a background of their own.
    True(&'static Palette),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Theme {
    colours: Colours,
    ascii: bool,
}

impl Default for Theme {
    fn default() -> Self {
        Self { colours: Colours::Terminal, ascii: false }
    }
}

impl Theme {
    /// `None` if there is no theme of this name; [`crate::config::THEMES`] has the names.
    pub(super) fn named(name: &str) -> Option<Self> {
        let colours = match name {
            "terminal" => Colours::Terminal,
            "none" => Colours::None,
            _ => Colours::True(palette::ALL.iter().find(|palette| palette.name == name)?),
        };
        Some(Self { colours, ascii: false })
    }

    /// The name that [`Theme::named`] takes.
    pub(super) fn name(&self) -> &'static str {
        match self.colours {
            Colours::Terminal => "terminal",
            Colours::None => "none",
            Colours::True(palette) => palette.name,
        }
    }

    /// This theme with the colours of another one; unchanged if there is none of this name.
    pub(super) fn with_colours_of(self, name: &str) -> Self {
        Self::named(name).map_or(self, |theme| theme.with_ascii(self.ascii))
    }

    /// Removes what the environment does not allow: colours with `NO_COLOR` or on a monochrome terminal, and Unicode
    /// with a locale other than UTF-8 or on the Linux console.
    pub(super) fn adapted(self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let term = variable("TERM").unwrap_or_default();
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let utf8 = locale.is_none_or(|name| {
            let name = name.to_ascii_lowercase();
            name.contains("utf-8") || name.contains("utf8")
        });
        let mono = set("NO_COLOR").is_some() || matches!(term.as_str(), "dumb" | "vt100" | "vt220");
        Self {
            colours: if mono { Colours::None } else { self.colours },
            ascii: self.ascii || !utf8 || matches!(term.as_str(), "linux" | "dumb" | "vt100"),
        }
    }

    pub(super) fn with_ascii(self, ascii: bool) -> Self {
        Self { ascii, ..self }
    }

    pub(super) fn is_ascii(&self) -> bool {
        self.ascii
    }

    pub(super) fn is_mono(&self) -> bool {
        self.colours == Colours::None
    }

    pub(super) fn ellipsis(&self) -> &'static str {
        if self.ascii { "..." } else { "…" }
    }

    /// The sign of a marked row.
    pub(super) fn mark(&self) -> &'static str {
        if self.ascii { "*" } else { "●" }
    }

    /// The sign of a marked row under the cursor.
    pub(super) fn mark_at_cursor(&self) -> &'static str {
        if self.ascii { "@" } else { "◉" }
    }

    /// Separates parts of a line, with spaces.
    pub(super) fn separator(&self) -> &'static str {
        if self.ascii { " - " } else { " · " }
    }

    /// Marks the line of the cursor, which must be visible without colours.
    pub(super) fn pointer(&self) -> &'static str {
        if self.ascii { ">" } else { "▸" }
    }

    pub(super) fn unknown(&self) -> &'static str {
        if self.ascii { "-" } else { text::UNKNOWN }
    }

    pub(super) fn border(&self) -> border::Set<'static> {
        const ASCII: border::Set<'static> = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        if self.ascii { ASCII } else { border::ROUNDED }
    }

    /// The style of a role, to be applied on top of [`Role::Base`].
    pub(super) fn style(&self, role: Role) -> Style {
        use Modifier as M;
        let style = Style::new();
        // Without colours, the weight alone tells roles apart.
        let weight = match role {
            Role::Title | Role::Focus | Role::Key | Role::Mark | Role::Error => M::BOLD,
            Role::Match => M::UNDERLINED,
            Role::Dim | Role::KeyOff | Role::GaugeRest | Role::Border => M::DIM,
            Role::Selection => M::REVERSED,
            _ => M::empty(),
        };
        match self.colours {
            Colours::None => style.add_modifier(if role == Role::Warn { M::BOLD } else { weight }),
            // Bright colours, black and white are left out: each of them is invisible on some background.
            Colours::Terminal => match role {
                Role::Base | Role::Dim | Role::Title | Role::KeyOff | Role::GaugeRest | Role::Border => style,
                Role::Selection => style,
                Role::Focus | Role::Key | Role::Gauge | Role::Chart | Role::Active => style.fg(Color::Cyan),
                Role::Mark | Role::Match => style.fg(Color::Magenta),
                Role::Good => style.fg(Color::Green),
                Role::Warn => style.fg(Color::Yellow),
                Role::Error => style.fg(Color::Red),
            }
            .add_modifier(weight),
            // The palettes have greys of their own and do not need dim or reversed.
            Colours::True(palette) => palette.style(role).add_modifier(weight.difference(M::DIM.union(M::REVERSED))),
        }
    }

    /// The style of what may be out of date, to be applied on top of all others.
    pub(super) fn stale(&self) -> Style {
        let dim = self.style(Role::Dim);
        Style { fg: dim.fg.or(Some(Color::Reset)), ..dim }
    }

    pub(super) fn state(&self, state: RowState) -> StateStyle {
        let (role, glyph, plain) = match state {
            RowState::Running => (Role::Active, "▶", ">"),
            RowState::Failed => (Role::Error, "✘", "x"),
            RowState::Missing => (Role::Mark, "?", "?"),
            RowState::Refused => (Role::Warn, "⊖", "<"),
            RowState::Stale => (Role::Warn, "↻", "o"),
            RowState::Queued => (Role::Base, "∘", ":"),
            RowState::Done => (Role::Good, "✔", "+"),
            RowState::Excluded => (Role::Dim, "⊘", "/"),
            RowState::LeftOut => (Role::Dim, "⋯", "_"),
            RowState::Ignored => (Role::Dim, "·", "."),
        };
        // In a list of thousands of rows, bold is reserved for the cursor and the header.
        let style = self.style(role);
        let style = if state == RowState::Missing { style.remove_modifier(Modifier::BOLD) } else { style };
        StateStyle { glyph: if self.ascii { plain } else { glyph }, word: state.word(), style }
    }

    /// A video in progress of a paused run.
    pub(super) fn paused(&self) -> StateStyle {
        StateStyle { glyph: if self.ascii { "p" } else { "‖" }, word: "paused", style: self.style(Role::Warn) }
    }

    pub(super) fn finding(&self, finding: Finding) -> StateStyle {
        let (role, glyph, plain) = match finding {
            Finding::Corrupt => (Role::Error, "▲", "!"),
            Finding::Damaged => (Role::Error, "✕", "%"),
            Finding::WrongDuration => (Role::Warn, "≠", "#"),
            Finding::Duplicate => (Role::Warn, "≡", "="),
            Finding::Degraded => (Role::Warn, "≈", "~"),
            Finding::Unlisted => (Role::Dim, "±", "*"),
            Finding::Unchecked => (Role::Dim, "◌", "-"),
        };
        StateStyle { glyph: if self.ascii { plain } else { glyph }, word: finding.word(), style: self.style(role) }
    }

    /// The style of the n-th of several series, such as the classes of a timeline. From [`SERIES`] on it is dim.
    pub(super) fn series(&self, index: usize) -> Style {
        match self.colours {
            _ if index >= SERIES => self.style(Role::Dim),
            Colours::None => Style::new(),
            Colours::Terminal => {
                const COLOURS: [Color; 6] =
                    [Color::Cyan, Color::Green, Color::Yellow, Color::Magenta, Color::Blue, Color::Red];
                let style = Style::new().fg(COLOURS.get(index % COLOURS.len()).copied().unwrap_or(Color::Reset));
                if index < COLOURS.len() { style } else { style.add_modifier(Modifier::BOLD) }
            }
            Colours::True(palette) => Style::new().fg(palette.series(index)),
        }
    }

    /// The colour of a value of 0 to 255 in a heat map; `None` if characters must show it.
    pub(super) fn heat(&self, value: u8) -> Option<Color> {
        match self.colours {
            Colours::True(palette) if !self.ascii => Some(palette.heat(value)),
            _ => None,
        }
    }

    /// Removes the colours and characters that this theme does not allow. It is the last step of a frame.
    pub(super) fn downgrade(&self, buffer: &mut Buffer) {
        if !self.ascii && !self.is_mono() {
            return;
        }
        for cell in &mut buffer.content {
            if self.is_mono() {
                (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
                cell.underline_color = Color::Reset;
            }
            if self.ascii && !cell.symbol().is_ascii() {
                let plain = text::to_ascii(cell.symbol()).into_owned();
                cell.set_symbol(&plain);
            }
        }
    }
}

/// The number of series that have a style of their own.
pub(super) const SERIES: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ratatui::layout::Rect;

    use super::*;
    use crate::config::THEMES;

    fn all() -> Vec<Theme> {
        assert_eq!(Theme::default().name(), THEMES[0]);
        assert_eq!(palette::ALL.map(|palette| palette.name), THEMES[2..]);
        let named = THEMES.into_iter().map(|name| Theme::named(name).unwrap());
        named.flat_map(|theme| [theme, theme.with_ascii(true)]).collect()
    }

    #[test]
    fn states_are_distinguishable_without_colour() {
        for theme in all() {
            let states = RowState::ALL.map(|state| theme.state(state));
            let styles = [&states[..], &Finding::ALL.map(|finding| theme.finding(finding))].concat();
            assert_eq!(styles.iter().map(|style| style.glyph).collect::<HashSet<_>>().len(), styles.len());
            assert!(styles.iter().all(|style| text::width(style.glyph) == 1 && !style.word.is_empty()));
            assert!(!theme.is_ascii() || styles.iter().all(|style| style.glyph.is_ascii()));
        }
    }

    #[test]
    fn the_colourless_theme_sets_no_colour() {
        for theme in [Theme::named("none").unwrap(), Theme::default().adapted(env(&[("NO_COLOR", "1")]))] {
            assert!(theme.is_mono() && theme.heat(9).is_none());
            let series = (0..10).map(|index| theme.series(index));
            let states = RowState::ALL.map(|state| theme.state(state).style);
            for style in Role::ALL.map(|role| theme.style(role)).into_iter().chain(series).chain(states) {
                assert_eq!((style.fg, style.bg, style.underline_color), (None, None, None));
            }
            let distinct = [Role::Base, Role::Dim, Role::Selection, Role::Match, Role::Error].map(|r| theme.style(r));
            assert_eq!(distinct.iter().collect::<HashSet<_>>().len(), distinct.len());
        }
    }

    #[test]
    fn the_default_uses_only_colours_visible_on_any_background() {
        let theme = Theme::default();
        let styles = Role::ALL.map(|role| theme.style(role)).into_iter().chain((0..9).map(|index| theme.series(index)));
        for style in styles.chain(RowState::ALL.map(|state| theme.state(state).style)) {
            assert_eq!(style.bg, None);
            let fine = [Color::Red, Color::Green, Color::Yellow, Color::Blue, Color::Magenta, Color::Cyan];
            assert!(style.fg.is_none_or(|colour| fine.contains(&colour)), "{style:?}");
        }
    }

    fn env(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_environment_limits_the_theme() {
        let fitted = |pairs| {
            let theme = Theme::default().adapted(env(pairs));
            (theme.is_mono(), theme.is_ascii())
        };
        assert_eq!(fitted(&[("TERM", "xterm-256color"), ("LANG", "de_DE.UTF-8")]), (false, false));
        assert_eq!(fitted(&[]), (false, false));
        assert_eq!(fitted(&[("NO_COLOR", ""), ("LANG", "C.utf8")]), (false, false));
        assert_eq!(fitted(&[("NO_COLOR", "1")]), (true, false));
        assert_eq!(fitted(&[("TERM", "dumb")]), (true, true));
        assert_eq!(fitted(&[("TERM", "linux")]), (false, true));
        assert_eq!(fitted(&[("LANG", "C")]), (false, true));
        assert_eq!(fitted(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]), (false, true));
        assert_eq!(fitted(&[("LC_ALL", ""), ("LANG", "en_US.UTF-8")]), (false, false));
    }

    #[test]
    fn downgraded_frames_have_no_colours_and_only_ascii() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, "▶ 日é …", Style::new().fg(Color::Red).bg(Color::Blue));
        let theme = Theme::named("none").unwrap().with_ascii(true);
        theme.downgrade(&mut buffer);
        assert!(buffer.content.iter().all(|cell| cell.symbol().is_ascii()));
        assert!(buffer.content.iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset)));
        assert_eq!(buffer.cell((0, 0)).unwrap().symbol(), ">");
        assert_eq!(buffer.cell((2, 0)).unwrap().symbol(), "??");
    }
}
