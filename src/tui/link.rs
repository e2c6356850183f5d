//! The connection to the engine: found by the output folder's lock, made again when it breaks, and never waited for.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reeldeck_common::protocol::line;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::update::FromLink;
use crate::client;
use crate::config::Settings;
use crate::engine::lock;
use crate::protocol::{FromEngine, ToEngine, VERSION};

/// No message from an engine is longer.
const MAX_LINE: u64 = 1 << 24;

/// An engine that does not greet for so long is taken to hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks for an engine.
const AGAIN: Duration = Duration::from_millis(250);

/// Looks without an engine after which there is none.
const LOOKS: u32 = 8;

/// What the connection is to be told.
pub enum ToLink {
    /// Say this.
    Say(ToEngine),
    /// An engine was started: look for it.
    Look,
}

/// Keeps up a connection until nobody listens any more.
pub async fn keep(settings: Settings, mut told: mpsc::UnboundedReceiver<ToLink>, said: mpsc::Sender<FromLink>) {
    let mut missed = 0;
    loop {
        let found = find(&settings).await;
        match found {
            Ok(Some(socket)) => {
                missed = 0;
                let lost = match talk(socket, &mut told, &said).await {
                    Ok(()) => return,
                    Err(error) => error.to_string(),
                };
                if said.send(FromLink::Lost(lost)).await.is_err() {
                    return;
                }
            }
            Ok(None) => missed += 1,
            Err(reason) => {
                missed = 0;
                if said.send(FromLink::Gone(reason)).await.is_err() {
                    return;
                }
                if !wait_to_look(&mut told).await {
                    return;
                }
            }
        }
        if missed >= LOOKS {
            missed = 0;
            if said.send(FromLink::Gone("it has ended".into())).await.is_err() || !wait_to_look(&mut told).await {
                return;
            }
        }
        tokio::time::sleep(AGAIN).await;
        if said.is_closed() {
            return;
        }
        // What was meant for the one before means nothing to the next.
        while told.try_recv().is_ok() {}
    }
}

/// Waits until it makes sense to look again; false where nobody wants it any more.
async fn wait_to_look(told: &mut mpsc::UnboundedReceiver<ToLink>) -> bool {
    loop {
        match told.recv().await {
            Some(ToLink::Look) => return true,
            Some(ToLink::Say(_)) => {}
            None => return false,
        }
    }
}

/// The socket of the engine that these settings mean, if there is one; an error is one that does not go away by itself.
async fn find(settings: &Settings) -> Result<Option<PathBuf>, String> {
    let (out, shard) = (settings.out.clone(), settings.shard);
    let looked = tokio::task::spawn_blocking(move || client::runs(&out)).await;
    let Ok(Ok(mut runs)) = looked else { return Ok(None) };
    if !shard.is_whole() {
        runs.retain(|(part, _)| *part == shard);
    }
    let host = lock::host();
    match runs.as_slice() {
        [] => Ok(None),
        [(_, holder)] if holder.host != host => Err(format!(
            "the run that holds the output folder is on host {} (process {}); go there to follow or steer it",
            holder.host, holder.pid
        )),
        [(_, holder)] => Ok(holder.socket.clone()),
        several => {
            let own: Vec<_> = several.iter().filter(|(_, holder)| holder.host == host).collect();
            match own.as_slice() {
                [(_, holder)] => Ok(holder.socket.clone()),
                _ => {
                    let parts: Vec<String> = several.iter().map(|(part, _)| part.to_string()).collect();
                    Err(format!(
                        "several runs hold the output folder: parts {}; say which with --shard",
                        parts.join(", ")
                    ))
                }
            }
        }
    }
}

/// Talks until nobody wants to any more, or until the connection breaks.
async fn talk(
    socket: PathBuf,
    told: &mut mpsc::UnboundedReceiver<ToLink>,
    said: &mpsc::Sender<FromLink>,
) -> io::Result<()> {
    let stream = UnixStream::connect(&socket).await?;
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::with_capacity(1 << 16, reading);
    let hello = ToEngine::Hello { version: VERSION, tool: concat!("reeldeck ", env!("CARGO_PKG_VERSION")).into() };
    writing.write_all(line(&hello)?.as_bytes()).await?;
    let mut text = vec![];
    let hung = |_| io::Error::new(io::ErrorKind::TimedOut, "it does not greet");
    match tokio::time::timeout(PATIENCE, next(&mut reading, &mut text)).await.map_err(hung)?? {
        FromEngine::Welcome(welcome) => {
            if said.send(FromLink::Up(Box::new(welcome))).await.is_err() {
                return Ok(());
            }
        }
        FromEngine::Refused { reason } => return Err(io::Error::other(reason)),
        _ => return Err(io::Error::other("it does not greet")),
    }
    let mut text = vec![];
    loop {
        tokio::select! {
            // Reading may be broken off between two lines and in one: what has come of it stays in `text`.
            message = next(&mut reading, &mut text) => {
                if said.send(FromLink::Said(Box::new(message?))).await.is_err() {
                    return Ok(());
                }
            }
            word = told.recv() => match word {
                Some(ToLink::Say(question)) => writing.write_all(line(&question)?.as_bytes()).await?,
                Some(ToLink::Look) => {}
                None => return writing.shutdown().await,
            },
        }
    }
}

async fn next(reading: &mut BufReader<tokio::net::unix::OwnedReadHalf>, text: &mut Vec<u8>) -> io::Result<FromEngine> {
    let room = MAX_LINE.saturating_sub(text.len() as u64);
    reading.take(room).read_until(b'\n', text).await?;
    if text.last() != Some(&b'\n') {
        let what = if text.len() as u64 >= MAX_LINE { "it says too much in one line" } else { "it has ended" };
        return Err(io::Error::other(what));
    }
    let message = serde_json::from_slice(text).map_err(|error| io::Error::other(format!("not understood: {error}")));
    text.clear();
    message
}
