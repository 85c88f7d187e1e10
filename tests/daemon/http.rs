//! HTTP: the routers on a listener of their own, over a real database and a real Redis, with a clock that the test sets.

mod api;
mod decide;
mod events;
mod health;
mod pages;
mod server;

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use enrolld::{
    directory::{EmbeddedDirectory, import},
    dispatcher::Dispatch,
    environment::Environment,
    executor::{Applied, Cause, Executor, Parts, PublicUrl},
    http::{HttpState, routers, serve},
    links::LinkKeys,
    mail::{Mailer, Portal},
    queue::Redis,
    settings::Settings,
    store::Store,
};
use enrolld_jobs::{
    event::{EnteredNumbers, Event},
    registration::{Registration, State},
    rules::Rules,
    values::{AccountId, Entered, OrganizationId, RegistrationId},
};
use reqwest::{Client, RequestBuilder, Response, redirect};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::no_targets;
use crate::support::{child::PATIENCE, redis::RedisServer};

const DEMO: &str = include_str!("../../config/demo/directory.json");
const TOKEN: &str = "a-token-of-the-api-tests";

/// A clock that stands still until it is set forward, and randomness that is the same on every run.
#[derive(Debug)]
struct World {
    now_ms: AtomicI64,
    drawn: AtomicU64,
}

impl Environment for World {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.now_ms.load(Ordering::Relaxed)).expect("in range")
    }

    fn random(&self) -> [u8; 32] {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&drawn.to_be_bytes());
        bytes
    }
}

/// What differs from test to test.
#[derive(Default)]
struct Wanted {
    api_token: bool,
    public_listener: bool,
    no_decisions_by_link: bool,
}

impl Wanted {
    fn settings(&self) -> Settings {
        let token = if self.api_token { TOKEN } else { "" };
        let file = format!(
            "[http]\nbind = \"127.0.0.1:0\"\npublic_url = \"https://portal.example/enrolld\"\n\
             api_token = \"{token}\"\nallowed_hosts = [\"enrolld.example\"]\n"
        );
        Settings::parse(Some(("enrolld.toml", &file)), std::iter::empty()).expect("they are sound")
    }
}

struct Fixture {
    address: SocketAddr,
    public: Option<SocketAddr>,
    client: Client,
    executor: Executor,
    link_keys: LinkKeys,
    redis: RedisServer,
    world: Arc<World>,
    folder: TempDir,
    /// What the daemon tells the handlers when it stops; `stop` ends the listeners of the test.
    draining: CancellationToken,
    stop: CancellationToken,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Fixture {
    async fn start(wanted: Wanted) -> Self {
        let redis = RedisServer::start();
        let folder = TempDir::with_prefix("enrolld-http-").expect("the temporary folder is writable");
        let settings = wanted.settings();
        let url = format!("sqlite://{}", folder.path().join("enrolld.db").display());
        let store = Store::open(&url, 4).await.expect("the folder is writable");
        store.migrate().await.expect("an empty database takes the tables");
        // 22 November 2026, 09:00 UTC.
        let world = Arc::new(World {
            now_ms: AtomicI64::new(1_795_338_000_000),
            drawn: AtomicU64::new(0),
        });
        let link_keys = LinkKeys::new(vec!["a key of the tests, 32 characters".into()]).expect("there is one");
        let from = "Portal <no-reply@portal.example>".parse().expect("an address");
        // Nobody receives: what is queued stays with the database.
        let (dispatch, _) = Dispatch::channel(enrolld::dispatcher::Fullness::default());
        let executor = Executor::new(Parts {
            directory: EmbeddedDirectory::new(store.reader().clone()),
            mailer: Mailer::file(from, folder.path().join("mails")).expect("the sender is ASCII"),
            targets: no_targets(world.clone()),
            provisioning_poll: settings.provisioning.poll,
            environment: world.clone(),
            rules: Rules {
                decisions_by_link: !wanted.no_decisions_by_link,
                ..Rules::default()
            },
            link_keys: link_keys.clone(),
            public_url: PublicUrl::new("https://portal.example"),
            portal: Portal::from(&settings.portal),
            agents: None,
            supervisor: None,
            ops: None,
            dispatch,
            committed: Arc::default(),
            spans: enrolld::spans::Spans::default(),
            services: enrolld::services::Services::default(),
            daemon_id: "daemon-1".to_owned(),
            workers: settings.workers.clone(),
            store,
        });
        let (listener, address) = listen().await;
        let (public_listener, public) = if wanted.public_listener {
            let (listener, address) = listen().await;
            (Some(listener), Some(address))
        } else {
            (None, None)
        };
        let (stop, draining) = (CancellationToken::new(), CancellationToken::new());
        let redis_handle = Redis::open(&redis.url()).expect("a URL");
        let state = HttpState::new(executor.clone(), redis_handle, &settings, &listener, draining.clone());
        for (listener, router) in routers(state, listener, public_listener) {
            tokio::spawn(serve(listener, router, stop.clone()));
        }
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE)
            .tls_certs_only([])
            .build()
            .expect("a client without TLS can always be made");
        let fixture = Self {
            address,
            public,
            client,
            executor,
            link_keys,
            redis,
            world,
            folder,
            draining,
            stop,
        };
        fixture.import(|_| ()).await;
        fixture
    }

    /// Imports the demo's directory as `change` leaves it. `colleague` reads Dutch here.
    async fn import(&self, change: impl FnOnce(&mut Value)) {
        let mut directory: Value = serde_json::from_str(DEMO).expect("the demo's directory is JSON");
        directory["accounts"][1]["locale"] = "nl".into();
        change(&mut directory);
        let path = self.folder.path().join("directory.json");
        fs::write(&path, directory.to_string()).expect("the folder is writable");
        let store = self.executor.store();
        import(store.writer().unbounded(), &path, self.executor.now())
            .await
            .expect("the directory is sound");
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("http://{}{path}", self.address))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("http://{}{path}", self.address))
    }

    /// The clock goes on.
    fn pass(&self, time: TimeDelta) {
        self.world.now_ms.fetch_add(time.num_milliseconds(), Ordering::Relaxed);
    }

    async fn apply(&self, id: &str, event: &Event) -> Registration {
        let id = RegistrationId::new(id).expect("an id");
        match self
            .executor
            .apply(
                &id,
                event,
                &Cause::Link {
                    trace: self.executor.new_trace(),
                },
            )
            .await
        {
            Ok(Applied::Changed(registration)) => *registration,
            other => panic!("{event:?} did not change {id}: {other:?}"),
        }
    }

    /// A request of `account` with the guide's contract and device.
    async fn submitted(&self, id: &str, account: &str) -> Registration {
        let numbers = EnteredNumbers {
            contract: Entered::new("93988396"),
            serial: Entered::new("FOC1436Y3XK"),
        };
        let account_id = AccountId::new(account).expect("an id");
        self.apply(id, &Event::Submitted { account_id, numbers }).await
    }

    /// Verified and routed: the applicant selects an organization.
    async fn routed(&self, id: &str, account: &str) -> Registration {
        let step = self.submitted(id, account).await.step;
        let step = self.apply(id, &Event::Verify { step }).await.step;
        self.apply(id, &Event::Route { step }).await
    }

    /// The applicant has selected ACME, and the verification mail is out. The path of its link.
    async fn link_sent(&self, id: &str, account: &str) -> String {
        self.routed(id, account).await;
        let acme = OrganizationId::new("acme").expect("an id");
        let registration = self.apply(id, &Event::OrganizationSelected(Some(acme))).await;
        self.link_of(&registration).await
    }

    /// The path of the link that the registration waits for.
    async fn link_of(&self, registration: &Registration) -> String {
        let State::AwaitingEmail { link } = &registration.state else {
            panic!("{} does not wait for a link", registration.id);
        };
        let row = self
            .executor
            .store()
            .link(link.id)
            .await
            .expect("the database answers")
            .expect("it was issued");
        let token = self.link_keys.token(&row).expect("its key is there");
        format!("/verify/{token}")
    }

    async fn registration(&self, id: &str) -> Registration {
        let id = RegistrationId::new(id).expect("an id");
        self.executor
            .store()
            .registration(&id)
            .await
            .expect("the database answers")
            .expect("it is there")
    }

    async fn intake(&self) -> Vec<(String, Vec<(String, String)>)> {
        let redis = Redis::open(&self.redis.url()).expect("a URL");
        let mut range = redis::cmd("XRANGE");
        redis
            .query(range.arg("enrolld:intake").arg("-").arg("+"))
            .await
            .expect("Redis answers")
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("the loopback interface has a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("the daemon answers")
}

/// Sends it, and expects this status and a problem; its body.
async fn problem(request: RequestBuilder, status: u16) -> Value {
    let response = send(request).await;
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.expect("it is JSON");
    assert_eq!(body["status"], status);
    for member in ["type", "title", "detail"] {
        assert!(body[member].is_string(), "{member}: {body}");
    }
    body
}
