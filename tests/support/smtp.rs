//! A mail server of the test's own: it takes every mail, and keeps it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mailin::{Action, Handler, Response, SessionBuilder};
use tokio::sync::watch;

use super::child::PATIENCE;

/// A mail as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReceivedMail {
    /// The envelope's sender.
    pub(crate) from: String,
    /// The envelope's recipients.
    pub(crate) to: Vec<String>,
    /// Header and body, dots unstuffed.
    pub(crate) raw: Vec<u8>,
}

/// An SMTP server on a loopback port; it ends with this value.
#[derive(Debug)]
pub(crate) struct SmtpServer {
    port: u16,
    mailbox: Arc<Mailbox>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    ending: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    acceptor: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Mailbox {
    received: watch::Sender<Vec<ReceivedMail>>,
    refusing: Mutex<Refusing>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Refusing {
    left: u32,
    code: u16,
    done: u32,
}

impl SmtpServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback interface has a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let mailbox = Arc::new(Mailbox::default());
        let running = Some(run(listener, &mailbox));
        Self { port, mailbox, running }
    }

    /// The value of `mail.smtp.url`: no encryption, no credentials.
    pub(crate) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// The mails taken so far, in order.
    pub(crate) fn messages(&self) -> Vec<ReceivedMail> {
        self.mailbox.received.borrow().clone()
    }

    /// The mails, once there are `count` or more.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<ReceivedMail> {
        let mut received = self.mailbox.received.subscribe();
        let enough = received.wait_for(|mails| mails.len() >= count);
        if let Ok(mails) = tokio::time::timeout(PATIENCE, enough).await {
            return mails.expect("the sender lives as long as the server").clone();
        }
        let received = self.messages();
        panic!("{} of {count} mails came: {received:#?}", received.len());
    }

    /// Refuses the next `count` recipients with `code` (451: try again, 550: never, 421: and hang up).
    pub(crate) fn fail_next(&self, count: u32, code: u16) {
        let mut refusing = lock(&self.mailbox.refusing);
        refusing.left = count;
        refusing.code = code;
    }

    /// How many recipients it has refused.
    pub(crate) fn refused(&self) -> u32 {
        lock(&self.mailbox.refusing).done
    }

    /// Hangs up on everybody, and takes no more connections.
    pub(crate) fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        running.ending.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which then closes the port.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let _ = running.acceptor.join();
        for connection in lock(&running.connections).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Takes connections again, on the same port and with the mails it had.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).expect("the port is still free");
        self.running = Some(run(listener, &self.mailbox));
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(listener: TcpListener, mailbox: &Arc<Mailbox>) -> Running {
    let ending = Arc::new(AtomicBool::new(false));
    let connections = Arc::new(Mutex::new(Vec::new()));
    let acceptor = std::thread::spawn({
        let (ending, connections, mailbox) = (ending.clone(), connections.clone(), mailbox.clone());
        move || {
            for stream in listener.incoming().flatten() {
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(copy) = stream.try_clone() else {
                    continue;
                };
                lock(&connections).push(copy);
                let session = SessionHandler::new(mailbox.clone());
                // Ends with its connection, at the latest when the server hangs up.
                std::thread::spawn(move || serve(stream, session));
            }
        }
    });
    Running {
        ending,
        connections,
        acceptor,
    }
}

/// Speaks SMTP until either side hangs up.
fn serve(mut stream: TcpStream, handler: SessionHandler) {
    let converse = || -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        let mut session = SessionBuilder::new("mail.test").build(IpAddr::V4(Ipv4Addr::LOCALHOST), handler);
        let mut reader = BufReader::new(stream.try_clone()?);
        stream.write_all(&session.greeting().buffer()?)?;
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let response = session.process(&line);
            line.clear();
            if response.action != Action::NoReply {
                stream.write_all(&response.buffer()?)?;
            }
            if response.action == Action::Close {
                break;
            }
        }
        stream.shutdown(Shutdown::Both)
    };
    // A client may go at any moment; what it sent whole is in the mailbox.
    let _ = converse();
}

/// One connection's part: gathers a mail, and puts it into the mailbox when it is whole.
struct SessionHandler {
    mailbox: Arc<Mailbox>,
    mail: ReceivedMail,
}

impl SessionHandler {
    fn new(mailbox: Arc<Mailbox>) -> Self {
        let mail = ReceivedMail {
            from: String::new(),
            to: Vec::new(),
            raw: Vec::new(),
        };
        Self { mailbox, mail }
    }
}

impl Handler for SessionHandler {
    fn mail(&mut self, _ip: IpAddr, _domain: &str, from: &str) -> Response {
        self.mail = ReceivedMail {
            from: from.to_owned(),
            to: Vec::new(),
            raw: Vec::new(),
        };
        mailin::response::OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        let mut refusing = lock(&self.mailbox.refusing);
        if refusing.left > 0 {
            refusing.left -= 1;
            refusing.done += 1;
            return Response::custom(refusing.code, format!("<{to}>: refused, as the test asked"));
        }
        self.mail.to.push(to.to_owned());
        mailin::response::OK
    }

    fn data(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.mail.raw.extend_from_slice(line);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let mail = self.mail.clone();
        self.mailbox.received.send_modify(|received| received.push(mail));
        mailin::response::OK
    }
}
