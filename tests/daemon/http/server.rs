//! The listener itself.

use std::time::Duration;

use axum::{Router, routing::get};
use enrolld::http::serve;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Fixture, TOKEN, Wanted, listen};
use crate::support::child::PATIENCE;

#[tokio::test]
async fn a_stop_lets_what_runs_end_and_takes_no_more() {
    static STARTED: Semaphore = Semaphore::const_new(0);
    static GO_ON: Semaphore = Semaphore::const_new(0);
    async fn slow() -> &'static str {
        STARTED.add_permits(1);
        GO_ON.acquire().await.expect("it is never closed").forget();
        "done"
    }
    let (listener, address) = listen().await;
    let stop = CancellationToken::new();
    let router = Router::new().route("/", get(slow));
    let server = tokio::spawn(serve(listener, router, stop.clone()));
    // One that is idle does not hold up the stop.
    let _idle = TcpStream::connect(address).await.expect("it listens");
    let client = reqwest::Client::builder().tls_certs_only([]).build();
    let client = client.expect("a client without TLS can always be made");
    let running = tokio::spawn(client.get(format!("http://{address}/")).send());
    STARTED.acquire().await.expect("it is never closed").forget();
    stop.cancel();
    // The listener is closed by and by.
    timeout(PATIENCE, async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("no connection is taken any more");
    assert!(!server.is_finished());
    GO_ON.add_permits(1);
    let answer = running.await.expect("no panic").expect("it is answered");
    assert_eq!(answer.text().await.expect("a body"), "done");
    timeout(PATIENCE, server)
        .await
        .expect("it ends")
        .expect("no panic")
        .expect("no error");
}

#[tokio::test]
async fn a_head_without_measure_is_refused() {
    let (listener, address) = listen().await;
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, Router::new(), stop.clone()));
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(100_000));
    // It may be closed before all is written.
    stream.write_all(head.as_bytes()).await.ok();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("it is answered")
        .ok();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    stop.cancel();
}

/// Both limits are 10 s, which is why this test takes as long.
#[tokio::test]
async fn who_sends_slowly_is_not_waited_for() {
    let fixture = Fixture::start(Wanted {
        api_token: true,
        ..Wanted::default()
    })
    .await;
    let address = fixture.address;
    // A head that does not end, and a body that does not come.
    let head = "GET /healthz HTTP/1.1\r\nHost: x\r\n".to_owned();
    let body = format!(
        "POST /v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/cloudevents+json\r\nContent-Length: 100\r\n\r\n{{"
    );
    let answer = async |sent: String| {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(sent.as_bytes()).await.expect("it is taken");
        let mut answer = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        ended.expect("it is not waited for without end").ok();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let (head, body) = tokio::join!(answer(head), answer(body));
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 408"), "{head}");
    assert!(body.starts_with("HTTP/1.1 503"), "{body}");
    assert!(body.contains("the request took too long"), "{body}");
}
