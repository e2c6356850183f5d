//! Which runs of a waiting engine end with an export, and what a window is told about that before.

use std::fs;
use std::process::Stdio;

use crate::support::{Bench, RECIPE, wait_for};
use reeldeck::internals::client::{Client, runs};
use reeldeck::internals::protocol::Command;
use reeldeck::internals::protocol::snapshot::{Phase, Snapshot};

#[test]
fn a_run_announces_a_result_only_if_it_writes_one() {
    let pooled = RECIPE.replace("[\"logits\"]", "[\"pooled\"]");
    for (recipe, arguments, exports) in
        [(RECIPE, &[][..], true), (RECIPE, &["--limit", "1"], false), (pooled.as_str(), &[], false)]
    {
        let bench = Bench::new(&[("A/v_1.mp4", "ok"), ("A/v_2.mp4", "ok")]);
        fs::write(bench.path("tiny.toml"), recipe).unwrap();
        bench.configure("[engine]\nlinger_s = 1\norder = \"list\"\n");
        let mut command = bench.command(&[&["engine", "--wait"], arguments].concat());
        // The engine exits by itself; the test waits for it.
        drop(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let connect = || {
            let out = bench.path("out");
            let holder = runs(&out).ok()?.into_iter().next()?;
            Client::connect(&out, &holder).ok()
        };
        let is_ready = |mut client: Client| client.snapshot().is_ok_and(|now| now.phase != Phase::Starting);
        wait_for("it has started", || connect().is_some_and(is_ready));
        let mut client = connect().unwrap();
        assert_eq!(client.welcome().exports_result, exports, "{arguments:?}");
        client.subscribe().unwrap();
        client.command(Command::Start).unwrap();
        let is_over = |now: &Snapshot| now.ended.is_some() && !now.exporting && (now.counts.done > 0);
        wait_for("the run is over", || is_over(&client.snapshot().unwrap()));
        wait_for("it has exported", || {
            let log = client.log(50).unwrap();
            !exports || log.iter().any(|line| line.text.starts_with("exported 2 videos"))
        });
        drop(client);
        wait_for("the engine exits", || runs(&bench.path("out")).unwrap().is_empty());
        assert!(!bench.engine_log().contains("export failed"), "{}", bench.engine_log());
        assert_eq!(bench.engine_log().contains("exported"), exports, "{}", bench.engine_log());
    }
}
