//! Measurements from outside of the program.

use std::fs;
use std::time::{Duration, Instant};

use super::bench::{CONFIG, bench, borrowed, gone, open, slow};

/// Measures (`make tui-bench`). It prints the results and only checks that everything works.
#[test]
#[ignore = "it measures, on a machine that does nothing else"]
fn figures() {
    let videos = slow(2_000, 1_000);
    let bench = bench(&borrowed(&videos), &CONFIG.replace("checkpoint", "devices = \"cpu*8\"\ncheckpoint"));
    let began = Instant::now();
    let mut screen = open(&bench, &[], 120, 40);
    while screen.bytes() < 500 {
        std::thread::sleep(Duration::from_micros(200));
    }
    println!("start to first frame: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    screen.shows("ready to start");
    println!("start to the dataset on the screen: {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    screen.press("s", "● running");
    screen.shows("✔ done 1");
    for (how, arguments) in [("4 Hz", &[][..]), ("--low-bandwidth", &["--low-bandwidth"])] {
        let screen = open(&bench, arguments, 120, 40);
        screen.shows("● running");
        std::thread::sleep(Duration::from_secs(3));
        let (before, began) = (screen.bytes(), Instant::now());
        std::thread::sleep(Duration::from_secs(20));
        let rate = (screen.bytes() - before) as f64 / began.elapsed().as_secs_f64();
        println!("steady run of 8 devices at 120x40, {how}: {rate:.0} bytes/s");
    }
    let mut charts = open(&bench, &[], 200, 50);
    charts.shows("● running");
    charts.press("3z", "Utilisation");
    std::thread::sleep(Duration::from_secs(3));
    let (before, began) = (charts.bytes(), Instant::now());
    std::thread::sleep(Duration::from_secs(20));
    let rate = (charts.bytes() - before) as f64 / began.elapsed().as_secs_f64();
    println!("the charts of a device at 200x50: {rate:.0} bytes/s");
    drop(charts);
    screen.press("G", "2,000/2,000 ");
    let mut times = vec![];
    for i in 0..60 {
        let (key, then) = if i % 2 == 0 { ("g", "") } else { ("G", "2,000/2,000 ") };
        let began = Instant::now();
        match then {
            "" => drop(screen.send("gg").until("the first row", |text| text.contains(" 1/2,000 "))),
            then => drop(screen.press(key, then)),
        }
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "key to screen with a run going, first to last of 2,000 and back: median {:.0} ms, worst {:.0} ms (looked at every 15 ms)",
        times[30], times[59]
    );
    let status = fs::read_to_string(format!("/proc/{}/status", screen.pid())).unwrap();
    println!("window: {}", status.lines().find(|line| line.starts_with("VmRSS")).unwrap());
    screen.send("q").shows("detach");
    screen.send("x");
    screen.ends();
    gone(&bench);
}
