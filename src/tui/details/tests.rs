//! The details at many sizes and in all themes, for videos in various states.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::failure::Attempt;

use super::*;
use crate::protocol::details::{FeatureDetails, ListedVideo, Segment};
use crate::protocol::row::{Finding, Findings, Row, RowFacts, RowState};
use crate::tui::keymap::{Context, KeyMatch};
use crate::tui::keys::Keys;
use crate::tui::tests::render;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn row(state: RowState) -> Row {
    Row {
        video: "Horseback_riding/v_Sr2BSq_8FMw.mp4".into(),
        state,
        findings: Findings::default(),
        has_feature: state == RowState::Done,
        leaves: false,
        size: 41_234_567,
        attempts: 1,
        reason: None,
        facts: Some(RowFacts { duration_s: 151.0, frames: 4524, size: [1280, 720], codec: "h264".into() }),
    }
}

fn bare(state: RowState) -> Details {
    Details {
        row: row(state),
        path: Some("/data/hacs/Horseback_riding/v_Sr2BSq_8FMw.mp4".into()),
        modified: Some(at("2026-05-01T08:00:00Z")),
        container: Some("mov,mp4,m4a,3gp,3g2,mj2".into()),
        fps: Some(29.97),
        attempts: vec![],
        next_step: None,
        listed: None,
        feature: None,
        feature_error: None,
    }
}

fn segment(label: &str, start_s: f64, end_s: f64) -> Segment {
    Segment { label: label.into(), start_s, end_s }
}

fn done() -> Details {
    let top1 = (0..100).map(|clip| match clip {
        0..4 | 22..31 => 1,
        90..92 => 2,
        92..95 => 3,
        _ => 0,
    });
    let heat = (0..16).map(|row| (0..100).map(|clip| ((row * 37 + clip * 11) % 256) as u8).collect());
    Details {
        listed: Some(ListedVideo {
            id: "Sr2BSq_8FMw".into(),
            duration_s: Some(151.2),
            subset: Some("training".into()),
            url: Some("https://www.youtube.com/watch?v=Sr2BSq_8FMw".into()),
            segments: vec![segment("Horseback riding", 6.0, 33.5), segment("Horseback riding", 46.0, 120.0)],
        }),
        feature: Some(FeatureDetails {
            similarity: vec![],
            path: "/out/features/slowonly-r50-8x8-k700-15b93b10/Horseback_riding/v_Sr2BSq_8FMw.mp4.safetensors".into(),
            written: Some(at("2026-06-01T14:01:53Z")),
            tensors: vec![("logits".into(), vec![100, 700]), ("pooled".into(), vec![100, 2048])],
            set: "slowonly-r50-8x8-k700-15b93b10".into(),
            checkpoint: "slowonly_20221013-15b93b10.pth".into(),
            synthetic_weights: false,
            precision: "fp32".into(),
            device: "cuda".into(),
            frames: [4524, 4524, 0],
            top1: top1.collect(),
            classes: vec![
                ("riding or walking with horse".into(), 82),
                ("grooming horse".into(), 13),
                ("bull fighting".into(), 2),
            ],
            heat: heat.collect(),
        }),
        ..bare(RowState::Done)
    }
}

fn failed() -> Details {
    let attempt = |started: &str, ended: &str, kind, chain: &[&str]| Attempt {
        started: at(started),
        ended: at(ended),
        device: "cuda:2".into(),
        failure: Failure { kind, chain: chain.iter().map(ToString::to_string).collect() },
        stderr: vec![],
        retry: false,
    };
    let mut last = attempt(
        "2026-06-01T14:02:00Z",
        "2026-06-01T14:02:11Z",
        ErrorKind::OutOfMemory,
        &[
            "failed to run the model on clips 12 to 15",
            "CUDA out of memory. Tried to allocate 2.00 GiB (GPU 2; 139.80 GiB total capacity; 138.2 GiB already allocated)",
        ],
    );
    last.stderr = vec!["\u{1b}[31mwarning\u{1b}[0m: something".into(), "terminate called".into()];
    let mut row = row(RowState::Failed);
    row.reason = Some("out of memory at batch 4".into());
    row.attempts = 2;
    Details {
        row,
        attempts: vec![
            attempt(
                "2026-06-01T14:00:00Z",
                "2026-06-01T14:00:00.3Z",
                ErrorKind::WorkerCrashed,
                &["it was ended by signal 11"],
            ),
            last,
        ],
        next_step: Some("free memory on cuda:2, or lower worker.batch; then r tries it again".into()),
        ..bare(RowState::Failed)
    }
}

fn missing() -> Details {
    let mut row = row(RowState::Missing);
    (row.size, row.facts, row.attempts) = (0, None, 0);
    Details {
        row,
        path: None,
        modified: None,
        container: None,
        fps: None,
        next_step: Some("fetch it, or write the list of what is missing".into()),
        listed: Some(ListedVideo {
            id: "Sr2BSq_8FMw".into(),
            duration_s: Some(20.0),
            subset: None,
            url: None,
            segments: vec![
                segment("Riding", 0.0, 5.0),
                segment("日本 \u{1b}[2J", 10.0, 10.1),
                segment("Riding", 15.0, 40.0),
            ],
        }),
        ..bare(RowState::Missing)
    }
}

fn view(details: Details) -> DetailsView {
    DetailsView::new(Box::new(details), TimeZone::UTC, Depth::True)
}

fn draw(view: &DetailsView, theme: &Theme, width: u16, height: u16) -> Buffer {
    render::screen(theme, width, height, |area, buffer| {
        view.draw(theme, &Keymap::default(), (Some(Phase::Running), None), area, buffer)
    })
}

fn text_of(view: &DetailsView, width: u16, height: u16) -> String {
    render::text(&draw(view, &Theme::default(), width, height))
}

fn picture() -> Rgb {
    let bytes: Vec<u8> = (0..48 * 27).flat_map(|i| [(i % 256) as u8, (i / 5 % 256) as u8, 90]).collect();
    Rgb::new(48, 27, &bytes).unwrap()
}

fn press(view: &mut DetailsView, keys: &str) -> Outcome {
    match Keymap::default().find(Context::Details, &keys.parse::<Keys>().unwrap().0) {
        KeyMatch::Action(action) => view.act(action),
        _ => panic!("{keys}"),
    }
}

#[test]
fn done_video() {
    let view = view(done());
    insta::assert_snapshot!("done_120x40", text_of(&view, 120, 40));
    insta::assert_snapshot!("done_80x24", text_of(&view, 80, 24));
    insta::assert_snapshot!("done_40x10", text_of(&view, 40, 10));
    insta::assert_snapshot!("done_200x60", text_of(&view, 200, 60));
}

#[test]
fn a_feature_without_class_scores_shows_how_alike_its_clips_are() {
    let mut details = done();
    let feature = details.feature.as_mut().unwrap();
    (feature.top1, feature.classes) = (vec![], vec![]);
    feature.similarity = vec![1.0, 0.5, -0.25];
    let text = text_of(&view(details), 120, 60);
    assert!(text.contains("cosine similarity to the first clip, -0.25 to 1.00"), "{text}");
    assert!(text.contains("alike") && !text.contains("top 1"), "{text}");
}

#[test]
fn failed_video_shows_all_attempts() {
    let view = view(failed());
    insta::assert_snapshot!("failed_80x24", text_of(&view, 80, 24));
    insta::assert_snapshot!("failed_40x40", text_of(&view, 40, 40));
}

#[test]
fn missing_video() {
    insta::assert_snapshot!("missing_80x24", text_of(&view(missing()), 80, 24));
}

#[test]
fn colourless_and_ascii_themes() {
    let theme = Theme::named("none").unwrap();
    insta::assert_snapshot!("no_color_80x24", render::styled(&draw(&view(failed()), &theme, 80, 24)));
    let ascii = draw(&view(done()), &Theme::default().with_ascii(true), 100, 40);
    insta::assert_snapshot!("ascii_100x40", render::text(&ascii));
    assert!(ascii.content.iter().all(|cell| cell.symbol().is_ascii()));
    insta::assert_snapshot!(
        "night_60x30",
        render::styled(&draw(&view(missing()), &Theme::named("night").unwrap(), 60, 30))
    );
}

#[test]
fn the_still_is_beside_the_facts_if_there_is_room() {
    let mut view = view(done());
    let path = view.details().path.clone().unwrap();
    assert_eq!(press(&mut view, "o"), Outcome::Still(path));
    assert!(text_of(&view, 80, 24).contains("being fetched"));
    // A second press does not request the still again.
    assert_eq!(press(&mut view, "o"), Outcome::Moved);
    view.set_still("another/video.mp4", Ok(picture()));
    assert!(!text_of(&view, 80, 24).contains('▀'));
    let name = view.video().to_owned();
    view.set_still(&name, Ok(picture()));
    insta::assert_snapshot!("still_140x30", text_of(&view, 140, 30));
    insta::assert_snapshot!("still_80x40", text_of(&view, 80, 40));
    assert_eq!(press(&mut view, "o"), Outcome::Moved);
    assert!(!text_of(&view, 80, 40).contains('▀'));
    view.set_still(&name, Err("the file is empty".into()));
    assert!(text_of(&view, 80, 40).contains("the file is empty"));
}

#[test]
fn pixels_get_a_blank_area() {
    let mut view = view(bare(RowState::Queued)).with_pixels(true);
    let name = view.video().to_owned();
    view.set_still(&name, Ok(picture()));
    for (width, height) in [(140, 30), (80, 40)] {
        let buffer = draw(&view, &Theme::default(), width, height);
        let (place, shown) = view.pixels().unwrap();
        assert_eq!(shown, &picture());
        assert!(buffer.area.intersection(place) == place && place.width > 20 && place.height > 5, "{place:?}");
        let blank = place.positions().all(|at| buffer.cell(at).unwrap().symbol() == " ");
        assert!(blank, "{width}");
    }
    draw(&view, &Theme::default(), 80, 8);
    assert_eq!(view.pixels(), None, "the picture does not fit");
}

#[test]
fn errors_and_details_are_copied_as_text() {
    let mut view = view(failed());
    let Outcome::CopyNamed { text, .. } = press(&mut view, "w") else { panic!("nothing was copied") };
    let messages = view.details().attempts.iter().flat_map(|attempt| &attempt.failure.chain);
    assert!(messages.flat_map(|message| message.lines()).all(|line| text.contains(line.trim())), "{text}");
    let Outcome::CopyNamed { text, .. } = press(&mut view, "W") else { panic!("nothing was copied") };
    assert!(text.starts_with(view.video()) && text.contains("h264") && !text.contains('\u{1b}'), "{text}");
    let mut view = self::view(done());
    assert!(matches!(press(&mut view, "w"), Outcome::Refused(_)));
}

#[test]
fn keys_scroll_and_return_outcomes() {
    let mut view = view(done());
    text_of(&view, 80, 12);
    assert_eq!(press(&mut view, "G"), Outcome::Moved);
    let end = text_of(&view, 80, 12);
    assert!(end.contains("class 700"), "{end}");
    press(&mut view, "down");
    assert_eq!(text_of(&view, 80, 12), end, "scrolling stops at the end");
    press(&mut view, "pgup");
    assert_ne!(text_of(&view, 80, 12), end);
    press(&mut view, "g g");
    assert!(text_of(&view, 80, 12).contains("file  "));
    let whole = text_of(&view, 80, 60);
    assert!(whole.find("greatest value") < whole.find("class 1"), "the legend is above: {whole}");
    let path = view.details().path.clone().unwrap();
    assert_eq!(press(&mut view, "Y"), Outcome::Copy(path.display().to_string()));
    assert_eq!(press(&mut view, "y"), Outcome::Copy(view.video().to_owned()));
    assert_eq!(press(&mut view, "r"), Outcome::Retry);
    assert_eq!(press(&mut view, "x"), Outcome::Exclude { undo: false });
    assert_eq!(press(&mut view, "left"), Outcome::Previous);
    assert_eq!(press(&mut view, "n"), Outcome::Next);
    assert_eq!(press(&mut view, "esc"), Outcome::Close);
    assert_eq!(press(&mut view, "f5"), Outcome::Ignored);
}

#[test]
fn an_unavailable_key_shows_the_reason() {
    let mut view = view(missing());
    for (key, reason) in [("o", "not on disk"), ("Y", "not on disk"), ("r", "is missing: download it")] {
        let Outcome::Refused(why) = press(&mut view, key) else { panic!("{key}") };
        assert!(why.contains(reason), "{why}");
    }
    view.set(Box::new(bare(RowState::Excluded)));
    assert!(matches!(press(&mut view, "r"), Outcome::Refused(why) if why.contains("include it first")));
    assert_eq!(press(&mut view, "x"), Outcome::Exclude { undo: true });
    assert!(text_of(&view, 80, 24).contains("x include"));
}

#[test]
fn updates_of_the_same_video_keep_scroll_and_still() {
    let mut view = view(done());
    text_of(&view, 80, 12);
    press(&mut view, "pgdn");
    let name = view.video().to_owned();
    view.set_still(&name, Ok(picture()));
    let before = text_of(&view, 80, 12);
    view.set(Box::new(done()));
    assert_eq!(text_of(&view, 80, 12), before);
    let mut other = done();
    other.row.video = "Archery/v_2.mp4".into();
    view.set(Box::new(other));
    assert!(text_of(&view, 80, 12).contains("file  "));
}

#[test]
fn the_title_names_the_state() {
    for state in RowState::ALL {
        let text = text_of(&view(bare(state)), 80, 24);
        assert!(text.lines().next().unwrap().contains(state.word()), "{text}");
    }
}

#[test]
fn any_size_can_be_drawn() {
    let mut odd = missing();
    odd.row.facts = Some(RowFacts { duration_s: f32::NAN, frames: 0, size: [0, 0], codec: String::new() });
    odd.row.video = "a".repeat(400);
    let mut empty = done();
    if let Some(feature) = &mut empty.feature {
        feature.classes.clear();
        feature.heat = vec![vec![], vec![1]];
    }
    for details in [done(), failed(), odd, empty] {
        let mut view = view(details);
        for with_still in [false, true] {
            if with_still {
                let name = view.video().to_owned();
                view.set_still(&name, Ok(picture()));
            }
            let themes = [Theme::default(), Theme::default().with_ascii(true), Theme::named("paper").unwrap()];
            let mut number = 0;
            for width in (1..=12).chain([39, 40, 41, 45, 46, 47, 80, 113, 114, 115, 300]) {
                for height in [1, 2, 3, 4, 5, 9, 24, 100] {
                    number += 1;
                    draw(&view, &themes[number % 3], width, height);
                    press(&mut view, ["pgdn", "end", "home", "up"][number % 4]);
                }
            }
        }
    }
}

#[test]
fn a_corrupt_video_that_is_queued_says_what_happens_to_it_and_gives_advice_once() {
    let mut details = bare(RowState::Queued);
    details.row.findings = [Finding::Corrupt].into_iter().collect();
    details.row.reason = Some("the MP4 index is missing; download it again".into());
    details.next_step = Some("download it again; `reeldeck missing` lists it".into());
    details.attempts = failed().attempts;
    details.attempts[0].failure = Failure::new(ErrorKind::Corrupt, "the MP4 index is missing; download it again");
    let text = text_of(&view(details), 120, 40);
    assert_eq!(text.matches("download it again").count(), 1, "{text}");
}

#[test]
fn the_keys_fit_into_80_columns_and_none_is_useless() {
    let text = text_of(&view(failed()), 80, 24);
    let keys = text.lines().last().unwrap();
    assert!(["o picture", "w copy why", "p prev", "n next"].iter().all(|key| keys.contains(key)), "{keys}");
    assert!(!text_of(&view(bare(RowState::Queued)), 80, 24).contains("copy why"), "nothing went wrong");
}
