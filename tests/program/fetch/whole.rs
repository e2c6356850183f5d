//! Only a whole file of one version is kept, and secrets in an address stay secret.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use reeldeck::internals::fetch::{FetchError, Policy};

use super::server::{Request, Server, head, serve};
use super::{QUICK, Try, checkpoint, content, name_of};

/// The rest of `bytes` from the start that is requested, under these further header lines.
fn rest(request: &Request, stream: &mut TcpStream, bytes: &[u8], headers: &str) -> std::io::Result<()> {
    let (start, total) = (request.start().unwrap(), bytes.len());
    let text = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{total}\r\nContent-Length: {}\r\n\
         {headers}Connection: close\r\n\r\n",
        total - 1,
        total - start
    );
    stream.write_all(text.as_bytes())?;
    stream.write_all(&bytes[start..])
}

/// A body whose length the client is not told.
fn without_length(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
    stream.write_all(bytes)
}

#[test]
fn the_rest_of_another_version_is_not_appended() {
    let (old, new) = (checkpoint(1), checkpoint(2));
    let times = |changed: &str| format!("Last-Modified: {changed}\r\nDate: Sun, 29 Nov 2026 12:00:00 GMT\r\n");
    let monday = "Mon, 01 Jun 2026 12:00:00 GMT";
    for (first, second) in [
        ("ETag: \"a\"\r\n".to_owned(), "ETag: \"b\"\r\n".to_owned()),
        ("ETag: \"a\"\r\n".to_owned(), "ETag: W/\"a\"\r\n".to_owned()),
        ("ETag: \"a\"\r\n".to_owned(), String::new()),
        (times(monday), times("Tue, 02 Jun 2026 12:00:00 GMT")),
        (times(monday), String::new()),
    ] {
        let (before, after, header) = (old.clone(), new.clone(), second.clone());
        let server = Server::start(move |number, request, stream| match number {
            0 => {
                let length = before.len();
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{first}Connection: close\r\n\r\n")?;
                stream.write_all(&before[..200_000])
            }
            // It ignores If-Range.
            _ if request.start().is_some() => rest(request, stream, &after, &header),
            _ => serve(request, stream, &after, "\"b\""),
        });
        let case = Try::new();
        let place = case.get(&server.url("plain.pth"), QUICK).unwrap();
        assert!(fs::read(place).unwrap() == new && case.nothing_partial(), "{second:?}");
        assert_eq!(server.seen().iter().map(Request::start).collect::<Vec<_>>(), [None, Some(200_000), None]);
    }
}

#[test]
fn a_file_of_another_length_is_another_version() {
    let (bytes, served) = (content(), content());
    let server = Server::start(move |number, request, stream| match number {
        0 => {
            head(stream, bytes.len() + 1, "\"1\"")?;
            stream.write_all(&[7; 100_000])
        }
        _ => serve(request, stream, &bytes, "\"1\""),
    });
    let case = Try::new();
    let place = case.get(&server.url("plain.pth"), QUICK).unwrap();
    assert!(fs::read(place).unwrap() == served);
    assert_eq!(server.seen()[2].start(), None);
}

#[test]
fn a_server_that_does_not_identify_versions_is_asked_for_the_whole_file() {
    let (bytes, served) = (content(), content());
    let server = Server::start(move |number, _, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len())?;
        stream.write_all(if number == 0 { &bytes[..1000] } else { &bytes })
    });
    let case = Try::new();
    let place = case.get(&server.url(&name_of(&served)), QUICK).unwrap();
    assert!(fs::read(place).unwrap() == served);
    assert_eq!(server.seen()[1].start(), None);
}

#[test]
fn an_encoding_that_was_not_asked_for_is_refused() {
    let server = Server::start(|_, _, stream| {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n\u{1}\u{2}\u{3}";
        stream.write_all(text.as_bytes())
    });
    let case = Try::new();
    let error = case.get(&server.url("w.pth"), QUICK).unwrap_err();
    assert!(format!("{:#}", anyhow::Error::from(error)).contains("in the encoding \"gzip\""));
    assert_eq!(server.seen().len(), 1, "another attempt would not help");
    assert!(!case.cache.folder().join("w.pth").exists() && case.nothing_partial());
}

#[test]
fn a_file_of_unknown_length_is_kept_only_if_its_checksums_show_that_it_is_whole() {
    let bytes = content();
    let served = bytes.clone();
    let server = Server::start(move |_, _, stream| without_length(stream, &served));
    let case = Try::new();
    let place = case.get(&server.url("plain.pth"), QUICK).unwrap();
    assert!(fs::read(place).unwrap() == bytes);

    // Cut, in chunks and without them.
    let served = bytes.clone();
    let server = Server::start(move |_, _, stream| without_length(stream, &served[..300_000]));
    let error = Try::new().get(&server.url("plain.pth"), QUICK).unwrap_err();
    assert!(matches!(error, FetchError::Damaged { .. }), "{error}");
    let server = Server::start(move |_, _, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n493e0\r\n")?;
        stream.write_all(&bytes[..300_000])?;
        stream.write_all(b"\r\n0\r\n\r\n")
    });
    let case = Try::new();
    let error = case.get(&server.url("plain.pth"), QUICK).unwrap_err();
    assert!(matches!(error, FetchError::Damaged { .. }), "{error}");
    assert!(case.nothing_partial(), "the next attempt starts from the beginning");
}

#[test]
fn a_page_in_place_of_a_checkpoint_is_not_kept() {
    let page = b"<html>Please log in</html>";
    let server = Server::start(move |_, request, stream| serve(request, stream, page, "\"1\""));
    let case = Try::new();
    let error = case.get(&server.url("plain.pth"), QUICK).unwrap_err();
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(text.contains("is not a whole checkpoint") && text.contains("web page"), "{text}");
    assert!(case.nothing_partial());
}

#[test]
fn a_download_that_does_not_fit_is_refused_before_it_starts_and_while_it_grows() {
    let bytes = content();
    let served = bytes.clone();
    let server = Server::start(move |_, request, stream| serve(request, stream, &served, "\"1\""));
    let full = Policy { free_space: |_| Ok((64 << 20) + 1000), ..QUICK };
    let case = Try::new();
    let error = case.get(&server.url("plain.pth"), full).unwrap_err().to_string();
    assert!(error.contains("the download needs 500.75 kB more") && error.contains("deep/cache"), "{error}");
    assert!(case.get(&server.url("plain.pth"), QUICK).is_ok(), "with more room it succeeds");

    // An endless body of unknown length, on a disk with room for 20 MB more than stays free.
    let endless = Server::start(|_, _, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        loop {
            stream.write_all(&[7; 1 << 16])?;
        }
    });
    let filling = Policy {
        free_space: |path| Ok((84u64 << 20).saturating_sub(fs::metadata(path).map_or(0, |metadata| metadata.len()))),
        ..QUICK
    };
    let case = Try::new();
    let error = case.get(&endless.url("plain.pth"), filling).unwrap_err();
    assert!(matches!(error, FetchError::NoSpace { needed: None, .. }), "{error}");
    assert!(case.nothing_partial(), "it stops writing to the disk");
}

#[test]
fn secrets_of_an_address_are_neither_shown_nor_stored() {
    let bytes = content();
    let server = Server::start(move |_, _, stream| {
        head(stream, bytes.len(), "\"1\"")?;
        stream.write_all(&bytes[..1000])
    });
    let url = format!("http://me:hunter2@127.0.0.1:{}/w.pth?token=hunter3#hunter4", server.port);
    let case = Try::new();
    let error = case.get(&url, Policy { attempts: 0, ..QUICK }).unwrap_err();
    let text = format!("{:#} {:?}", anyhow::Error::from(error), case.notes.0.borrow());
    assert!(!text.contains("hunter") && text.contains(&format!("http://127.0.0.1:{}/w.pth", server.port)), "{text}");
    assert!(text.contains("user name, password or query"), "{text}");
    let files = walkdir::WalkDir::new(case.dir.path()).into_iter().map(|entry| entry.unwrap().path().to_owned());
    let mark = files.into_iter().find(|path| path.to_string_lossy().ends_with(".part.mark")).unwrap();
    assert_eq!(fs::metadata(&mark).unwrap().permissions().mode() & 0o777, 0o600);
    let noted = fs::read_to_string(mark).unwrap();
    assert!(!noted.contains("hunter") && noted.contains("127.0.0.1"), "{noted}");
    for bad in
        ["ftp://me:hunter2@a.org/w.pth", "http://me:hunter2@a.org/?hunter3", "http://me:hunter2@a b/w.pth?hunter3"]
    {
        let error = case.get(bad, Policy { attempts: 0, ..QUICK }).unwrap_err();
        assert!(!format!("{:#}", anyhow::Error::from(error)).contains("hunter"), "{bad}");
    }
}

#[test]
fn a_file_that_is_larger_than_any_checkpoint_is_refused_with_its_size() {
    let server = Server::start(|_, _, stream| head(stream, 1_000_000_000_000_000, "\"1\""));
    let case = Try::new();
    let error = format!("{:#}", anyhow::Error::from(case.get(&server.url("w.pth"), QUICK).unwrap_err()));
    assert!(error.contains("the file has 1000000000000000 bytes or more"), "{error}");
    assert!(server.seen().len() == 1 && case.nothing_partial(), "it is not asked again: {error}");
}

#[test]
fn a_server_that_always_begins_another_version_is_not_asked_without_end() {
    let bytes = content();
    let served = bytes.clone();
    let server = Server::start(move |number, request, stream| {
        let tag = format!("ETag: \"{number}\"\r\n");
        if request.start().is_some() {
            return rest(request, stream, &served, &tag);
        }
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{tag}Connection: close\r\n\r\n", served.len())?;
        stream.write_all(&served[..200_000])
    });
    let case = Try::new();
    case.get(&server.url("w.pth"), QUICK).unwrap_err();
    assert!(server.seen().len() <= 2 * QUICK.attempts as usize, "{}", server.seen().len());

    // One that sends a little more each time is asked a limited number of times.
    let server = Server::start(move |_, request, stream| {
        let start = request.start().unwrap_or_default();
        if start == 0 {
            head(stream, bytes.len(), "\"1\"")?;
        } else {
            let (last, total) = (bytes.len() - 1, bytes.len());
            write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{last}/{total}\r\nContent-Length: {}\r\n\
                 ETag: \"1\"\r\nConnection: close\r\n\r\n",
                total - start
            )?;
        }
        stream.write_all(&bytes[start..start + 10])
    });
    case.get(&server.url("slow.pth"), QUICK).unwrap_err();
    assert_eq!(server.seen().len(), QUICK.most_attempts as usize);
}
