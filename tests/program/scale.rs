//! Large datasets: memory of the engine, CPU time for each event, and response time for clients.
//!
//! `make scale` prints the table of docs/BENCHMARKS.md. Put TMPDIR on a tmpfs to leave the disk out of it.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::processes::Process;
use crate::support::{Bench, wait_for};
use reeldeck::internals::client::{Client, runs};
use reeldeck::internals::protocol::row::{Column, Filter, Row, RowState, Sort};
use reeldeck::internals::protocol::snapshot::{Phase, Snapshot};
use reeldeck::internals::protocol::{Command, FromEngine, ToEngine};

/// Classes, as in HACS.
const CLASSES: usize = 200;

/// Hard links of one file; ext4 allows 65,000.
const NAMES: usize = 50_000;

/// A script for the fake worker in a larger file than the usual one.
const LARGER: &str = "nowrite please";

/// Limit of the engine's memory for 50,000 videos, in bytes.
const MOST: u64 = 100 << 20;

/// The costs of a run over many videos.
struct Costs {
    videos: usize,
    /// From the start of the program until clients can connect. The engine has scanned all files by then.
    start: Duration,
    /// From then on until the end of the run.
    run: Duration,
    /// Peak memory of the engine, in bytes.
    peak: u64,
    /// CPU seconds of the engine's main thread after the start.
    decides_s: f64,
    /// CPU seconds of all threads after the start, without the one that serves clients.
    engine_s: f64,
    /// CPU seconds of the thread that serves clients.
    serves_s: f64,
    /// From connecting to the first snapshot.
    attach: Vec<Duration>,
    /// Response times to the queries of [`ask`].
    answers: [Vec<Duration>; 3],
}

/// A dataset of this many "videos" that take no time: hard links of few files. One of three is larger.
fn dataset(videos: usize) -> Bench {
    let bench = Bench::new(&[]);
    let name = |i: usize| bench.path(&format!("data/Class {:03}/v_{i:07}.mp4", i % CLASSES));
    for class in 0..CLASSES.min(videos) {
        fs::create_dir(name(class).parent().unwrap()).unwrap();
    }
    for i in 0..videos {
        let source = bench.path(&format!("source {} {}", i / NAMES, i % 3 == 0));
        if i % NAMES < 3 {
            // The fake worker reports success and writes nothing. It ignores the second word.
            fs::write(&source, if i % 3 == 0 { LARGER } else { "nowrite" }).unwrap();
        }
        fs::hard_link(&source, name(i)).unwrap();
    }
    // A deep queue, so that the workers are the bottleneck, not the disk of the journal.
    bench.configure("[engine]\nlinger_s = 600\n[worker]\ndecoders = 63\n");
    bench
}

fn connect(out: &Path) -> Client {
    let holder = runs(out).unwrap().remove(0);
    Client::connect(out, &holder).unwrap()
}

fn rows(client: &mut Client, filter: &Filter, sort: Sort, offset: usize) -> (usize, Vec<Row>) {
    let query = |id| ToEngine::Query { id, filter: filter.clone(), sort, offset, len: 50 };
    match client.ask(query).unwrap() {
        FromEngine::Rows { total, rows, .. } => (total, rows),
        other => panic!("{other:?}"),
    }
}

/// Runs the engine in the background over this many videos, and connects and queries all the time.
fn measure(videos: usize) -> Costs {
    let bench = dataset(videos);
    let out = bench.path("out");
    let began = Instant::now();
    let ran = bench.run(&["extract", "--detach", "--devices", "cpu*4"]);
    let start = began.elapsed();
    assert_eq!(ran.code, 0, "{ran:?}");
    let holder = runs(&out).unwrap().remove(0);
    let engine = Process::of(holder.pid).unwrap();
    let (began, before) = (Instant::now(), [engine.cpu_s(), engine.cpu_s_of("reeldeck"), engine.cpu_s_of("server")]);
    let (mut attach, mut answers) = (vec![], [(); 3].map(|()| vec![]));
    let mut last = 0;
    loop {
        let since = Instant::now();
        let snapshot = connect(&out).snapshot().unwrap();
        attach.push(since.elapsed());
        check(&snapshot, videos, &mut last);
        if snapshot.phase == Phase::Idle {
            break;
        }
        ask(&out, videos, &mut answers);
        sleep(Duration::from_millis(100));
    }
    let run = began.elapsed();
    let after = [engine.cpu_s(), engine.cpu_s_of("reeldeck"), engine.cpu_s_of("server")];
    let [all, decides_s, serves_s] = [0, 1, 2].map(|i| after[i] - before[i]);
    let mut client = connect(&out);
    let done = Filter { states: vec![RowState::Done], ..Filter::default() };
    assert_eq!(rows(&mut client, &done, Sort::default(), 0).0, videos, "all are done");
    let peak = engine.peak();
    client.command(Command::Stop { now: false }).unwrap();
    wait_for("the engine exits", || !engine.lives());
    Costs { videos, start, run, peak, decides_s, engine_s: all - serves_s, serves_s, attach, answers }
}

/// The counts of a snapshot add up and never decrease.
fn check(snapshot: &Snapshot, videos: usize, last: &mut usize) {
    let counts = snapshot.counts;
    assert_eq!(counts.videos, videos);
    assert_eq!(counts.done + counts.queued + counts.running, videos, "{counts:?}");
    assert!(counts.done >= *last && counts.running <= 4 * 64, "{counts:?}");
    *last = counts.done;
}

/// Queries a window in the middle of all rows, of the rows with a text in their name, and of the largest ones. Each query uses
/// a new connection, so that no cached view helps.
fn ask(out: &Path, videos: usize, answers: &mut [Vec<Duration>; 3]) {
    let all = Filter::default();
    let text = Filter { text: "V_00001".into(), ..Filter::default() };
    let with_text = videos.min(200) - 100;
    let largest = Sort { by: Column::Size, descending: true };
    let questions = [(&all, Sort::default(), videos / 2), (&text, Sort::default(), with_text / 2), (&all, largest, 0)];
    for ((filter, sort, offset), times) in questions.into_iter().zip(answers) {
        let mut client = connect(out);
        let since = Instant::now();
        let (total, rows) = rows(&mut client, filter, sort, offset);
        times.push(since.elapsed());
        assert_eq!(total, if filter.text.is_empty() { videos } else { with_text });
        assert_eq!(rows.len(), 50.min(total - offset));
        assert!(filter.text.is_empty() || rows.iter().all(|row| row.video.contains("v_00001")));
        assert!(sort != largest || rows.iter().all(|row| row.size == LARGER.len() as u64));
        assert!(sort == largest || rows.is_sorted_by(|a, b| a.video < b.video));
    }
}

/// The median and the maximum, in milliseconds.
fn in_ms(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort();
    let ms = |time: Option<&Duration>| time.map_or("–".into(), |time| format!("{:.1}", time.as_secs_f64() * 1000.0));
    format!("{} / {}", ms(sorted.get(sorted.len() / 2)), ms(sorted.last()))
}

impl Costs {
    /// A worker sends two messages for each video: progress and completion.
    fn events(&self) -> f64 {
        2.0 * self.videos as f64
    }

    fn print(&self) {
        let Self { videos, start, run, peak, .. } = self;
        let us = |seconds: f64| seconds * 1e6 / self.events();
        println!(
            "| {videos} | {:.1} | {:.1} | {:.0} | {:.0} | {:.1} | {:.1} | {} | {} | {} | {} |",
            start.as_secs_f64(),
            run.as_secs_f64(),
            *peak as f64 / (1 << 20) as f64,
            *peak as f64 / *videos as f64,
            us(self.decides_s),
            us(self.engine_s),
            in_ms(&self.attach),
            in_ms(&self.answers[0]),
            in_ms(&self.answers[1]),
            in_ms(&self.answers[2]),
        );
        println!("  (serving clients: {:.1} s of CPU, {} times asked)", self.serves_s, self.attach.len());
    }
}

fn print_head() {
    println!(
        "| videos | start, s | run, s | peak, MiB | peak, bytes a video | CPU µs an event, deciding | CPU µs an event, all | \
         attach, ms | a window, ms | with a text, ms | the largest, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
}

#[test]
fn fifty_thousand_videos_are_done_in_bounded_memory_and_clients_are_answered_meanwhile() {
    let costs = measure(50_000);
    print_head();
    costs.print();
    assert!(costs.peak < MOST, "{} bytes", costs.peak);
    assert!(!costs.answers[0].is_empty(), "a client asked during the run");
}

#[test]
#[ignore = "a million files; run by make scale"]
fn the_table_of_the_benchmarks() {
    print_head();
    for videos in [5_000, 50_000, 1_000_000] {
        measure(videos).print();
    }
}
