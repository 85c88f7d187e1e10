//! A provisioning target of the test's own (contract, section 5): it has grants, remembers what it was asked, and misbehaves as told.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::child::PATIENCE;

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// As the contract says, at once.
    Well,
    /// 202: it has the grant, and is at it.
    Accept,
    /// This status, and nothing done.
    Status(u16),
    /// 429 with `Retry-After` in seconds, and nothing done.
    Later(u64),
    /// The connection is reset before an answer, and nothing done.
    Reset,
    /// Well, with a body of so many bytes.
    Flood(usize),
    /// Well, but only after [`Target::let_go`].
    Hold,
    /// This status and nothing done, but only then.
    HoldThen(u16),
}

/// A request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) method: String,
    pub(crate) grant: String,
    /// `Idempotency-Key`; empty where there is none.
    pub(crate) key: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

/// The target, on a loopback port; it ends with this value.
#[derive(Debug)]
pub(crate) struct Target {
    name: &'static str,
    port: u16,
    inside: Arc<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    state: Mutex<State>,
    let_go: Condvar,
    ending: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    heard: Vec<Heard>,
    /// Every grant that was ever put: what it is, and whether it is there.
    grants: BTreeMap<String, (Value, bool)>,
    /// For the next requests about an account, one after the other.
    script: BTreeMap<String, VecDeque<Manner>>,
    /// For all others about an account.
    always: BTreeMap<String, Manner>,
    holding: bool,
}

impl Target {
    pub(crate) fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback interface has a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let inside = Arc::new(Inside::default());
        let accepting = Arc::clone(&inside);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ending.load(Ordering::SeqCst) {
                    return;
                }
                let inside = Arc::clone(&accepting);
                // Ends with its connection; whoever hangs up in the middle is gone.
                std::thread::spawn(move || {
                    let _ = serve(stream, &inside);
                });
            }
        });
        Self { name, port, inside }
    }

    /// One of `provisioning.targets`.
    pub(crate) fn setting(&self) -> toml::Value {
        let mut table = toml::Table::new();
        table.insert("name".to_owned(), self.name.into());
        table.insert("url".to_owned(), format!("http://127.0.0.1:{}/api", self.port).into());
        table.insert("token".to_owned(), self.token().into());
        table.into()
    }

    pub(crate) fn token(&self) -> String {
        format!("the-token-of-{}", self.name)
    }

    /// How the next requests about an account's grants are answered, one after the other.
    pub(crate) fn script(&self, account: &str, manners: impl IntoIterator<Item = Manner>) {
        let mut state = self.state();
        state.script.entry(account.to_owned()).or_default().extend(manners);
    }

    /// How all others about an account's grants are.
    pub(crate) fn always(&self, account: &str, manner: Manner) {
        let mut state = self.state();
        state.holding |= matches!(manner, Manner::Hold | Manner::HoldThen(_));
        state.always.insert(account.to_owned(), manner);
    }

    /// What is held is answered, and nothing is held any more.
    pub(crate) fn let_go(&self) {
        self.state().holding = false;
        self.inside.let_go.notify_all();
    }

    /// Loses a grant, or has one again that was deleted.
    pub(crate) fn set(&self, grant: &str, is_there: bool) {
        let mut state = self.state();
        state.grants.get_mut(grant).expect("it was put once").1 = is_there;
    }

    /// What it has of an account: the roles, in their order.
    pub(crate) fn roles(&self, account: &str) -> Vec<String> {
        let state = self.state();
        let present = state.grants.values().filter(|(_, is_there)| *is_there);
        let ours = present.filter(|(grant, _)| grant["account_id"] == account);
        let mut roles: Vec<_> = ours
            .filter_map(|(grant, _)| grant["role"].as_str().map(str::to_owned))
            .collect();
        roles.sort();
        roles
    }

    /// The requests about an account's grants so far.
    pub(crate) fn heard(&self, account: &str) -> Vec<Heard> {
        let state = self.state();
        let is_meant = |heard: &&Heard| {
            let grant = state.grants.get(&heard.grant);
            grant.is_some_and(|(grant, _)| grant["account_id"] == account)
        };
        state.heard.iter().filter(is_meant).cloned().collect()
    }

    /// The same with one method.
    pub(crate) fn heard_as(&self, method: &str, account: &str) -> Vec<Heard> {
        let mut heard = self.heard(account);
        heard.retain(|heard| heard.method == method);
        heard
    }

    /// The requests with `method` about an account's grants, once there are `count` or more.
    pub(crate) async fn wait_heard(&self, method: &str, account: &str, count: usize) -> Vec<Heard> {
        let what = format!("{count} times {method}");
        self.wait(account, &what, |target| target.heard_as(method, account).len() >= count)
            .await;
        self.heard_as(method, account)
    }

    /// Waits until it has these roles of an account.
    pub(crate) async fn wait_roles(&self, account: &str, roles: &[&str]) {
        let what = format!("having {roles:?}");
        self.wait(account, &what, |target| target.roles(account) == roles).await;
    }

    async fn wait(&self, account: &str, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "{} never comes to {what} of {account}: it has {:?}, after {:#?}",
                self.name,
                self.roles(account),
                self.heard(account)
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inside.state()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.inside.ending.store(true, Ordering::SeqCst);
        self.let_go();
        // Wakes the acceptor, which then closes the port.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Inside {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the request, and says how it is to be answered.
    fn hear(&self, heard: &Heard) -> Manner {
        let mut state = self.state();
        state.heard.push(heard.clone());
        if heard.method == "PUT" {
            let known = state.grants.get(&heard.grant);
            let is_there = known.is_some_and(|(_, is_there)| *is_there);
            state.grants.insert(heard.grant.clone(), (heard.body.clone(), is_there));
        }
        let account = state
            .grants
            .get(&heard.grant)
            .and_then(|(grant, _)| grant["account_id"].as_str().map(str::to_owned))
            .unwrap_or_default();
        let scripted = state.script.get_mut(&account).and_then(VecDeque::pop_front);
        scripted
            .or_else(|| state.always.get(&account).cloned())
            .unwrap_or(Manner::Well)
    }

    /// Does what is asked, and gives the status.
    fn carry_out(&self, heard: &Heard) -> u16 {
        let mut state = self.state();
        let Some((_, is_there)) = state.grants.get_mut(&heard.grant) else {
            return 404;
        };
        match heard.method.as_str() {
            "PUT" => {
                *is_there = true;
                201
            }
            "DELETE" => {
                let was_there = std::mem::take(is_there);
                if was_there { 204 } else { 404 }
            }
            _ if *is_there => 200,
            _ => 404,
        }
    }

    fn wait_until_let_go(&self) {
        let mut state = self.state();
        while state.holding {
            state = self.let_go.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Answers the requests of one connection until either side ends it.
fn serve(mut stream: TcpStream, inside: &Inside) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(heard) = read_request(&mut reader)? {
        let manner = inside.hear(&heard);
        let (status, more, body_bytes) = match manner {
            Manner::Well => (inside.carry_out(&heard), String::new(), 0),
            Manner::Accept => match inside.carry_out(&heard) {
                404 => (404, String::new(), 0),
                _ => (202, String::new(), 0),
            },
            Manner::Status(status) => (status, String::new(), 0),
            Manner::Later(seconds) => (429, format!("retry-after: {seconds}\r\n"), 0),
            Manner::Flood(bytes) => (inside.carry_out(&heard), String::new(), bytes),
            Manner::Hold => {
                inside.wait_until_let_go();
                (inside.carry_out(&heard), String::new(), 0)
            }
            Manner::HoldThen(status) => {
                inside.wait_until_let_go();
                (status, String::new(), 0)
            }
            Manner::Reset => {
                rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
                return Ok(());
            }
        };
        let length = if status == 204 {
            String::new()
        } else {
            format!("content-length: {body_bytes}\r\n")
        };
        stream.write_all(format!("HTTP/1.1 {status} -\r\n{more}{length}\r\n").as_bytes())?;
        let piece = [b'x'; 8 * 1024];
        for _ in 0..body_bytes / piece.len() {
            stream.write_all(&piece)?;
        }
    }
    Ok(())
}

/// The next request; `None` once the other side has hung up.
fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Heard>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default();
    let mut heard = Heard {
        method,
        grant: path.strip_prefix("/api/grants/").unwrap_or_default().to_owned(),
        key: String::new(),
        authorization: String::new(),
        body: Value::Null,
    };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => value.clone_into(&mut heard.key),
            "authorization" => value.clone_into(&mut heard.authorization),
            "content-length" => length = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    if length > 0 {
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        heard.body = serde_json::from_slice(&body).unwrap_or_default();
    }
    Ok(Some(heard))
}
