//! One connection of the scripted server: read a request, play its script, again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::script::{Outcome, Script};
use super::{Request, Shared};
use crate::http::{Length, Source};

/// Serves connections for ever; they end with this future.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(serve(socket, number, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(socket: TcpStream, number: usize, shared: Arc<Shared>) {
    // Every chunk of a script is a segment of its own, as far as the system allows.
    let _ = socket.set_nodelay(true);
    let (read, mut write) = socket.into_split();
    let mut source = Source::new(read);
    let mut served: Vec<Arc<Request>> = Vec::new();
    let peer_left = loop {
        let Ok(Some((request, unread))) = read_request(&mut source, number, shared.eager).await
        else {
            break true;
        };
        let head_only = request.method == "HEAD";
        let (request, script) = match shared.health(&request.method, &request.target) {
            Some(script) => (None, script),
            None => {
                let request = shared.record(request);
                served.push(Arc::clone(&request));
                let script = (shared.handler)(&request);
                (Some(request), script)
            }
        };
        match play(
            &script,
            head_only,
            unread.is_none(),
            &mut source,
            &mut write,
        )
        .await
        {
            Outcome::KeepAlive => {
                if let Some(request) = request {
                    request.note_answered();
                }
                if let Some(length) = unread
                    && !matches!(source.body(length).await, Ok((_, true)))
                {
                    break true;
                }
            }
            Outcome::Close => {
                if let Some(request) = request {
                    request.note_answered();
                }
                break false;
            }
            Outcome::Reset => {
                if let Some(request) = request {
                    request.note_answered();
                }
                // Without it closing is orderly; a failure would show in the test that wants a reset.
                let _ = write.as_ref().set_zero_linger();
                // If it were dropped, the end of the stream would be signalled first.
                write.forget();
                break false;
            }
            Outcome::Hang => {
                source.gone().await;
                break true;
            }
            Outcome::PeerGone => break true,
        }
    };
    if peer_left {
        for request in served {
            request.note_gone();
        }
    }
}

/// Plays the script, unless the other side leaves first; that shows only in reading on, which `watch` allows.
async fn play(
    script: &Script,
    head_only: bool,
    watch: bool,
    source: &mut Source<OwnedReadHalf>,
    write: &mut OwnedWriteHalf,
) -> Outcome {
    tokio::select! {
        // A script that is ready to end has ended, even if the other side has left meanwhile.
        biased;
        outcome = script.play(head_only, write) => outcome,
        () = source.gone(), if watch => Outcome::PeerGone,
    }
}

/// A request, and the length of its body if that is left unread, as an `eager` server does.
async fn read_request(
    source: &mut Source<OwnedReadHalf>,
    connection: usize,
    eager: bool,
) -> io::Result<Option<(Request, Option<Length>)>> {
    let Some(head) = source.head().await? else {
        return Ok(None);
    };
    let length = head.request_length()?;
    let body = if eager {
        Vec::new()
    } else {
        let (body, complete) = source.body(length).await?;
        if !complete {
            return Ok(None);
        }
        body
    };
    let [method, target, version] = head.start;
    let request = Request {
        method,
        target,
        version,
        fields: head.fields,
        body,
        connection,
        received: Instant::now(),
        state: watch::Sender::default(),
    };
    Ok(Some((request, eager.then_some(length))))
}
