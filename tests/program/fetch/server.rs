//! A local server with scripted responses that records its requests.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A request: the path, and its header lines in lower case.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    headers: Vec<String>,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The start of the requested range.
    pub fn start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// A local server. Each connection is one request, which `answer` handles with the number of earlier requests.
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(
        answer: impl Fn(usize, &Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (log, answer, count) = (Arc::clone(&seen), Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, log, answer, count) =
                    (stream.unwrap(), Arc::clone(&log), Arc::clone(&answer), Arc::clone(&count));
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                    let first = lines.next().unwrap_or_default();
                    let headers: Vec<String> =
                        lines.take_while(|line| !line.is_empty()).map(|line| lower_name(&line)).collect();
                    let request = Request { path: first.split(' ').nth(1).unwrap_or_default().into(), headers };
                    log.lock().unwrap().push(request.clone());
                    // A client may close the connection early.
                    let _ = answer(count.fetch_add(1, Ordering::SeqCst), &request, &mut stream);
                });
            }
        });
        Self { port, seen }
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn lower_name(line: &str) -> String {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    format!("{}: {}", name.to_ascii_lowercase(), value.trim())
}

/// A correct response: the whole file or the requested range.
pub fn serve(request: &Request, stream: &mut TcpStream, bytes: &[u8], mark: &str) -> std::io::Result<()> {
    let fits = request.header("if-range").is_none_or(|asked| asked == mark);
    match request.start().filter(|start| fits && *start < bytes.len()) {
        Some(start) => {
            let (last, total) = (bytes.len() - 1, bytes.len());
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{last}/{total}\r\nContent-Length: {}\r\n\
                 ETag: {mark}\r\nConnection: close\r\n\r\n",
                total - start
            );
            stream.write_all(head.as_bytes())?;
            stream.write_all(&bytes[start..])
        }
        None => {
            head(stream, bytes.len(), mark)?;
            stream.write_all(bytes)
        }
    }
}

/// The head of a response with the whole file.
pub fn head(stream: &mut TcpStream, length: usize, mark: &str) -> std::io::Result<()> {
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nETag: {mark}\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes())
}
