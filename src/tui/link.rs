//! The connection to the engine. It finds the engine by its file in the output folder and reconnects when the
//! connection breaks.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reeldeck_common::protocol::line;
use reeldeck_process::LineReader;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::update::LinkEvent;
use crate::client::{self, ClientError};
use crate::config::Settings;
use crate::protocol::{FromEngine, ToEngine, VERSION};

/// The longest message of an engine, in bytes.
const MAX_LINE: usize = 1 << 24;

/// The engine's messages.
type Messages = LineReader<BufReader<OwnedReadHalf>>;

/// An engine that sends no welcome within this time counts as hung.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// An engine that reads nothing for this long while requests wait counts as lost.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// After this time without a message, the engine is asked for one. If none comes for as long again, it counts as hung.
const SILENCE: Duration = Duration::from_secs(8);

/// The pause between two attempts to find an engine.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// The same while there is no engine. It takes a look at the files of the engines.
const SEARCH_INTERVAL: Duration = Duration::from_secs(1);

/// Attempts after which there is no engine.
const MAX_ATTEMPTS: u32 = 8;

pub(super) enum LinkRequest {
    Send(ToEngine),
    /// An engine was started: look for it.
    Connect,
}

/// Keeps the connection up until the window closes. Without an engine it looks for the next one, which any program may start.
pub(super) async fn run(
    settings: Settings,
    mut requests: mpsc::UnboundedReceiver<LinkRequest>,
    events: mpsc::Sender<LinkEvent>,
) {
    let mut missed = 0;
    // Why there is no engine, as the window was told.
    let mut told: Option<String> = None;
    loop {
        let gone = match find(&settings).await {
            Ok(Some(socket)) => {
                (missed, told) = (0, None);
                let lost = match talk(socket, &mut requests, &events).await {
                    Ok(()) => return,
                    Err(error) => error.to_string(),
                };
                if events.send(LinkEvent::Lost(lost)).await.is_err() {
                    return;
                }
                None
            }
            Ok(None) => {
                missed += 1;
                (missed >= MAX_ATTEMPTS).then(|| "it has exited".to_owned())
            }
            Err(reason) => Some(reason),
        };
        if gone.is_some() && gone != told {
            told.clone_from(&gone);
            if events.send(LinkEvent::Gone(gone.unwrap_or_default())).await.is_err() {
                return;
            }
        }
        let pause = if told.is_some() { SEARCH_INTERVAL } else { RETRY_INTERVAL };
        if !wait(&mut requests, pause).await || events.is_closed() {
            return;
        }
    }
}

/// Waits before the next attempt, or until an engine was started. False if the window has closed.
async fn wait(requests: &mut mpsc::UnboundedReceiver<LinkRequest>, pause: Duration) -> bool {
    let until = tokio::time::Instant::now() + pause;
    loop {
        match tokio::time::timeout_at(until, requests.recv()).await {
            Err(_) | Ok(Some(LinkRequest::Connect)) => return true,
            // Requests to the previous engine are not for the next one.
            Ok(Some(LinkRequest::Send(_))) => {}
            Ok(None) => return false,
        }
    }
}

/// The socket of the engine that holds the output folder, if there is one. An error is a state that does not go away by
/// itself.
async fn find(settings: &Settings) -> Result<Option<PathBuf>, String> {
    let out = settings.out.clone();
    match tokio::task::spawn_blocking(move || client::find_run(&out)).await {
        Ok(Ok(holder)) => Ok(holder.socket),
        Ok(Err(ClientError::NoRun { .. } | ClientError::Locks { .. })) | Err(_) => Ok(None),
        Ok(Err(error)) => Err(error.to_string()),
    }
}

/// Connects to the engine and exchanges messages until the window closes (`Ok`) or the connection breaks.
async fn talk(
    socket: PathBuf,
    requests: &mut mpsc::UnboundedReceiver<LinkRequest>,
    events: &mpsc::Sender<LinkEvent>,
) -> io::Result<()> {
    exchange(UnixStream::connect(&socket).await?, requests, events, [WRITE_TIMEOUT, SILENCE]).await
}

async fn exchange(
    stream: UnixStream,
    requests: &mut mpsc::UnboundedReceiver<LinkRequest>,
    events: &mpsc::Sender<LinkEvent>,
    [write_timeout, silence]: [Duration; 2],
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut messages = LineReader::new(BufReader::with_capacity(1 << 16, reader), MAX_LINE);
    let hello = ToEngine::Hello { version: VERSION, tool: concat!("reeldeck ", env!("CARGO_PKG_VERSION")).into() };
    write(&mut writer, &hello, write_timeout).await?;
    let hung = |_| io::Error::new(io::ErrorKind::TimedOut, "it sends no greeting");
    match tokio::time::timeout(GREETING_TIMEOUT, read(&mut messages)).await.map_err(hung)?? {
        FromEngine::Welcome(welcome) => {
            if events.send(LinkEvent::Connected(Box::new(welcome))).await.is_err() {
                return Ok(());
            }
        }
        FromEngine::Refused { reason } => return Err(io::Error::other(reason)),
        _ => return Err(io::Error::other("it sends no greeting")),
    }
    // Both directions are polled at the same time. If a request had to be written before the next message is read, an
    // engine that is itself blocked on writing would never read that request.
    let (ask, asked) = mpsc::unbounded_channel();
    tokio::select! {
        received = receive(&mut messages, events, &ask, silence) => received,
        sent = send(&mut writer, requests, asked, write_timeout) => sent,
    }
}

/// Passes messages on until the window closes. An engine sends nothing while nothing changes, so a silent one is asked for its state.
async fn receive(
    messages: &mut Messages,
    events: &mpsc::Sender<LinkEvent>,
    ask: &mpsc::UnboundedSender<ToEngine>,
    silence: Duration,
) -> io::Result<()> {
    let hung = |_| io::Error::new(io::ErrorKind::TimedOut, "it does not respond");
    loop {
        let message = match tokio::time::timeout(silence, read(messages)).await {
            Ok(message) => message?,
            Err(_) => {
                let _ = ask.send(ToEngine::Snapshot { id: 0 });
                tokio::time::timeout(silence, read(messages)).await.map_err(hung)??
            }
        };
        if events.send(LinkEvent::Message(Box::new(message))).await.is_err() {
            return Ok(());
        }
    }
}

/// Sends requests until the window closes.
async fn send(
    writer: &mut OwnedWriteHalf,
    requests: &mut mpsc::UnboundedReceiver<LinkRequest>,
    mut asked: mpsc::UnboundedReceiver<ToEngine>,
    write_timeout: Duration,
) -> io::Result<()> {
    loop {
        let request = tokio::select! {
            request = requests.recv() => request,
            Some(question) = asked.recv() => Some(LinkRequest::Send(question)),
        };
        match request {
            Some(LinkRequest::Send(request)) => write(writer, &request, write_timeout).await?,
            Some(LinkRequest::Connect) => {}
            None => return writer.shutdown().await,
        }
    }
}

async fn write(writer: &mut OwnedWriteHalf, message: &ToEngine, write_timeout: Duration) -> io::Result<()> {
    let line = line(message)?;
    let hung = |_| io::Error::new(io::ErrorKind::TimedOut, "it does not accept requests");
    tokio::time::timeout(write_timeout, writer.write_all(line.as_bytes())).await.map_err(hung)?
}

async fn read(messages: &mut Messages) -> io::Result<FromEngine> {
    let message = messages.next_message_async().await.map_err(io::Error::other)?;
    message.ok_or_else(|| io::Error::other("it has exited"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::tests::fixtures::welcome;

    /// Far more than the buffers of a socket hold, at a kilobyte each.
    const MESSAGES: usize = 4_000;

    /// Only a link that hangs waits for this long.
    const DEADLINE: Duration = Duration::from_secs(120);

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(DEADLINE, test).await.expect("the link hangs") });
    }

    /// A queue of more requests than a socket buffer holds. The sender keeps it open: a closed queue ends the link.
    fn many_requests() -> (mpsc::UnboundedSender<LinkRequest>, mpsc::UnboundedReceiver<LinkRequest>) {
        let (sender, requests) = mpsc::unbounded_channel();
        for id in 0..MESSAGES as u64 {
            sender.send(LinkRequest::Send(ToEngine::Details { id, video: "v".repeat(1_000) })).unwrap();
        }
        (sender, requests)
    }

    async fn say(engine: &mut UnixStream, message: &FromEngine) {
        engine.write_all(serde_json::to_string(message).unwrap().as_bytes()).await.unwrap();
        engine.write_all(b"\n").await.unwrap();
    }

    #[test]
    fn messages_arrive_while_the_engine_does_not_read() {
        run(async {
            let (ours, mut engine) = UnixStream::pair().unwrap();
            let (_open, mut requests) = many_requests();
            let (sender, mut events) = mpsc::channel(1);
            let flood = async {
                say(&mut engine, &FromEngine::Welcome(welcome())).await;
                for _ in 0..MESSAGES {
                    say(&mut engine, &FromEngine::Ok { id: 1, message: "x".repeat(1_000) }).await;
                }
                std::future::pending::<()>().await;
            };
            let receive = async {
                assert!(matches!(events.recv().await, Some(LinkEvent::Connected(_))));
                for _ in 0..MESSAGES {
                    assert!(matches!(events.recv().await, Some(LinkEvent::Message(_))));
                }
            };
            tokio::select! {
                () = receive => {}
                () = flood => {}
                ended = exchange(ours, &mut requests, &sender, [DEADLINE, DEADLINE]) => panic!("the link ended: {ended:?}"),
            }
        });
    }

    #[test]
    fn an_engine_that_never_reads_is_reported_as_lost() {
        run(async {
            let (ours, mut engine) = UnixStream::pair().unwrap();
            say(&mut engine, &FromEngine::Welcome(welcome())).await;
            let (_open, mut requests) = many_requests();
            let (sender, _events) = mpsc::channel(1);
            let ended = exchange(ours, &mut requests, &sender, [Duration::from_millis(20), DEADLINE]).await;
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn an_engine_that_does_not_answer_is_reported_as_lost() {
        run(async {
            let (ours, mut engine) = UnixStream::pair().unwrap();
            say(&mut engine, &FromEngine::Welcome(welcome())).await;
            let (_open, mut requests) = mpsc::unbounded_channel();
            let (sender, _events) = mpsc::channel(1);
            let limits = [DEADLINE, Duration::from_millis(20)];
            let ended = exchange(ours, &mut requests, &sender, limits).await.unwrap_err();
            assert_eq!(ended.to_string(), "it does not respond");
            let mut sent = LineReader::new(BufReader::new(engine), MAX_LINE);
            let mut next = async || sent.next_message_async::<ToEngine>().await.unwrap().unwrap();
            assert!(matches!(next().await, ToEngine::Hello { .. }));
            assert_eq!(next().await, ToEngine::Snapshot { id: 0 }, "it was asked before");
        });
    }
}
