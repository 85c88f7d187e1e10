//! A provisioning target on loopback that behaves as it is told, on the level of bytes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What the target does once a request has come in.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Says this, and listens for the next request on the same connection.
    Say(String),
    /// Says nothing, and keeps the connection.
    Hang,
    /// Says this, and resets the connection.
    SayAndReset(&'static str),
    /// Says this, then a body of so many bytes, as fast as they are taken.
    Flood(&'static str, usize),
    /// Says this, then one byte after the other without end.
    Trickle(&'static str),
}

impl Manner {
    /// An answer with a body; `head` is the status and further headers.
    pub(crate) fn answer(head: &str, body: &str) -> Self {
        Self::Say(format!(
            "HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

/// A request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Method, path and version.
    pub(crate) line: String,
    /// Headers in the order of their names, which are in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|header| header.0 == name).map(|header| header.1.as_str())
    }
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    pub(crate) connections: usize,
    pub(crate) heard: Vec<Heard>,
    /// Bytes of floods and trickles that were taken.
    pub(crate) body_bytes: usize,
    /// Connections that the other side has ended.
    pub(crate) ended: usize,
}

/// The target; it ends with this value.
pub(crate) struct FakeTarget {
    pub(crate) address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    happened: Arc<watch::Sender<Happened>>,
    accepting: JoinHandle<()>,
}

impl FakeTarget {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let manner = Arc::new(Mutex::new(manner));
        let happened = Arc::new(watch::Sender::<Happened>::default());
        let accepting = tokio::spawn({
            let (manner, happened) = (Arc::clone(&manner), Arc::clone(&happened));
            async move {
                // Its connections end with it.
                let mut connections = tokio::task::JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    happened.send_modify(|happened| happened.connections += 1);
                    let (manner, happened) = (Arc::clone(&manner), Arc::clone(&happened));
                    connections.spawn(async move {
                        serve(stream, &manner, &happened).await;
                        happened.send_modify(|happened| happened.ended += 1);
                    });
                }
            }
        });
        Self {
            address,
            manner,
            happened,
            accepting,
        }
    }

    /// From the next request on.
    pub(crate) fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.happened.borrow().heard.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.happened.borrow().connections
    }

    /// Waits until `condition` holds of what has happened, and tells how many bytes of bodies were taken by then.
    pub(crate) async fn wait_until(&self, condition: impl FnMut(&Happened) -> bool) -> usize {
        let mut happened = self.happened.subscribe();
        let waiting = happened.wait_for(condition);
        let happened = tokio::time::timeout(super::PATIENCE, waiting).await;
        happened.expect("it never happens").unwrap().body_bytes
    }
}

impl Drop for FakeTarget {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Answers the requests of one connection, until the other side ends it or the manner is to.
async fn serve(mut stream: TcpStream, manner: &Mutex<Manner>, happened: &watch::Sender<Happened>) {
    let mut unread = Vec::new();
    while let Some(heard) = next_request(&mut stream, &mut unread).await {
        happened.send_modify(|happened| happened.heard.push(heard));
        let manner = manner.lock().unwrap().clone();
        match manner {
            Manner::Say(answer) => {
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Manner::Hang => {
                let _ = stream.read_u8().await;
                return;
            }
            Manner::SayAndReset(answer) => {
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.set_zero_linger().unwrap();
                return;
            }
            Manner::Flood(head, bytes) => {
                stream.write_all(head.as_bytes()).await.unwrap();
                let piece = [b'x'; 8192];
                for _ in 0..bytes / piece.len() {
                    if stream.write_all(&piece).await.is_err() {
                        return;
                    }
                    happened.send_modify(|happened| happened.body_bytes += piece.len());
                }
            }
            Manner::Trickle(head) => {
                stream.write_all(head.as_bytes()).await.unwrap();
                while stream.write_all(b"x").await.is_ok() {
                    happened.send_modify(|happened| happened.body_bytes += 1);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                return;
            }
        }
    }
}

/// The next request; `None` once the other side has ended the connection.
async fn next_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Heard> {
    let end = loop {
        if let Some(end) = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(unread.drain(..end + 4).collect()).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    let mut headers: Vec<(String, String)> = headers
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    headers.sort();
    let mut request = Heard {
        line,
        headers,
        body: String::new(),
    };
    let length = request.header("content-length");
    let length = length.map_or(0, |length| length.parse().unwrap());
    while unread.len() < length {
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
    request.body = String::from_utf8(unread.drain(..length).collect()).unwrap();
    Some(request)
}
