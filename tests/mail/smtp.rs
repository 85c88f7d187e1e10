//! Sending over SMTP: to a server that works, to one that refuses, and to one that falls silent.

use std::{
    io::{self, BufRead as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use enrolld::mail::{Mailer, SendError};
use enrolld_jobs::{effect::MailKind, values::Locale};
use mail_parser::MessageParser;
use mailin::{Action, Handler, Response, SessionBuilder, response};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::{TIMEOUT, from, letter};

/// What an SMTP server of the company does: refuses by the recipient's name, and keeps what it accepts.
#[derive(Clone, Default)]
struct Mailboxes {
    accepted: Arc<Mutex<Vec<Vec<u8>>>>,
    sessions: Arc<Mutex<usize>>,
    incoming: Vec<u8>,
}

impl Handler for Mailboxes {
    fn helo(&mut self, _ip: IpAddr, _domain: &str) -> Response {
        *self.sessions.lock().unwrap() += 1;
        response::OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        match to.split('@').next().unwrap_or_default() {
            "nobody" => Response::custom(550, format!("5.1.1 <{to}>: no such user")),
            "full" => Response::custom(452, "4.2.2 mailbox full".to_owned()),
            "greylisted" => Response::custom(450, "try again later".to_owned()),
            "lookup" => Response::custom(451, "4.3.0 temporary lookup failure".to_owned()),
            _ => response::OK,
        }
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.incoming.extend_from_slice(bytes);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        self.accepted.lock().unwrap().push(std::mem::take(&mut self.incoming));
        response::OK
    }
}

/// Starts the server; its threads end with their connections and with the test's process.
fn serve(mailboxes: &Mailboxes) -> Mailer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mailboxes = mailboxes.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handler = mailboxes.clone();
            std::thread::spawn(move || converse(stream, handler));
        }
    });
    over_smtp(address, TIMEOUT)
}

/// Speaks SMTP until either side hangs up.
fn converse(mut stream: TcpStream, handler: Mailboxes) -> io::Result<()> {
    let mut session = SessionBuilder::new("mx.acme.example").build(stream.peer_addr()?.ip(), handler);
    let mut reader = io::BufReader::new(stream.try_clone()?);
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
    Ok(())
}

fn over_smtp(address: SocketAddr, timeout: Duration) -> Mailer {
    Mailer::smtp(from(), &format!("smtp://{address}"), timeout).unwrap()
}

#[tokio::test]
async fn letters_arrive_whole_and_share_a_connection() {
    let mailboxes = Mailboxes::default();
    let mailer = serve(&mailboxes);
    let mut letter = letter(MailKind::AccessApproved, Locale::Nl, "newbie@acme.example");
    letter.rendered.text.push_str(".\n..\n.leading dots\n");
    for _ in 0..3 {
        mailer.send(&letter).await.unwrap();
    }
    assert_eq!(*mailboxes.sessions.lock().unwrap(), 1);
    let accepted = mailboxes.accepted.lock().unwrap();
    assert_eq!(accepted.len(), 3);
    let message = MessageParser::default().parse(&accepted[2]).unwrap();
    assert_eq!(message.subject(), Some("Uw toegang is goedgekeurd"));
    assert_eq!(
        message.body_text(0).unwrap().replace("\r\n", "\n"),
        letter.rendered.text
    );
    assert_eq!(
        format!("<{}>", message.message_id().unwrap()),
        mailer.message_id(&letter)
    );
}

#[tokio::test]
async fn a_refusal_says_whose_fault_it_is() {
    let mailboxes = Mailboxes::default();
    let mailer = serve(&mailboxes);
    let send = async |to: &str| mailer.send(&letter(MailKind::Welcome, Locale::En, to)).await;

    let error = send("nobody@acme.example").await.unwrap_err();
    assert!(
        matches!(
            error,
            SendError::Refused {
                permanent: true,
                code: 550,
                ..
            }
        ),
        "{error:?}"
    );
    let shown = format!("{error} {error:?}");
    assert!(
        shown.contains("<…>: no such user") && !shown.contains("acme.example"),
        "{shown}"
    );

    let error = send("full@acme.example").await.unwrap_err();
    assert!(
        matches!(
            error,
            SendError::Refused {
                permanent: false,
                code: 452,
                ..
            }
        ),
        "{error:?}"
    );
    let error = send("greylisted@acme.example").await.unwrap_err();
    assert!(
        matches!(
            error,
            SendError::Refused {
                permanent: false,
                code: 450,
                ..
            }
        ),
        "{error:?}"
    );
    let error = send("lookup@acme.example").await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");

    send("newbie@acme.example").await.unwrap();
    assert_eq!(mailboxes.accepted.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn no_server_is_told_at_once() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mailer = over_smtp(address, TIMEOUT);
    let started = tokio::time::Instant::now();
    let letter = letter(MailKind::Welcome, Locale::En, "newbie@acme.example");
    let error = mailer.send(&letter).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");
    assert!(started.elapsed() < TIMEOUT);
}

/// What a server answers in one session: to the connection, `MAIL`, `RCPT`, `DATA` and the message; `None` is silence.
type Session = [Option<&'static str>; 5];

const OK: Option<&str> = Some("250 ok");
const HELLO: Option<&str> = Some("220 mx ready");
const GO_ON: Option<&str> = Some("354 go on");

/// A server that holds the `sessions`, one for each connection.
async fn scripted(sessions: Vec<Session>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for session in sessions {
            let (stream, _) = listener.accept().await.unwrap();
            // A silent session must not keep the next one waiting.
            tokio::spawn(hold(stream, session));
        }
    });
    address
}

async fn hold(stream: tokio::net::TcpStream, [greeting, mail, rcpt, data, message]: Session) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut in_message = false;
    let mut reply = greeting;
    loop {
        if let Some(reply) = reply {
            write.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
        let Some(line) = lines.next_line().await? else {
            return Ok(());
        };
        reply = match line.split([' ', ':']).next().unwrap_or_default() {
            "." if in_message => {
                in_message = false;
                message
            }
            _ if in_message => None,
            "EHLO" | "NOOP" => OK,
            "MAIL" => mail,
            "RCPT" => rcpt,
            "DATA" => {
                in_message = data == GO_ON;
                data
            }
            _ => Some("221 bye"),
        };
    }
}

#[tokio::test]
async fn silence_is_bounded_and_leaves_no_half_finished_connection() {
    let sessions = vec![
        [None; 5],
        [HELLO, OK, OK, None, None],
        [HELLO, OK, OK, GO_ON, None],
        [HELLO, OK, OK, GO_ON, OK],
    ];
    let address = scripted(sessions).await;
    let mailer = over_smtp(address, Duration::from_secs(2));
    let letter = letter(MailKind::Welcome, Locale::En, "newbie@acme.example");
    for _ in 0..3 {
        let error = mailer.send(&letter).await.unwrap_err();
        assert!(
            matches!(&error, SendError::Unavailable { problem } if problem.contains("no answer")),
            "{error:?}"
        );
    }
    mailer.send(&letter).await.unwrap();
}

#[tokio::test]
async fn what_meets_every_letter_is_not_this_letters_fault() {
    let sessions = vec![
        [Some("554 no service for you"), None, None, None, None],
        [HELLO, Some("550 5.1.8 sender refused"), None, None, None],
        [HELLO, OK, Some("530 5.7.0 authenticate first"), None, None],
        [HELLO, OK, OK, Some("421 closing"), None],
        [HELLO, OK, OK, GO_ON, Some("554 5.6.0 refused content")],
    ];
    let unavailable = sessions.len() - 1;
    let mailer = over_smtp(scripted(sessions).await, TIMEOUT);
    let letter = letter(MailKind::Welcome, Locale::En, "newbie@acme.example");
    for _ in 0..unavailable {
        let error = mailer.send(&letter).await.unwrap_err();
        assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");
    }
    let error = mailer.send(&letter).await.unwrap_err();
    assert!(
        matches!(
            error,
            SendError::Refused {
                permanent: true,
                code: 554,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear_where_tls_is_asked_for() {
    let sessions = vec![
        [HELLO, OK, OK, GO_ON, OK],
        [Some("554 this is no TLS"), None, None, None, None],
    ];
    let address = scripted(sessions).await;
    let letter = letter(MailKind::Verification, Locale::En, "newbie@acme.example");
    for url in [format!("smtp://{address}?tls=required"), format!("smtps://{address}")] {
        let mailer = Mailer::smtp(from(), &url, TIMEOUT).unwrap();
        let error = mailer.send(&letter).await.unwrap_err();
        assert!(matches!(error, SendError::Unavailable { .. }), "{url}: {error:?}");
    }
}
