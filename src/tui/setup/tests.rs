//! The form from the first key to the written file, without a disk, and its appearance.

use ratatui::crossterm::event::{KeyCode, KeyModifiers};

use super::check::{CheckRequest, CheckResult};
use super::*;
use crate::tui::tests::render;
use crate::tui::theme::Theme;

fn values() -> Values {
    Values {
        root: "data".into(),
        out: "out".into(),
        checkpoint: String::new(),
        manifest: String::new(),
        devices: "cpu".into(),
        layout: "any".into(),
        ..Values::default()
    }
}

pub(super) fn fresh() -> (Setup, Vec<Effect>) {
    Setup::new(Keymap::default(), "/home/me/work".into(), Some("/home/me".into()), values())
}

fn verdict(field: Field, values: &Values) -> Verdict {
    match field {
        Field::Root if values.root == "data/hacs" => Verdict::Fine("200 class folders, 49,592 videos".into()),
        Field::Root if values.root == "data/deep" => Verdict::Unclear("9 videos, and it is not clear".into()),
        Field::Root => Verdict::Wrong("no such file or folder".into()),
        Field::Out => Verdict::Fine("will be created; 812 GB free (about 280 MB per 1,000 videos)".into()),
        Field::Checkpoint if values.checkpoint == "far" => Verdict::Warn(
            "will be downloaded from download.example.org; without internet, name a .pth file, or type seeded for a trial".into(),
        ),
        Field::Checkpoint => Verdict::Warn("none yet: scan and check work; extraction needs one".into()),
        Field::Manifest => Verdict::Fine("none: the files on disk are taken as complete".into()),
        Field::Devices => Verdict::Fine("1 worker on the CPU, 2 cores".into()),
        Field::Layout if values.layout == "any" => Verdict::Fine("videos at any depth".into()),
        Field::Layout => Verdict::Wrong("write any, classes, flat, split or auto".into()),
    }
}

/// Answers all checks, including those that follow from answers. Returns the other effects.
pub(super) fn settle(setup: &mut Setup, effects: Vec<Effect>) -> Vec<Effect> {
    let (mut left, mut others) = (effects, vec![]);
    while let Some(effect) = left.pop() {
        match effect {
            Effect::Check(request) => {
                let verdict = verdict(request.field, &request.values);
                left.extend(setup.check_done(CheckResult { field: request.field, verdict, manifest: None }));
            }
            other => others.push(other),
        }
    }
    others
}

pub(super) fn press(setup: &mut Setup, code: KeyCode) -> Vec<Effect> {
    setup.key(KeyEvent::new(code, KeyModifiers::NONE))
}

pub(super) fn control(setup: &mut Setup, c: char) -> Vec<Effect> {
    setup.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL))
}

pub(super) fn requests<'a>(effects: &'a [Effect]) -> Vec<(Field, &'a CheckRequest)> {
    let request = |effect: &'a Effect| match effect {
        Effect::Check(request) => Some((request.field, &**request)),
        _ => None,
    };
    effects.iter().filter_map(request).collect()
}

#[test]
fn fields_are_checked_at_start_and_after_changes() {
    let (mut setup, effects) = fresh();
    assert_eq!(requests(&effects).iter().map(|(name, _)| *name).collect::<Vec<_>>(), Field::ALWAYS);
    assert_eq!(settle(&mut setup, effects), []);
    assert!(matches!(setup.verdict(Field::Root), Some(Verdict::Wrong(_))));
    // A change during a check starts one further check after it.
    press(&mut setup, KeyCode::End);
    let first = press(&mut setup, KeyCode::Char('/'));
    assert_eq!(
        requests(&first).iter().map(|(name, q)| (*name, q.values.root.as_str())).collect::<Vec<_>>(),
        [(Field::Root, "data/"), (Field::Out, "data/")]
    );
    assert_eq!(press(&mut setup, KeyCode::Char('h')), []);
    assert_eq!(setup.paste("acs\n"), []);
    let old = CheckResult { field: Field::Root, verdict: Verdict::Fine("of an older text".into()), manifest: None };
    let again = setup.check_done(old);
    assert_eq!(requests(&again)[0].1.values.root, "data/hacs");
    assert!(matches!(setup.verdict(Field::Root), Some(Verdict::Wrong(_))), "a result for an older text is ignored");
    settle(&mut setup, again);
    assert!(matches!(setup.verdict(Field::Root), Some(Verdict::Fine(_))));
}

/// Continues the text of the focused field.
pub(super) fn append(setup: &mut Setup, text: &str) -> Vec<Effect> {
    assert_eq!(press(setup, KeyCode::End), []);
    setup.paste(text)
}

fn fill_in(setup: &mut Setup, effects: Vec<Effect>) {
    settle(setup, effects);
    let effects = append(setup, "/hacs");
    settle(setup, effects);
}

#[test]
fn the_button_writes_the_values() {
    let (mut setup, effects) = fresh();
    fill_in(&mut setup, effects);
    for _ in 0..5 {
        assert_eq!(press(&mut setup, KeyCode::Enter), []);
    }
    assert_eq!(setup.focused(), None);
    let effects = press(&mut setup, KeyCode::Enter);
    let [Effect::Write(order)] = effects.as_slice() else { panic!("{effects:?}") };
    let root = order.changes.iter().find(|change| change.key == "root").unwrap();
    assert_eq!((root.value.as_str(), order.path.as_path()), ("data/hacs", Path::new("/home/me/work/config.toml")));
    // No second write starts while one is running.
    assert_eq!(press(&mut setup, KeyCode::Enter), []);
    assert_eq!(press(&mut setup, KeyCode::Esc), []);
    assert_eq!(
        setup.written(Ok("/home/me/work/config.toml".into())),
        [Effect::Done("/home/me/work/config.toml".into())]
    );
}

#[test]
fn a_failed_write_is_reported_and_can_be_repeated() {
    let (mut setup, effects) = fresh();
    fill_in(&mut setup, effects);
    assert_eq!(control(&mut setup, 's').len(), 1);
    assert_eq!(setup.written(Err("failed to write config.toml: Permission denied".into())), []);
    assert!(text_of(&setup, 80, 24).contains("Permission denied"));
    assert_eq!(control(&mut setup, 's').len(), 1);
}

#[test]
fn writing_focuses_the_first_invalid_field() {
    let (mut setup, effects) = fresh();
    settle(&mut setup, effects);
    setup.go(3);
    assert_eq!(control(&mut setup, 's'), []);
    assert_eq!(setup.focused(), Some(Field::Root));
    assert!(text_of(&setup, 80, 24).contains("not saved: fix the dataset folder first"));
}

#[test]
fn writing_waits_for_running_checks() {
    let (mut setup, effects) = fresh();
    fill_in(&mut setup, effects);
    let checks = setup.paste("x");
    assert_eq!(control(&mut setup, 's'), []);
    assert!(text_of(&setup, 80, 24).contains("as soon as all checks have finished"));
    // An edit cancels the pending write.
    assert_eq!(press(&mut setup, KeyCode::Backspace), []);
    assert_eq!(settle(&mut setup, checks), []);
    let checks = setup.paste("/");
    control(&mut setup, 's');
    let others = settle(&mut setup, checks);
    assert!(others.is_empty(), "the dataset folder is wrong: {others:?}");
    let mut checks = press(&mut setup, KeyCode::Backspace);
    checks.extend(control(&mut setup, 's'));
    assert!(matches!(settle(&mut setup, checks).as_slice(), [Effect::Write(_)]));
}

fn found(typed: &str, head: &str, names: &[&str]) -> Completions {
    let names = names.iter().map(ToString::to_string).collect();
    Completions { field: Field::Root, typed: typed.into(), head: head.into(), names }
}

#[test]
fn tab_completes_the_common_prefix() {
    let (mut setup, effects) = fresh();
    settle(&mut setup, effects);
    control(&mut setup, 'u');
    setup.paste("da");
    let effects = press(&mut setup, KeyCode::Tab);
    let [Effect::Complete(wanted)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((wanted.field, wanted.typed.as_str()), (Field::Root, "da"));
    setup.completed(&found("da", "", &["data/", "data_old/"]));
    assert_eq!(setup.values().root, "data");
    let suggestions = text_of(&setup, 80, 24);
    assert!(suggestions.contains("data/  data_old/"), "{suggestions}");
    setup.paste("/");
    // Suggestions for an older text are ignored.
    assert_eq!(setup.completed(&found("data", "", &["data_new/"])), []);
    setup.completed(&found("data/", "data/", &["hacs/"]));
    assert_eq!(setup.values().root, "data/hacs/");
    setup.completed(&found("data/hacs/", "data/hacs/", &[]));
    assert!(text_of(&setup, 80, 24).contains("no match"));
    // Without anything to complete, Tab moves to the next field.
    setup.go(4);
    press(&mut setup, KeyCode::Tab);
    assert_eq!(setup.focused(), None);
    press(&mut setup, KeyCode::BackTab);
    assert_eq!(setup.focused(), Some(Field::Devices));
}

#[test]
fn a_long_verdict_does_not_hide_the_explanation() {
    let (mut setup, effects) = fresh();
    settle(&mut setup, effects);
    while setup.focused() != Some(Field::Checkpoint) {
        press(&mut setup, KeyCode::Down);
    }
    let checks = setup.paste("far");
    settle(&mut setup, checks);
    let text = text_of(&setup, 80, 24);
    assert!(text.contains("type seeded for a trial") && text.contains("`seeded` (random)"), "{text}");
}

#[test]
fn leaving_an_edited_form_needs_a_second_key_press() {
    let (mut setup, _) = fresh();
    assert_eq!(press(&mut setup, KeyCode::Esc), [Effect::Quit]);
    press(&mut setup, KeyCode::Char('x'));
    assert_eq!(press(&mut setup, KeyCode::Esc), []);
    assert!(text_of(&setup, 80, 24).contains("Unsaved changes: "));
    press(&mut setup, KeyCode::Down);
    assert_eq!(press(&mut setup, KeyCode::Esc), [], "another key disarms leaving");
    assert_eq!(press(&mut setup, KeyCode::Esc), [Effect::Quit]);
}

#[test]
fn a_tilde_expands_to_the_home_folder() {
    let home = Some(Path::new("/home/me"));
    let shown = ["~", "~/a", "~you/a", "a/~", " ~/b "].map(|text| expanded(text, home).into_owned());
    assert_eq!(shown, ["/home/me", "/home/me/a", "~you/a", "a/~", "/home/me/b"]);
    assert_eq!(expanded("~/a", None), "~/a");
}

pub(super) fn draw(setup: &Setup, theme: &Theme, width: u16, height: u16) -> ratatui::buffer::Buffer {
    render::screen(theme, width, height, |area, buffer| {
        let cursor = setup.draw(theme, false, area, buffer);
        assert!(cursor.is_none_or(|cursor| area.contains(cursor)), "{cursor:?} {area:?}");
    })
}

pub(super) fn text_of(setup: &Setup, width: u16, height: u16) -> String {
    render::text(&draw(setup, &Theme::default(), width, height))
}

#[test]
fn appearance() {
    let (mut setup, effects) = fresh();
    insta::assert_snapshot!("first_80x24", text_of(&setup, 80, 24));
    settle(&mut setup, effects);
    insta::assert_snapshot!("wrong_80x24", text_of(&setup, 80, 24));
    insta::assert_snapshot!("wrong_40x10", text_of(&setup, 40, 10));
    let effects = append(&mut setup, "/hacs");
    settle(&mut setup, effects);
    setup.go(5);
    insta::assert_snapshot!("ready_120x40", text_of(&setup, 120, 40));
    insta::assert_snapshot!("ready_80x16", text_of(&setup, 80, 16));
    insta::assert_snapshot!("ready_200x60", text_of(&setup, 200, 60));
    insta::assert_snapshot!("ascii_80x24", render::text(&draw(&setup, &Theme::default().with_ascii(true), 80, 24)));
    setup.go(-4);
    insta::assert_snapshot!("no_color_60x20", render::styled(&draw(&setup, &Theme::named("none").unwrap(), 60, 20)));
}

#[test]
fn a_long_verdict_is_readable_at_80_columns() {
    let (mut setup, effects) = fresh();
    settle(&mut setup, effects);
    let words = "lies in the dataset folder, which is never written to; name one outside of it";
    setup.fields[1].verdict = Some(Verdict::Wrong(words.into()));
    for focus in [0, 1] {
        setup.focus = focus;
        for (width, height) in [(80, 24), (80, 30)] {
            let text = text_of(&setup, width, height);
            let seen: Vec<&str> = text.split_whitespace().filter(|word| *word != "│").collect();
            assert!(seen.join(" ").contains(words), "{text}");
            assert!(text.contains("checkpoint") && text.contains("save config.toml"), "{text}");
        }
    }
}

#[test]
fn the_layout_is_asked_only_if_it_is_not_clear() {
    let (mut setup, effects) = fresh();
    settle(&mut setup, effects);
    assert!(!text_of(&setup, 80, 30).contains("layout"));
    let effects = append(&mut setup, "/deep");
    settle(&mut setup, effects);
    assert_eq!(setup.values().layout, "any");
    let text = text_of(&setup, 80, 40);
    assert!(text.contains("layout") && text.contains("These six fields"), "{text}");
    for _ in 0..Field::Layout.index() {
        press(&mut setup, KeyCode::Down);
    }
    assert_eq!(setup.focused(), Some(Field::Layout));
    let effects = append(&mut setup, "x");
    settle(&mut setup, effects);
    assert_eq!(control(&mut setup, 's'), [], "an unknown layout is not written");
    let effects = press(&mut setup, KeyCode::Backspace);
    settle(&mut setup, effects);
    let written = control(&mut setup, 's');
    assert!(
        matches!(&written[..], [Effect::Write(request)] if request.changes.iter().any(|change| change.value == "any")),
        "{written:?}"
    );
}

#[test]
fn a_manifest_next_to_the_dataset_is_offered_until_the_user_chooses_one() {
    let (mut setup, effects) = fresh();
    settle(&mut setup, effects);
    let found = |setup: &mut Setup, manifest: Option<&str>| {
        let checks = append(setup, "/x");
        let verdict = Verdict::Fine("1 class folder, 1 video".into());
        let manifest = manifest.map(str::to_owned);
        let effects = setup.check_done(CheckResult { field: Field::Root, verdict, manifest });
        // The other checks of this change.
        settle(
            setup,
            checks
                .into_iter()
                .filter(|effect| !matches!(effect, Effect::Check(request) if request.field == Field::Root))
                .collect(),
        );
        let asked = requests(&effects).iter().any(|(field, _)| *field == Field::Manifest);
        settle(setup, effects);
        (asked, setup.values().manifest)
    };
    assert_eq!(found(&mut setup, Some("a/HACS_segments.json")), (true, "a/HACS_segments.json".into()));
    assert_eq!(found(&mut setup, None), (false, "a/HACS_segments.json".into()));
    setup.go(3);
    let effects = control(&mut setup, 'u');
    settle(&mut setup, effects);
    setup.go(-3);
    assert_eq!(found(&mut setup, Some("b/HACS_segments.json")), (false, String::new()), "the user wants none");
}

#[test]
fn explanations_fit_into_one_line() {
    for name in Field::ALL {
        assert!(LABELS_AND_FRAME + name.help().len() <= 80, "{name:?}");
    }
}

/// The columns of an 80-column terminal that border, margins and labels take.
const LABELS_AND_FRAME: usize = 6 + 17;

#[test]
fn the_cursor_is_at_the_end_of_the_text() {
    let (setup, _) = fresh();
    render::screen(&Theme::default(), 80, 24, |area, buffer| {
        let cursor = setup.draw(&Theme::default(), false, area, buffer).unwrap();
        let before = buffer.cell((cursor.x - 1, cursor.y)).unwrap().symbol();
        assert_eq!(before, "a", "the end of `data`");
    });
}

#[test]
fn any_size_can_be_drawn() {
    let (mut setup, effects) = fresh();
    settle(&mut setup, effects);
    setup.fields[1].input = Input::new("日本/\u{1b}[2J/".repeat(60));
    setup.fields[1].verdict = Some(Verdict::Wrong("\u{1b}]0;x\u{7}".repeat(40)));
    setup.suggestions = vec!["an offer/".into(); 200];
    let themes = [Theme::default(), Theme::default().with_ascii(true), Theme::named("night").unwrap()];
    for (number, focus) in (0..6).enumerate() {
        setup.focus = focus;
        for width in (1..=20).chain([40, 49, 50, 60, 61, 80, 112, 300]) {
            for height in (1..=28).chain([60, 100]) {
                draw(&setup, &themes[number % 3], width, height);
            }
        }
    }
}

#[test]
fn the_form_can_be_suspended_at_any_time() {
    let (mut setup, effects) = fresh();
    fill_in(&mut setup, effects);
    assert_eq!(press(&mut setup, KeyCode::Esc), []);
    assert_eq!(control(&mut setup, 'z'), [Effect::Suspend]);
    assert_eq!(press(&mut setup, KeyCode::Esc), [Effect::Quit], "suspending does not disarm leaving");
    let (mut setup, effects) = fresh();
    fill_in(&mut setup, effects);
    assert!(matches!(control(&mut setup, 's')[..], [Effect::Write(_)]));
    assert_eq!(control(&mut setup, 'z'), [Effect::Suspend]);
    assert_eq!(control(&mut setup, 's'), [], "a write is running");
}

#[test]
fn the_last_line_says_save_and_no_match_is_below_its_field() {
    let (mut setup, effects) = fresh();
    settle(&mut setup, effects);
    setup.completed(&Completions { field: Field::Root, typed: "data".into(), head: String::new(), names: vec![] });
    let text = text_of(&setup, 80, 24);
    let place = |words: &str| text.lines().position(|line| line.contains(words)).unwrap();
    assert!(place("no match") < place("output folder"), "{text}");
    assert!(text.contains("enter next") && text.contains("right edit"), "{text}");
    setup.go(5);
    assert!(text_of(&setup, 80, 24).contains("enter save"));
}
