//! Tests of the client, with shell scripts as programs.

use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Event, Process, Program};

/// Long enough for a machine that is busy with other tests.
const LONG: Duration = Duration::from_secs(60);

fn start(script: &str) -> (Process, Receiver<Event<Value>>) {
    let program = Program {
        arguments: vec!["-c".into(), script.into()],
        environment: vec![("GREETING".into(), "hello".into())],
        ..Program::new(Path::new("sh"))
    };
    Process::start_with_channel(&program).unwrap()
}

fn message(events: &Receiver<Event<Value>>) -> Value {
    match events.recv_timeout(LONG).unwrap() {
        Event::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

/// The messages, and how the process ended.
fn all(events: Receiver<Event<Value>>) -> (Vec<Value>, String) {
    let mut messages = vec![];
    loop {
        match events.recv_timeout(LONG).unwrap() {
            Event::Message(message) => messages.push(message),
            Event::Stderr(_) => {}
            Event::Exited(exit) => {
                assert!(events.recv().is_err(), "an event after the last");
                return (messages, exit.to_string());
            }
        }
    }
}

/// Whether a process runs, or is a zombie.
fn exists(pid: &Value) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn messages_go_both_ways() {
    let (process, events) = start(r#"while read line; do echo "[\"$GREETING\",$line]"; done; exit 3"#);
    process.send(&json!({"a": 1})).unwrap();
    assert_eq!(message(&events), json!(["hello", {"a": 1}]));
    let input = process.input().unwrap();
    input.send(&json!(2)).unwrap();
    assert_eq!(message(&events), json!(["hello", 2]));
    assert!(!process.wait(Duration::ZERO));
}

/// From its first instruction: a scheduler may signal every process of a job while the program is still loading.
#[test]
fn a_program_ignores_the_signals_that_ask_it_to_stop() {
    let (_process, events) = start("for signal in HUP INT TERM USR1 USR2; do kill -s $signal $$; done; echo 1; exit 3");
    assert_eq!(all(events), (vec![json!(1)], "exited with code 3".into()));
}

#[test]
fn everything_written_before_the_exit_arrives_before_it() {
    let (process, events) = start("seq 20000; echo one >&2; printf 'two\\033\\n%0500d\\n' 7 >&2; exit 3");
    let (messages, exit) = all(events);
    assert_eq!((messages.len(), exit.as_str()), (20000, "exited with code 3"));
    assert_eq!(process.stderr(), ["one", "two\\u{1b}", &"0".repeat(400)]);
    assert!(process.wait(Duration::ZERO));
}

#[test]
fn a_line_of_standard_error_is_reported_before_a_later_message() {
    let script = "for n in $(seq 3000); do echo \"line $n\" >&2; echo $n; done";
    let (_process, events) = start(script);
    let mut lines = 0;
    let mut messages = 0;
    loop {
        match events.recv_timeout(LONG).unwrap() {
            Event::Stderr(line) => {
                lines += 1;
                assert_eq!(line, format!("line {lines}"));
            }
            Event::Message(message) => {
                messages += 1;
                assert_eq!(message, messages);
                assert!(lines >= messages, "message {messages} came before its line");
            }
            Event::Exited(_) => break,
        }
    }
    assert_eq!((lines, messages), (3000, 3000));
}

#[test]
fn the_last_lines_of_standard_error_are_kept() {
    let (process, events) = start("seq 100 >&2");
    all(events);
    assert_eq!(process.stderr(), (81..=100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn an_invalid_message_ends_the_process() {
    for (script, reason) in [
        ("echo 1; echo 'Segmentation fault {'; sleep 600", "broke the protocol: a line is not a valid message: "),
        ("echo 1; head -c 3000000 /dev/zero; sleep 600", "broke the protocol: a line is longer than 1048576 bytes"),
        ("echo 1; exec >&-; sleep 600", "closed its output but did not exit within "),
    ] {
        let (_process, events) = start(script);
        let (messages, exit) = all(events);
        assert_eq!(messages, [1]);
        assert!(exit.starts_with(reason), "{exit}");
    }
}

#[test]
fn an_incomplete_message_is_no_message() {
    let (_process, events) = start("echo 1; printf 2; exit 7");
    assert_eq!(all(events), (vec![json!(1)], "exited with code 7".into()));
}

#[test]
fn a_killed_process_takes_its_group_with_it_even_when_frozen() {
    let (mut process, events) = start("sleep 600 & echo $!; read line; wait");
    let child = message(&events);
    process.freeze();
    process.kill();
    process.send(&json!("is dropped")).unwrap();
    let (messages, exit) = all(events);
    assert_eq!((messages, exit.as_str()), (vec![], "was stopped by reeldeck"));
    assert!(process.wait(LONG));
    // Its parent is gone, so the system reaps it.
    while exists(&child) && !is_zombie(&child) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_zombie(pid: &Value) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

#[test]
fn children_left_behind_do_not_delay_the_end() {
    let (_process, events) = start("sleep 600 & echo $!; exit 0");
    let child = message(&events);
    assert_eq!(all(events).1, "exited with code 0");
    while exists(&child) && !is_zombie(&child) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_suspended_process_continues_when_resumed() {
    let (process, events) = start("read line; echo 1; read line; echo 2");
    process.freeze();
    process.send(&json!(0)).unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
    while !state().contains(") T ") {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(events.try_recv().is_err());
    process.thaw();
    assert_eq!(message(&events), 1);
}

#[test]
fn dropping_ends_the_process() {
    let (process, events) = start("echo $$; read line; sleep 600");
    message(&events);
    drop(process);
    assert_eq!(all(events).1, "was stopped by reeldeck");
}

#[test]
fn a_process_that_does_not_read_does_not_block_the_sender() {
    let (process, events) = start("sleep 600");
    for _ in 0..100 {
        process.send(&"x".repeat(10_000)).unwrap();
    }
    drop(process);
    assert_eq!(all(events).1, "was stopped by reeldeck");
}

#[test]
fn the_kernel_ends_a_process_whose_starter_is_gone() {
    let starter = std::thread::spawn(|| start("echo $$; read line; sleep 600"));
    let (_process, events) = starter.join().unwrap();
    let (_, exit) = all(events);
    assert!(exit.starts_with("was killed by signal 9"), "{exit}");
}

#[test]
fn a_missing_program_is_an_error() {
    let started = Process::start_with_channel::<Value>(&Program::new(Path::new("/nonexistent/program")));
    assert_eq!(started.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}
