//! The port `Provisioner` over HTTP: one call of one target, and what its answer means (D11; contract, section 5).
//!
//! Targets are other people's tools, so nothing is left to their good behaviour. A call ends in time whatever they do, no
//! more of an answer is read than is of use, redirections are not followed (the token would go with them), and nobody holds
//! more than their share of the calls.

mod answer;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use enrolld_jobs::{
    ports::Provisioner,
    provisioning_sync::{Answer, Call, SyncedGrant},
};
use reqwest::{
    Client, Method, RequestBuilder, Response,
    header::{AUTHORIZATION, HeaderValue, RETRY_AFTER},
    redirect,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};
use url::Url;
use uuid::Uuid;

use crate::{environment::Environment, metrics, settings::ProvisioningTarget};

/// Longest wait for a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be kept open without use. Servers hang up after some minutes.
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);
/// How long a call waits for its turn. Enough where the target answers at all, and hardly felt by the other targets' jobs.
const TURN_TIMEOUT: Duration = Duration::from_millis(200);
/// How long the body may take once the status is known, which is what counts.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// Where reading a body ends, in bytes. The rest of a longer one is not waited for: the connection is closed.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What calls may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest time from sending a call to knowing its status. With it go a moment in which the call gets its turn, and one
    /// for the body: 1.2 s together. A run makes two calls at most, and both must fit into
    /// `workers.provisioning_sync.timeout`.
    pub call: Duration,
    /// Most calls of one target at the same time.
    pub at_once: NonZeroUsize,
}

impl Limits {
    /// 10 s for a call, and for each of `targets` an equal share of the `workers`, one at least: so targets that hang leave
    /// workers to the others, as long as there are no fewer workers than targets.
    pub fn shared(workers: usize, targets: usize) -> Self {
        let share = workers / targets.max(1);
        Self {
            call: Duration::from_secs(10),
            at_once: NonZeroUsize::new(share).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// Why targets cannot be called at all. Repeats no token.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The url of the target of this name takes no path.
    #[error("the url of the provisioning target {0} is not the start of a web address")]
    Url(String),
    /// The token of the target of this name cannot stand in a header.
    #[error("the token of the provisioning target {0} holds other than visible ASCII, or nothing")]
    Token(String),
    /// There is no client, most likely since the system has no certificates to check those of `https://` targets with.
    #[error(
        "no HTTP client can be made: {0}; for https:// targets the system's certificates (ca-certificates) are needed"
    )]
    Client(String),
}

/// The configured targets, called over HTTP. Clones share connections and limits.
#[derive(Debug, Clone)]
pub struct HttpTargets {
    targets: Arc<[Target]>,
    client: Client,
    /// See [`Limits::call`].
    call_timeout: Duration,
    environment: Arc<dyn Environment>,
}

#[derive(Debug)]
struct Target {
    name: String,
    /// The parent of all grants' addresses, without a slash at its end.
    grants: Url,
    credential: Option<Credential>,
    turns: Semaphore,
}

/// What a target knows us by. Neither field shows in `Debug`.
#[derive(Debug)]
struct Credential {
    header: HeaderValue,
    token: SecretString,
}

/// The body of a `PUT`.
#[derive(Serialize)]
struct GrantBody<'a> {
    account_id: &'a str,
    organization_id: &'a str,
    role: &'a str,
}

impl HttpTargets {
    /// The targets that settings name. Nothing is connected yet.
    pub fn new(
        targets: &[ProvisioningTarget],
        limits: Limits,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, SetupError> {
        let mut client = Client::builder()
            .user_agent(concat!("enrolld/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            // Where a token goes is for the settings to say, not for a variable of the environment.
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(MAX_IDLE_TIME)
            .pool_max_idle_per_host(limits.at_once.get());
        if targets.iter().all(|target| target.url.scheme() != "https") {
            // Without this the client loads the system's certificates, and fails where there are none.
            client = client.tls_certs_only([]);
        }
        let client = client
            .build()
            .map_err(|error| SetupError::Client(answer::root_cause(&error)))?;
        let targets = targets.iter().map(|target| Target::new(target, limits.at_once));
        Ok(Self {
            targets: targets.collect::<Result<_, _>>()?,
            client,
            call_timeout: limits.call,
            environment,
        })
    }

    /// The status that the target answers with when it is asked for the grant `grant`, or why there is none. For a look at
    /// whether it can be reached: no job hangs on it, so that it takes no turn.
    ///
    /// # Errors
    /// What went wrong on the way; neither token nor address.
    pub async fn probe(&self, target: &str, grant: Uuid) -> Result<u16, String> {
        let known = self.targets.iter().find(|known| known.name == target);
        let target = known.ok_or_else(|| format!("there is no target {target}"))?;
        let request = self.request(target, Method::GET, grant);
        match timeout(self.call_timeout, request.send()).await {
            Err(_) => Err(format!("no answer within {:?}", self.call_timeout)),
            Ok(Err(error)) => Err(answer::failure(&error)),
            Ok(Ok(response)) => Ok(response.status().as_u16()),
        }
    }

    /// A call about a grant, with our credential.
    fn request(&self, target: &Target, method: Method, grant: Uuid) -> RequestBuilder {
        let request = self.client.request(method, target.address(grant));
        match &target.credential {
            Some(credential) => request.header(AUTHORIZATION, credential.header.clone()),
            None => request,
        }
    }

    /// The answer to `request`, or what came instead.
    async fn ask(&self, target: &Target, request: RequestBuilder) -> Answer {
        let Some(_turn) = target.turn().await else {
            return answer::not_now("as many calls as it may have are under way, and none has ended");
        };
        match timeout(self.call_timeout, request.send()).await {
            Err(_) => answer::not_now(format!("no answer within {:?}", self.call_timeout)),
            Ok(Err(error)) => answer::not_now(answer::failure(&error)),
            Ok(Ok(mut response)) => {
                let body = start_of_body(&mut response).await;
                let header = response.headers().get(RETRY_AFTER);
                let retry_after = header.and_then(|value| answer::retry_after(value, self.environment.now()));
                answer::read(response.status(), retry_after, &target.without_token(&body))
            }
        }
    }
}

impl Provisioner for HttpTargets {
    async fn call(&self, target: &str, call: Call, grant: &SyncedGrant, key: &str) -> Option<Answer> {
        let target = self.targets.iter().find(|known| known.name == target)?;
        let mut request = self.request(target, method(call), grant.id);
        if call == Call::Put {
            request = request.header("Idempotency-Key", key).json(&GrantBody {
                account_id: grant.account_id.as_str(),
                organization_id: grant.organization_id.as_str(),
                role: grant.access.as_str(),
            });
        }
        let asked = Instant::now();
        let answer = self.ask(target, request).await;
        metrics::target_called(&target.name, call, &answer, asked.elapsed());
        Some(answer)
    }
}

impl Target {
    fn new(target: &ProvisioningTarget, at_once: NonZeroUsize) -> Result<Self, SetupError> {
        let mut grants = target.url.clone();
        match grants.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().push("grants"),
            Err(()) => return Err(SetupError::Url(target.name.clone())),
        };
        let credential = target
            .token
            .as_ref()
            .map(|token| Credential::new(token.clone()).ok_or_else(|| SetupError::Token(target.name.clone())));
        Ok(Self {
            name: target.name.clone(),
            grants,
            credential: credential.transpose()?,
            turns: Semaphore::new(at_once.get().min(Semaphore::MAX_PERMITS)),
        })
    }

    fn address(&self, grant: Uuid) -> Url {
        let mut address = self.grants.clone();
        address.set_path(&format!("{}/{grant}", self.grants.path()));
        address
    }

    /// A turn to call, given back on drop; `None` if there is none soon. Then it is for the job to wait: a worker that does
    /// is missing for the other targets.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        timeout(TURN_TIMEOUT, self.turns.acquire()).await.ok()?.ok()
    }

    /// What the target said, without our token: some repeat a request that they do not like.
    fn without_token(&self, body: &[u8]) -> String {
        let said = String::from_utf8_lossy(body);
        match &self.credential {
            Some(credential) => said.replace(credential.token.expose_secret(), "…"),
            None => said.into_owned(),
        }
    }
}

impl Credential {
    fn new(token: SecretString) -> Option<Self> {
        let text = token.expose_secret();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut header = HeaderValue::try_from(format!("Bearer {text}")).ok()?;
        header.set_sensitive(true);
        Some(Self { header, token })
    }
}

const fn method(call: Call) -> Method {
    match call {
        Call::Put => Method::PUT,
        Call::Get => Method::GET,
        Call::Delete => Method::DELETE,
    }
}

/// As much of the body as comes in time, up to [`MAX_BODY_BYTES`] and what came with the last of them. A body that was read
/// to its end, which any sensible one is, leaves the connection for the next call.
async fn start_of_body(response: &mut Response) -> Vec<u8> {
    let mut start = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            start.extend_from_slice(&chunk);
            if start.len() >= MAX_BODY_BYTES {
                break;
            }
        }
    };
    // Late or broken off, the status stands.
    let _ = timeout(BODY_TIMEOUT, reading).await;
    start
}
