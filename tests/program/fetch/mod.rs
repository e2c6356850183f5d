//! Weights by URL, from a local server that stalls, cuts connections, sends wrong headers, redirects and serves other files.

mod program;
pub mod server;
mod whole;

use std::cell::RefCell;
use std::fs;
use std::io::{Cursor, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use reeldeck::internals::fetch::{self, Cache, Download, FetchError, Policy};
use reeldeck::internals::progress::{Progress, Size};
use reeldeck_common::digest::sha256;
use reeldeck_pickle::checkpoint::{TensorData, TensorEntry, write_checkpoint};
use server::{Request, Server, head, serve};

/// A checkpoint of half a megabyte.
fn content() -> Vec<u8> {
    checkpoint(0)
}

/// A checkpoint of half a megabyte. Those of different seeds have the same length.
fn checkpoint(seed: u32) -> Vec<u8> {
    let values: Vec<f32> = (0..125_000u32).map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 8) as f32).collect();
    let entry = TensorEntry { name: "a", shape: &[values.len()], data: TensorData::F32(&values) };
    write_checkpoint(Cursor::new(vec![]), "state_dict", [entry], &[]).unwrap().into_inner()
}

fn name_of(bytes: &[u8]) -> String {
    format!("tiny_20260101-{}.pth", &sha256(bytes)[..8])
}

#[derive(Default)]
struct Notes(RefCell<Vec<String>>);

impl Progress for Notes {
    fn begin(&self, _: &str, size: Size) {
        let Size::Bytes { present, total } = size else { panic!("{size:?}") };
        self.0.borrow_mut().push(format!("begin {present} {total:?}"));
    }
    fn note(&self, text: &str) {
        self.0.borrow_mut().push(text.to_owned());
    }
}

const QUICK: Policy = Policy {
    silence: Duration::from_secs(20),
    pause: Duration::from_millis(1),
    longest_pause: Duration::from_millis(1),
    attempts: 4,
    most_attempts: 50,
    free_space: |_| Ok(1 << 40),
};

struct Try {
    dir: tempfile::TempDir,
    cache: Cache,
    notes: Notes,
}

impl Try {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("deep/cache"));
        Self { dir, cache, notes: Notes::default() }
    }

    fn get(&self, url: &str, policy: Policy) -> Result<PathBuf, FetchError> {
        let download = Download { url: url.into(), sha256_prefix: String::new() };
        fetch::get(&download, &self.cache, policy, &self.notes)
    }

    /// Checks that there are only complete files and locks.
    fn nothing_partial(&self) -> bool {
        let mut names = walkdir::WalkDir::new(self.dir.path()).into_iter().map(|e| e.unwrap().path().to_owned());
        names.all(|path| !path.to_string_lossy().contains(".part"))
    }
}

#[test]
fn a_file_is_downloaded_once() {
    let bytes = content();
    let name = name_of(&bytes);
    let served = bytes.clone();
    let server = Server::start(move |_, request, stream| serve(request, stream, &served, "\"1\""));
    let case = Try::new();
    let place = case.get(&server.url(&name), QUICK).unwrap();
    assert_eq!(place, case.cache.folder().join(&name));
    assert!(fs::read(&place).unwrap() == bytes && case.nothing_partial());
    assert_eq!(case.get(&server.url(&name), QUICK).unwrap(), place);
    assert_eq!(server.seen().len(), 1, "the second request finds the file");
    assert!(
        server.seen()[0].header("accept-encoding").is_none_or(|e| e == "identity"),
        "the file, not a packing of it"
    );
}

#[test]
fn a_cut_transfer_is_resumed() {
    let bytes = content();
    let name = name_of(&bytes);
    let served = bytes.clone();
    // Twice it sends a part and closes the connection.
    let server = Server::start(move |number, request, stream| match number {
        0 => {
            head(stream, served.len(), "\"1\"")?;
            stream.write_all(&served[..100_000])
        }
        1 => {
            let start = request.start().unwrap();
            assert_eq!(start, 100_000);
            let text = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\nContent-Length: {}\r\n\r\n",
                served.len() - 1,
                served.len(),
                served.len() - start
            );
            stream.write_all(text.as_bytes())?;
            stream.write_all(&served[start..300_000])
        }
        _ => serve(request, stream, &served, "\"1\""),
    });
    let case = Try::new();
    let place = case.get(&server.url(&name), QUICK).unwrap();
    assert!(fs::read(place).unwrap() == bytes && case.nothing_partial());
    let seen = server.seen();
    assert_eq!(seen.iter().map(Request::start).collect::<Vec<_>>(), [None, Some(100_000), Some(300_000)]);
    assert_eq!(seen[1].header("if-range"), Some("\"1\""));
    assert!(
        case.notes.0.borrow().iter().any(|note| note.contains("the download was interrupted")),
        "{:?}",
        case.notes.0
    );
}

#[test]
fn a_partial_download_is_resumed_and_never_taken_for_the_file() {
    let bytes = content();
    let name = name_of(&bytes);
    let served = bytes.clone();
    let server = Server::start(move |number, request, stream| match number {
        0..3 => {
            head(stream, served.len(), "\"1\"")?;
            stream.write_all(&served[..50_000])
        }
        _ => serve(request, stream, &served, "\"1\""),
    });
    let case = Try::new();
    // With one attempt, the process gives up after the first connection.
    let once = Policy { attempts: 1, ..QUICK };
    let idle = Policy { attempts: 0, ..QUICK };
    assert!(case.get(&server.url(&name), idle).is_err());
    assert!(!case.cache.folder().join(&name).exists());
    assert_eq!(fs::metadata(case.cache.folder().join(format!("{name}.part"))).unwrap().len(), 50_000);
    // The server ignores the requested range: the download starts again.
    assert!(case.get(&server.url(&name), once).is_err());
    let place = case.get(&server.url(&name), QUICK).unwrap();
    assert!(fs::read(place).unwrap() == bytes && case.nothing_partial());

    // The file is complete, but the process ended before it renamed it.
    let whole = Try::new();
    fs::create_dir_all(whole.cache.folder()).unwrap();
    fs::write(whole.cache.folder().join(format!("{name}.part")), &bytes).unwrap();
    let total = bytes.len();
    let server = Server::start(move |_, request, stream| {
        assert_eq!(request.start(), Some(total));
        let text = format!(
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{total}\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(text.as_bytes())
    });
    let mark = whole.cache.folder().join(format!("{name}.part.mark"));
    fs::write(mark, format!("{}\n\"1\"\n", server.url(&name))).unwrap();
    let place = whole.get(&server.url(&name), QUICK).unwrap();
    assert!(fs::read(place).unwrap() == bytes && whole.nothing_partial());
}

#[test]
fn a_resumed_transfer_does_not_mix_two_versions() {
    let bytes = content();
    let name = "plain.pth";
    let served = bytes.clone();
    let server = Server::start(move |number, request, stream| match number {
        0 => {
            head(stream, served.len(), "\"old\"")?;
            stream.write_all(&[7; 100_000])
        }
        _ => serve(request, stream, &served, "\"new\""),
    });
    let case = Try::new();
    let place = case.get(&server.url(name), QUICK).unwrap();
    assert_eq!(server.seen()[1].header("if-range"), Some("\"old\""));
    assert!(fs::read(place).unwrap() == bytes, "the complete new file, although there is no digest");
}

#[test]
fn mixed_partial_files_are_detected_and_downloaded_again() {
    let bytes = content();
    let name = name_of(&bytes);
    let served = bytes.clone();
    let server = Server::start(move |_, request, stream| serve(request, stream, &served, "\"1\""));
    let case = Try::new();
    fs::create_dir_all(case.cache.folder()).unwrap();
    fs::write(case.cache.folder().join(format!("{name}.part")), [1; 1000]).unwrap();
    fs::write(case.cache.folder().join(format!("{name}.part.mark")), format!("{}\n\"1\"\n", server.url(&name)))
        .unwrap();
    let place = case.get(&server.url(&name), QUICK).unwrap();
    assert!(fs::read(place).unwrap() == bytes && case.nothing_partial());
    assert_eq!(server.seen().iter().map(Request::start).collect::<Vec<_>>(), [Some(1000), None]);
}

#[test]
fn a_stalled_transfer_is_retried() {
    let bytes = content();
    let name = name_of(&bytes);
    let served = bytes.clone();
    let held = Arc::new(Mutex::new(Vec::new()));
    let server = Server::start(move |number, request, stream| {
        if number > 0 {
            return serve(request, stream, &served, "\"1\"");
        }
        head(stream, served.len(), "\"1\"")?;
        stream.write_all(&served[..1000])?;
        // The connection stays open without data.
        held.lock().unwrap().push(stream.try_clone()?);
        Ok(())
    });
    let case = Try::new();
    let policy = Policy { silence: Duration::from_millis(300), ..QUICK };
    let place = case.get(&server.url(&name), policy).unwrap();
    assert!(fs::read(place).unwrap() == bytes);
    assert_eq!(server.seen()[1].start(), Some(1000));
}

#[test]
fn a_wrong_length_is_detected() {
    let bytes = content();
    let name = name_of(&bytes);
    // The announced length is too large.
    let served = bytes.clone();
    let server = Server::start(move |_, request, stream| {
        if let Some(start) = request.start() {
            let text = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\nContent-Length: 10\r\n\
                 Connection: close\r\n\r\n",
                start + 9,
                start + 10
            );
            return stream.write_all(text.as_bytes());
        }
        head(stream, served.len() + 10, "\"1\"")?;
        stream.write_all(&served)
    });
    let case = Try::new();
    let error = case.get(&server.url(&name), QUICK).unwrap_err();
    assert!(matches!(error, FetchError::Network { .. }), "{error}");
    assert!(!case.cache.folder().join(&name).exists());

    // The announced length is too small: the file is truncated, and its digest differs.
    let server = Server::start(move |_, _, stream| {
        head(stream, 1000, "\"1\"")?;
        stream.write_all(&bytes)
    });
    let case = Try::new();
    let error = case.get(&server.url(&name), QUICK).unwrap_err();
    assert!(matches!(error, FetchError::Another { .. }), "{error}");
    assert!(!case.cache.folder().join(&name).exists() && case.nothing_partial());

    // The response continues at another offset than it announces.
    let served = content();
    let server = Server::start(move |number, request, stream| match number {
        0 => {
            head(stream, served.len(), "\"1\"")?;
            stream.write_all(&served[..1000])
        }
        1 => stream.write_all(
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/500000\r\nContent-Length: 10\r\n\r\n0123456789",
        ),
        _ => serve(request, stream, &served, "\"1\""),
    });
    let case = Try::new();
    let place = case.get(&server.url("plain.pth"), QUICK).unwrap();
    assert!(fs::read(place).unwrap() == content());
}

#[test]
fn redirects_are_followed_and_loops_end() {
    let bytes = content();
    let name = name_of(&bytes);
    let served = bytes.clone();
    let server = Server::start(move |_, request, stream| match request.path.as_str() {
        path if path.starts_with("/real/") => serve(request, stream, &served, "\"1\""),
        "/circle.pth" => stream.write_all(
            b"HTTP/1.1 302 Found\r\nLocation: /circle.pth\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ),
        _ => stream.write_all(
            b"HTTP/1.1 302 Found\r\nLocation: /real/storage?id=7\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ),
    });
    let case = Try::new();
    let place = case.get(&server.url(&name), QUICK).unwrap();
    assert!(place.ends_with(&name), "named as requested, not as stored");
    assert!(fs::read(place).unwrap() == bytes);
    assert!(matches!(case.get(&server.url("circle.pth"), QUICK), Err(FetchError::Network { .. })));
}

#[test]
fn another_file_is_not_kept() {
    let name = name_of(&content());
    let page = b"<html>Please log in</html>";
    let server = Server::start(move |_, request, stream| serve(request, stream, page, "\"1\""));
    let case = Try::new();
    let error = case.get(&server.url(&name), QUICK).unwrap_err().to_string();
    assert!(error.contains("is not the expected one") && error.contains(&sha256(page)), "{error}");
    assert!(case.nothing_partial() && !case.cache.folder().join(&name).exists());

    // The digest in the recipe is used if the name contains none.
    let download = Download { url: server.url("w.pth"), sha256_prefix: "15b93b10".into() };
    assert!(matches!(fetch::get(&download, &case.cache, QUICK, &case.notes), Err(FetchError::Another { .. })));
}

#[test]
fn a_refused_download_names_an_alternative() {
    let server = Server::start(|_, _, stream| stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
    let case = Try::new();
    let url = server.url("w-15b93b10.pth");
    let error = case.get(&url, QUICK).unwrap_err();
    let text = format!("{:#}", anyhow::Error::from(error));
    let place = case.cache.folder().join("w-15b93b10.pth");
    let mut rest = &*text;
    // The cause comes before what to do.
    for part in ["answers 404", &format!("wget -c {url}"), place.to_str().unwrap(), "--checkpoint FILE"] {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("{part}: {text}")).1;
    }
    assert_eq!(server.seen().len(), 1, "a permanent error is not retried");

    // Some errors are temporary.
    let bytes = content();
    let name = name_of(&bytes);
    let server = Server::start(move |number, request, stream| match number {
        0..3 => stream.write_all(b"HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n"),
        _ => serve(request, stream, &bytes, "\"1\""),
    });
    assert!(case.get(&server.url(&name), QUICK).is_ok());

    // No server: a port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = case.get(&format!("http://127.0.0.1:{port}/w.pth"), QUICK).unwrap_err().to_string();
    assert!(text.contains("wget -c http://127.0.0.1"), "{text}");
}

#[test]
fn concurrent_downloads_fetch_once() {
    let bytes = content();
    let name = name_of(&bytes);
    let served = bytes.clone();
    let server = Server::start(move |_, request, stream| serve(request, stream, &served, "\"1\""));
    let case = Try::new();
    let (url, start) = (server.url(&name), Barrier::new(4));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let download = Download { url: url.clone(), sha256_prefix: String::new() };
                start.wait();
                let place = fetch::get(&download, &case.cache, QUICK, &Notes::default()).unwrap();
                assert!(fs::read(place).unwrap() == bytes);
            });
        }
    });
    assert_eq!(server.seen().len(), 1);
}
