//! The form of the settings in force, and how values are replaced.

use std::path::Path;

use ratatui::crossterm::event::KeyCode;

use super::in_force::{InForce, Origin};
use super::tests::{append, control, fresh, press, requests, settle, text_of};
use super::*;
use crate::config::edit::Change;

fn in_force() -> InForce {
    let values = Values {
        root: "data/hacs".into(),
        out: "/mnt/out".into(),
        checkpoint: String::new(),
        manifest: String::new(),
        devices: "cpu".into(),
        layout: "auto".into(),
        recipe: "slowonly-r50-8x8-k700".into(),
    };
    use Origin::{CommandLine, Default, File};
    let origins = [File, CommandLine, Default, Default, File, Default];
    InForce { file: "/home/me/work/config.toml".into(), exists: true, values, origins }
}

fn form() -> Setup {
    let (mut setup, effects) = Setup::of_settings(Keymap::default(), Some("/home/me".into()), in_force());
    assert_eq!(settle(&mut setup, effects), []);
    setup
}

#[test]
fn typing_replaces_an_untouched_value_and_continues_a_touched_one() {
    let (mut setup, effects) = fresh();
    settle(&mut setup, effects);
    let text = text_of(&setup, 80, 24);
    assert!(text.contains("right edit") && !text.contains("ctrl-u clear"), "{text}");
    for field in Field::ALWAYS {
        press(&mut setup, KeyCode::Char('x'));
        press(&mut setup, KeyCode::Char('y'));
        assert_eq!(setup.state(field).input.text(), "xy", "{field:?}");
        setup.go(1);
    }
    // A field that was left is not selected again.
    setup.go(-1);
    press(&mut setup, KeyCode::Char('z'));
    assert_eq!(setup.values().devices, "xyz");
    // Backspace empties an untouched field.
    let (mut setup, effects) = fresh();
    settle(&mut setup, effects);
    let checks = press(&mut setup, KeyCode::Backspace);
    assert_eq!((setup.values().root.as_str(), requests(&checks).len()), ("", 2));
    // So does a pasted path, and completion continues the value.
    let (mut setup, _) = fresh();
    setup.paste("/mnt/videos\n");
    assert_eq!(setup.values().root, "/mnt/videos");
    let (mut setup, _) = fresh();
    press(&mut setup, KeyCode::Tab);
    press(&mut setup, KeyCode::Char('/'));
    assert_eq!(setup.values().root, "data/");
}

#[test]
fn only_changed_settings_are_written() {
    let mut setup = form();
    assert_eq!(control(&mut setup, 's'), []);
    assert!(text_of(&setup, 80, 24).contains("nothing to save"));
    setup.go(2);
    let checks = setup.paste("~/w.pth");
    settle(&mut setup, checks);
    let effects = control(&mut setup, 's');
    let [Effect::Write(request)] = effects.as_slice() else { panic!("{effects:?}") };
    let change = Change { section: "", key: "checkpoint", value: "/home/me/w.pth".into() };
    assert_eq!((&request.changes[..], request.is_new), (&[change][..], false));
    assert_eq!(request.path, Path::new("/home/me/work/config.toml"));
    assert_eq!(setup.changed_fields(), [Field::Checkpoint]);
    // The value in force again is no change.
    assert_eq!(setup.written(Err("disk full".into())), []);
    press(&mut setup, KeyCode::Backspace);
    control(&mut setup, 'u');
    assert_eq!(setup.changed_fields(), []);
}

#[test]
fn a_wrong_value_that_stays_does_not_keep_others_from_being_saved() {
    let mut setup = form();
    setup.fields[Field::Root.index()].verdict = Some(Verdict::Wrong("no such file or folder".into()));
    setup.go(4);
    let checks = setup.paste("cpu*2");
    settle(&mut setup, checks);
    assert_eq!(control(&mut setup, 's').len(), 1);
    // A wrong value that was typed is not saved.
    let mut setup = form();
    let checks = append(&mut setup, "/nowhere");
    settle(&mut setup, checks);
    assert_eq!(control(&mut setup, 's'), []);
    assert!(text_of(&setup, 80, 24).contains("not saved: fix the dataset folder first"));
}

#[test]
fn a_layout_in_the_file_is_shown() {
    assert!(!text_of(&form(), 80, 40).contains("layout"));
    let mut in_force = in_force();
    in_force.origins[Field::Layout.index()] = Origin::File;
    let (setup, effects) = Setup::of_settings(Keymap::default(), None, in_force);
    assert!(requests(&effects).iter().any(|(field, _)| *field == Field::Layout));
    assert!(text_of(&setup, 80, 40).contains("layout"));
}

#[test]
fn what_the_engine_uses_is_shown_where_it_differs() {
    use super::in_use::InUse;
    let welcome = crate::protocol::Welcome {
        root: "/home/me/work/data/hacs".into(),
        out: "/mnt/old".into(),
        checkpoint: "seeded".into(),
        ..crate::tui::tests::fixtures::welcome()
    };
    let mut setup = form();
    assert!(!text_of(&setup, 80, 24).contains("in use:"), "nothing is known");
    setup.compare_with(Some(InUse::of(&welcome, ["cpu", "cpu"].into_iter())));
    let used = |setup: &Setup, field| setup.other_in_use(field);
    assert_eq!(used(&setup, Field::Root), None);
    assert_eq!(used(&setup, Field::Out).as_deref(), Some("/mnt/old"));
    assert_eq!(used(&setup, Field::Checkpoint).as_deref(), Some("seeded"));
    assert_eq!(used(&setup, Field::Manifest).as_deref(), Some("/data/HACS_segments_v1.1.1.json"));
    assert_eq!(used(&setup, Field::Devices).as_deref(), Some("cpu*2"));
    setup.go(1);
    let text = text_of(&setup, 80, 24);
    assert!(text.contains("in use: /mnt/old"), "{text}");
    setup.go(3);
    assert!(text_of(&setup, 80, 24).contains("in use: /mnt/old"), "also below a field without the cursor");
    setup.go(-3);
    // So it is with what was typed.
    setup.go(1);
    let checks = setup.paste("published");
    settle(&mut setup, checks);
    assert!(text_of(&setup, 80, 24).contains("in use: seeded"));
    let checks = setup.paste("x");
    settle(&mut setup, checks);
    control(&mut setup, 'u');
    let checks = setup.paste("seeded");
    settle(&mut setup, checks);
    assert_eq!(used(&setup, Field::Checkpoint), None);
}

#[test]
fn what_was_edited_in_the_file_is_used_when_the_form_is_saved() {
    let mut setup = form();
    setup.compare_with(None);
    let file = setup.file.clone();
    assert_eq!(control(&mut setup, 's'), [Effect::Done(file)], "no engine uses anything");
}

#[test]
fn a_key_shows_all_keys_of_the_form_and_the_next_one_hides_them() {
    let mut setup = form();
    assert!(text_of(&setup, 80, 24).contains("f1 help"), "{}", text_of(&setup, 80, 24));
    press(&mut setup, KeyCode::F(1));
    let text = text_of(&setup, 80, 24);
    assert!(
        text.contains(" Keys ") && text.contains("ctrl-u") && text.contains("save config.toml and continue"),
        "{text}"
    );
    let before = setup.values();
    press(&mut setup, KeyCode::Char('x'));
    assert!(!text_of(&setup, 80, 24).contains(" Keys ") && setup.values() == before);
    for (width, height) in [(1, 1), (12, 4), (30, 9)] {
        press(&mut setup, KeyCode::F(1));
        text_of(&setup, width, height);
        press(&mut setup, KeyCode::Esc);
    }
}

#[test]
fn the_names_that_could_stand_in_place_of_a_complete_value_do_not_shorten_it() {
    let mut setup = form();
    let effects = press(&mut setup, KeyCode::Tab);
    let [Effect::Complete(wanted)] = effects.as_slice() else { panic!("{effects:?}") };
    let names = ["hacs/", "hacs_old/"].map(str::to_owned).to_vec();
    let found = Completions { field: Field::Root, typed: wanted.typed.clone(), head: "data/".into(), names };
    setup.completed(&found);
    assert_eq!(setup.values().root, wanted.typed);
    assert!(text_of(&setup, 80, 24).contains("hacs/  hacs_old/"), "{}", text_of(&setup, 80, 24));
}

#[test]
fn leaving_asks_only_after_a_change() {
    let mut setup = form();
    assert_eq!(press(&mut setup, KeyCode::Esc), [Effect::Quit]);
    press(&mut setup, KeyCode::Char('x'));
    assert_eq!(press(&mut setup, KeyCode::Esc), []);
    assert!(text_of(&setup, 80, 24).contains("Unsaved changes: "));
}

#[test]
fn appearance_of_the_settings() {
    let mut setup = form();
    insta::assert_snapshot!("settings_80x24", text_of(&setup, 80, 24));
    setup.go(2);
    let checks = setup.paste("seeded");
    settle(&mut setup, checks);
    insta::assert_snapshot!("settings_changed_200x50", text_of(&setup, 200, 50));
}
