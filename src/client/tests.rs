//! Deadlines of a client, against engines that do not answer.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use reeldeck_common::protocol::line;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use super::connection::{connect_within, is_timeout};
use super::*;

const TIMEOUT: Duration = Duration::from_millis(200);

/// An engine that is not there: a socket that does what `serve` does with the first connection.
fn engine(serve: impl FnOnce(UnixStream) + Send + 'static) -> (tempfile::TempDir, Holder) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || serve(listener.accept().unwrap().0));
    let holder = Holder { socket: Some(socket), ..holder::tests::holder("") };
    (dir, holder)
}

fn connect_to(dir: &tempfile::TempDir, holder: &Holder) -> Result<Client, ClientError> {
    Client::connect_within(dir.path(), holder, TIMEOUT)
}

fn greet(mut stream: &UnixStream, out: &Path) {
    let welcome = Welcome {
        version: VERSION,
        tool: String::new(),
        pid: 4711,
        root: out.to_owned(),
        out: out.to_owned(),
        set: String::new(),
        dataset: String::new(),
        checkpoint: String::new(),
        synthetic_weights: false,
        manifest: None,
        settings: 0,
        exports_result: true,
    };
    stream.write_all(line(&FromEngine::Welcome(welcome)).unwrap().as_bytes()).unwrap();
}

#[test]
fn an_engine_that_never_greets_is_given_up_at_the_deadline() {
    let (dir, holder) = engine(|stream| {
        // Until the client has left.
        let _ = BufReader::new(stream).lines().count();
    });
    let error = connect_to(&dir, &holder).err().unwrap();
    let text = error.to_string();
    assert!(text.contains("process 4711") && text.contains("socket") && text.contains("`kill 4711`"), "{text}");
    assert!(matches!(error, ClientError::NoAnswer { .. }));
}

#[test]
fn events_do_not_extend_the_deadline_of_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_owned();
    let (_socket, holder) = engine(move |mut stream| {
        greet(&stream, &out);
        let event = line(&FromEngine::Resync { revision: 1 }).unwrap();
        while stream.write_all(event.as_bytes()).is_ok() {
            std::thread::sleep(TIMEOUT / 20);
        }
    });
    let mut client = connect_to(&dir, &holder).unwrap();
    assert!(matches!(client.snapshot(), Err(ClientError::NoAnswer { .. })));
}

#[test]
fn a_socket_whose_queue_is_full_is_given_up_at_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None).unwrap();
    rustix::net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let mut waiting = vec![];
    let error = loop {
        match connect_within(&path, TIMEOUT) {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
    };
    assert!(is_timeout(&error) && !waiting.is_empty(), "{error}");
}

#[test]
fn a_line_may_arrive_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_owned();
    let (_socket, holder) = engine(move |mut stream| {
        greet(&stream, &out);
        let text = line(&FromEngine::Ok { id: 1, message: "paused".into() }).unwrap();
        let (first, rest) = text.split_at(10);
        stream.write_all(first.as_bytes()).unwrap();
        std::thread::yield_now();
        stream.write_all(rest.as_bytes()).unwrap();
        let _ = BufReader::new(stream).lines().count();
    });
    assert_eq!(connect_to(&dir, &holder).unwrap().command(Command::Pause).unwrap(), "paused");
}
