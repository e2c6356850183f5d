//! The program downloads weights, reports it, and explains what to do without a network.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::server::{Server, serve};
use super::{content, name_of};
use crate::support::{Bench, Ran, wait_for};

/// The program with an empty home folder.
fn reeldeck(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.current_dir(home).env("HOME", home).env_remove("XDG_CACHE_HOME").args(arguments);
    command
}

#[test]
fn fetch_reports_downloads_and_helps_without_a_network() {
    let bytes = content();
    let name = name_of(&bytes);
    let served = bytes.clone();
    let server = Server::start(move |_, request, stream| serve(request, stream, &served, "\"1\""));
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("data/A")).unwrap();
    fs::write(home.path().join("data/A/v_1.mp4"), "no video").unwrap();
    let url = server.url(&name);
    let dry = ["--batch", "--dry-run", "--checkpoint", &url];
    let output = reeldeck(home.path(), &dry).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("not downloaded yet") && server.seen().is_empty(), "a dry run gets nothing: {text}");

    // There is no worker, so the run fails; but the weights are downloaded.
    let mut run = reeldeck(home.path(), &["--batch", "--checkpoint", &url]);
    let output = run.env("REELDECK_WORKER", "/bin/false").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("weights: "), "progress: {text}");
    assert!(fs::read(home.path().join(".cache/reeldeck/checkpoints").join(&name)).unwrap() == bytes, "{text}");
    let output = reeldeck(home.path(), &dry).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));

    // Through a proxy, which gets a host name that only it can resolve.
    let proxy =
        Server::start(|_, _, stream| stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"));
    let mut run = reeldeck(home.path(), &["--batch", "--checkpoint", "https://weights.invalid/w.pth"]);
    run.env("HTTPS_PROXY", format!("http://127.0.0.1:{}", proxy.port));
    let output = run.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("wget -c https://weights.invalid/w.pth"), "{text}");
    assert!(!proxy.seen().is_empty() && proxy.seen()[0].path == "weights.invalid:443", "{:?}", proxy.seen());
}

#[test]
fn a_proxy_or_certificates_that_cannot_be_used_are_an_error() {
    let home = tempfile::tempdir().unwrap();
    for (name, value, says) in [
        ("HTTPS_PROXY", "htp://me:hunter2@proxy:3128", "HTTPS_PROXY is not the address of a proxy"),
        ("all_proxy", "socks5://me:hunter2@proxy", "all_proxy names a SOCKS proxy"),
        ("SSL_CERT_FILE", "none.pem", "SSL_CERT_FILE names none.pem, which cannot be read"),
    ] {
        let mut run = reeldeck(home.path(), &["fetch", "--checkpoint", "https://weights.invalid/w.pth"]);
        let output = run.env(name, value).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(says) && text.contains("; correct or unset it"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("wget"), "{text}");
    }
}

/// A disk may damage what was downloaded whole. Telling the user to download it again would not help: the file is there.
#[test]
fn a_damaged_file_in_the_cache_is_downloaded_again() {
    let bytes = content();
    let name = name_of(&bytes);
    let served = bytes.clone();
    let server = Server::start(move |_, request, stream| serve(request, stream, &served, "\"1\""));
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("data/A")).unwrap();
    let place = home.path().join(".cache/reeldeck/checkpoints").join(&name);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    let mut damaged = bytes.clone();
    damaged[1000] ^= 1;
    fs::write(&place, damaged).unwrap();
    let output = reeldeck(home.path(), &["fetch", "--checkpoint", &server.url(&name)]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains(&name) && text.contains("is damaged; downloading it again"), "{text}");
    assert!(fs::read(&place).unwrap() == bytes);
}

/// Every user of a machine can read the arguments of all processes.
#[test]
fn the_secrets_of_an_address_are_no_arguments_of_the_engine() {
    let bytes = content();
    let name = name_of(&bytes);
    let server = Server::start(move |_, request, stream| serve(request, stream, &bytes, "\"1\""));
    let bench = Bench::new(&[("A/v_1.mp4", "until go")]);
    let url = format!("http://me:hunter2@127.0.0.1:{}/{name}?token=hunter3", server.port);
    let home = |arguments: &[&str]| {
        let mut command = bench.command(arguments);
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command.env("HOME", bench.dir.path()).env_remove("XDG_CACHE_HOME");
        command
    };
    let ran = Ran::to_the_end(&mut home(&["--batch", "--detach", "--checkpoint", &url]));
    assert_eq!(ran.code, 0, "{ran:?}");
    let holder = fs::read(bench.engine_file()).unwrap();
    let holder: serde_json::Value = serde_json::from_slice(&holder).unwrap();
    let arguments = fs::read(format!("/proc/{}/cmdline", holder["pid"])).unwrap();
    let arguments = String::from_utf8(arguments).unwrap();
    assert!(arguments.contains("engine") && !arguments.contains("hunter"), "{arguments:?}");
    fs::write(bench.path("go"), "").unwrap();
    wait_for("it is done", || bench.path("out/exports").exists() && bench.export("result.pkl").exists());
    let _ = bench.run(&["stop"]);
}
