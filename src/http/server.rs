//! The listener: HTTP/1.1, with limits that `axum::serve` does not have.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use super::limit::Peer;

/// Most connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;

/// Longest time for the head of a request, and for an idle connection.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Longest age at which a connection takes a new request.
const MAX_AGE: Duration = Duration::from_mins(2);

/// Longest time for the last request of a connection, its answer included. Above the limit of a request.
const LAST_REQUEST_WITHIN: Duration = Duration::from_secs(15);

/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Most header fields of a request.
const MAX_HEADERS: usize = 64;

/// How long to wait when no connection can be accepted, such as with no file handle left.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Serves `router` on `listener` until `stop`; then no connection is accepted any more, and requests that run are
/// answered, within 15 s.
///
/// # Errors
/// Never at present: what goes wrong with one connection is that connection's.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
            let (stream, peer) = listener.accept().await?;
            Ok::<_, io::Error>((stream, Peer(peer), slot))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    serve_connection(stream, peer, router, &stop).await;
                    drop(slot);
                });
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(AFTER_FAILURE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

/// What the client did, which says nothing of the listener.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve_connection(stream: TcpStream, peer: Peer, router: Router, stop: &CancellationToken) {
    // Answers are small: none waits for the acknowledgement of another.
    stream.set_nodelay(true).ok();
    let router = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        // An error is the client's: it went away, or sent what is not HTTP.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(MAX_AGE) => {}
    }
    connection.as_mut().graceful_shutdown();
    timeout(LAST_REQUEST_WITHIN, connection).await.ok();
}
