//! The page of a verification link.

use std::{cell::RefCell, io, time::Instant};

use chrono::TimeDelta;
use enrolld::mail::Portal;
use enrolld_jobs::{
    event::Event,
    registration::{Registration, State, StateName},
};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::{Fixture, Wanted, problem, send};
use crate::support::child::PATIENCE;

/// The applicants of these tests: one reads English, the other Dutch.
const READERS: [(&str, &str); 2] = [("en", "newbie"), ("nl", "colleague")];

async fn start() -> Fixture {
    Fixture::start(Wanted::default()).await
}

/// Checks the headers of the contract, and returns the page.
pub(super) async fn page(response: Response, status: u16) -> String {
    assert_eq!(response.status(), status);
    let headers = response.headers().clone();
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-robots-tag", "noindex"),
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; form-action 'self'",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        let values: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{name}");
    }
    assert!(!headers.contains_key("set-cookie"));
    response.text().await.expect("a body")
}

pub(super) async fn get(fixture: &Fixture, path: &str, status: u16) -> String {
    page(send(fixture.get(path)).await, status).await
}

async fn post(fixture: &Fixture, path: &str, status: u16) -> String {
    page(send(fixture.post(path)).await, status).await
}

#[tokio::test]
async fn r55_r57_the_button_verifies_and_makes_a_da_once() {
    let fixture = start().await;
    let link = fixture.link_sent("reg-1", "newbie").await;
    let before = fixture.registration("reg-1").await;
    for _ in 0..2 {
        insta::assert_snapshot!("ask_en", get(&fixture, &link, 200).await);
    }
    let head = send(
        fixture
            .client
            .request(Method::HEAD, format!("http://{}{link}", fixture.address)),
    )
    .await;
    assert_eq!(page(head, 200).await, "");
    assert_eq!(
        fixture.registration("reg-1").await,
        before,
        "d7: looking changes nothing"
    );

    insta::assert_snapshot!("appointed_en", post(&fixture, &link, 200).await);
    let active = fixture.registration("reg-1").await;
    assert_eq!(active.state.name(), StateName::Active);

    for again in [post(&fixture, &link, 200).await, get(&fixture, &link, 200).await] {
        insta::assert_snapshot!("used_en", again);
    }
    assert_eq!(
        fixture.registration("reg-1").await,
        active,
        "d7: a second click changes nothing"
    );
}

#[tokio::test]
async fn d17_the_page_speaks_the_applicants_language() {
    let fixture = start().await;
    let link = fixture.link_sent("reg-1", "colleague").await;
    insta::assert_snapshot!("ask_nl", get(&fixture, &link, 200).await);
    insta::assert_snapshot!("appointed_nl", post(&fixture, &link, 200).await);
    insta::assert_snapshot!("used_nl", post(&fixture, &link, 200).await);
}

#[tokio::test]
async fn r60_r61_the_page_of_a_new_da_tells_of_the_24_hours_and_where_to_go_next() {
    for (language, account) in READERS {
        let fixture = start().await;
        let link = fixture.link_sent("reg-1", account).await;
        let page = post(&fixture, &link, 200).await;
        let hours = if language == "en" {
            "up to 24 hours"
        } else {
            "tot 24 uur"
        };
        assert!(page.contains(hours), "{page}");
        let portal = &wanted_portal();
        for to in [&portal.url, &portal.newcomers_url, &portal.access_url] {
            assert!(page.contains(&format!("href=\"{to}\"")), "{to}: {page}");
        }
    }
}

/// What the pages lead to.
fn wanted_portal() -> Portal {
    Portal::from(&Wanted::default().settings().portal)
}

#[tokio::test]
async fn an_impatient_double_click_uses_the_link_once() {
    let fixture = start().await;
    let link = fixture.link_sent("reg-1", "newbie").await;
    let clicks = futures::future::join_all((0..8).map(|_| post(&fixture, &link, 200))).await;
    let appointed = clicks
        .iter()
        .filter(|page| page.contains("You are now a Delegated Administrator</h1>"));
    assert_eq!(appointed.count(), 1);
    let used = clicks.iter().filter(|page| page.contains("already verified</h1>"));
    assert_eq!(used.count(), 7);
}

#[tokio::test]
async fn no_cookie_origin_or_host_is_asked_for() {
    let fixture = start().await;
    let link = fixture.link_sent("reg-1", "newbie").await;
    let foreign = |request: reqwest::RequestBuilder| {
        request
            .header("host", "webmail.example")
            .header("origin", "https://webmail.example")
            .header("sec-fetch-site", "cross-site")
    };
    page(send(foreign(fixture.get(&link))).await, 200).await;
    page(send(foreign(fixture.post(&link)).form(&[("what", "ever")])).await, 200).await;
    assert_eq!(fixture.registration("reg-1").await.state.name(), StateName::Active);
}

#[tokio::test]
async fn d8_an_expired_link_leads_to_a_new_one() {
    for (language, account) in READERS {
        let fixture = start().await;
        let link = fixture.link_sent("reg-1", account).await;
        fixture.pass(TimeDelta::hours(24) - TimeDelta::milliseconds(1));
        get(&fixture, &link, 200).await;
        fixture.pass(TimeDelta::milliseconds(1));
        let before = fixture.registration("reg-1").await;
        insta::assert_snapshot!(format!("expired_{language}"), get(&fixture, &link, 410).await);
        insta::assert_snapshot!(format!("expired_{language}"), post(&fixture, &link, 410).await);
        assert_eq!(fixture.registration("reg-1").await, before, "the state is as it was");
    }
}

#[tokio::test]
async fn d7_a_newer_link_replaces_the_older() {
    for (language, account) in READERS {
        let fixture = start().await;
        let old = fixture.link_sent("reg-1", account).await;
        fixture.pass(TimeDelta::minutes(2));
        let registration = fixture.apply("reg-1", &Event::ResendRequested).await;
        let new = fixture.link_of(&registration).await;
        insta::assert_snapshot!(format!("replaced_{language}"), get(&fixture, &old, 410).await);
        insta::assert_snapshot!(format!("replaced_{language}"), post(&fixture, &old, 410).await);
        post(&fixture, &new, 200).await;
        let used = get(&fixture, &new, 200).await;
        assert!(used.contains("<h1>"), "{used}");
    }
}

#[tokio::test]
async fn d23_a_link_of_a_registration_that_has_moved_on_is_over() {
    for (language, account) in READERS {
        let fixture = start().await;
        let link = fixture.link_sent("reg-1", account).await;
        fixture.apply("reg-1", &Event::GIVEN_UP).await;
        insta::assert_snapshot!(format!("over_{language}"), get(&fixture, &link, 410).await);
        insta::assert_snapshot!(format!("over_{language}"), post(&fixture, &link, 410).await);
        assert_eq!(fixture.registration("reg-1").await.state, State::Withdrawn);
    }
}

#[tokio::test]
async fn an_unknown_token_is_not_found() {
    let fixture = start().await;
    let link = fixture.link_sent("reg-1", "newbie").await;
    let token = link.trim_start_matches("/verify/");
    let digest = enrolld::links::digest(token);
    let cut = &link[..link.len() - 1];
    let long = format!("/verify/{}", "A".repeat(4000));
    for path in [
        cut,
        &format!("{link}A"),
        &format!("/verify/{digest}"),
        "/verify/%00",
        "/verify/%ff",
        &long,
    ] {
        insta::assert_snapshot!("unknown_en", get(&fixture, path, 404).await);
        insta::assert_snapshot!("unknown_en", post(&fixture, path, 404).await);
    }
    let dutch = fixture.get(cut).header("accept-language", "nl-BE,en;q=0.5");
    insta::assert_snapshot!("unknown_nl", page(send(dutch).await, 404).await);
    let deleted = send(fixture.client.delete(format!("http://{}{link}", fixture.address))).await;
    assert_eq!(
        (deleted.status().as_u16(), &deleted.headers()["allow"]),
        (405, &"GET,HEAD,POST".parse().expect("a value"))
    );
}

/// What using the link comes to when the directory has changed meanwhile, in both languages.
async fn after(name: &str, state: StateName, change: impl Fn(&mut Value)) -> Vec<(Fixture, Registration, String)> {
    let mut worlds = Vec::new();
    for (language, account) in READERS {
        let fixture = start().await;
        let link = fixture.link_sent("reg-1", account).await;
        fixture.import(&change).await;
        insta::assert_snapshot!(format!("{name}_{language}"), post(&fixture, &link, 200).await);
        let registration = fixture.registration("reg-1").await;
        assert_eq!(registration.state.name(), state);
        worlds.push((fixture, registration, link));
    }
    worlds
}

#[tokio::test]
async fn d5_whoever_comes_second_is_sent_to_the_first() {
    for (language, account) in READERS {
        let fixture = start().await;
        let other = if account == "newbie" { "colleague" } else { "newbie" };
        let (first, second) = (
            fixture.link_sent("reg-1", other).await,
            fixture.link_sent("reg-2", account).await,
        );
        post(&fixture, &first, 200).await;
        insta::assert_snapshot!(format!("rerouted_{language}"), post(&fixture, &second, 200).await);
        assert_eq!(fixture.registration("reg-2").await.state.name(), StateName::AwaitingDa);
        let used = get(&fixture, &second, 200).await;
        assert!(used.contains("<strong>") && !used.contains("<form"), "{used}");
    }
}

#[tokio::test]
async fn r63_a_signal_brings_an_agent() {
    let flagged = |directory: &mut Value| directory["contracts"][0]["flagged"] = true.into();
    after("in_review", StateName::InReview, flagged).await;
}

#[tokio::test]
async fn d21_what_is_wrong_by_now_is_told() {
    let ended = |directory: &mut Value| directory["contracts"][0]["status"] = "inactive".into();
    for (fixture, _, link) in after("correction", StateName::NeedsCorrection, ended).await {
        get(&fixture, &link, 410).await;
    }
}

#[tokio::test]
async fn d21_a_changed_address_gets_a_mail_of_its_own() {
    let moved = |directory: &mut Value| {
        for account in [0, 1] {
            directory["accounts"][account]["email"] = "moved@acme.example".into();
        }
    };
    for (fixture, registration, old) in after("address_changed", StateName::AwaitingEmail, moved).await {
        get(&fixture, &old, 410).await;
        let new = fixture.link_of(&registration).await;
        post(&fixture, &new, 200).await;
        assert_eq!(fixture.registration("reg-1").await.state.name(), StateName::Active);
    }
}

#[tokio::test]
async fn a_contract_that_moved_asks_for_another_choice() {
    let moved = |directory: &mut Value| {
        directory["contracts"][0]["organization_id"] = "elsewhere".into();
        let elsewhere = json!({"id": "elsewhere", "name": "ELSEWHERE", "country": "US", "parent_id": null});
        directory["organizations"]
            .as_array_mut()
            .expect("a list")
            .push(elsewhere);
    };
    after("choose_again", StateName::Routing, moved).await;
}

#[tokio::test]
async fn with_the_database_away_the_link_stays_good() {
    let fixture = start().await;
    let link = fixture.link_sent("reg-1", "newbie").await;
    let rename = |from: &str, to: &str| format!("ALTER TABLE {from} RENAME TO {to}");
    let connection = fixture.executor.store().writer();
    sea_orm::ConnectionTrait::execute_unprepared(connection, &rename("registrations", "gone"))
        .await
        .expect("it is there");
    for response in [fixture.get(&link), fixture.post(&link)] {
        let response = send(response).await;
        assert_eq!(response.headers()["retry-after"], "60");
        insta::assert_snapshot!("later_en", page(response, 503).await);
    }
    sea_orm::ConnectionTrait::execute_unprepared(connection, &rename("gone", "registrations"))
        .await
        .expect("it is there");
    post(&fixture, &link, 200).await;
}

#[tokio::test]
async fn the_style_sheet_is_found_from_the_page() {
    let fixture = start().await;
    let link = fixture.link_sent("reg-1", "newbie").await;
    let html = get(&fixture, &link, 200).await;
    // Relative, so that a path in `http.public_url` stays before it.
    assert!(html.contains("href=\"../assets/page.css\""), "{html}");
    assert!(!html.contains("action="), "the form goes to where the page came from");
    let css = send(fixture.get("/assets/page.css")).await;
    assert_eq!(css.status(), 200);
    assert_eq!(css.headers()["content-type"], "text/css; charset=utf-8");
    assert!(css.text().await.expect("a body").contains("prefers-color-scheme"));
}

#[tokio::test]
async fn a_public_listener_has_the_link_pages_alone() {
    let fixture = Fixture::start(Wanted {
        public_listener: true,
        ..Wanted::default()
    })
    .await;
    let link = fixture.link_sent("reg-1", "newbie").await;
    problem(fixture.get(&link), 404).await;
    problem(fixture.get("/assets/page.css"), 404).await;
    let public = fixture.public.expect("it was asked for");
    let at = |path: &str| format!("http://{public}{path}");
    for path in [link.as_str(), "/assets/page.css", "/healthz"] {
        assert_eq!(send(fixture.client.get(at(path))).await.status(), 200, "{path}");
    }
    for path in [
        "/readyz",
        "/v1/registrations",
        "/v1/registrations/reg-1",
        "/",
        "/verify/",
    ] {
        assert_eq!(send(fixture.client.get(at(path))).await.status(), 404, "{path}");
    }
    assert_eq!(send(fixture.client.post(at("/v1/events"))).await.status(), 404);
    page(send(fixture.client.post(at(&link))).await, 200).await;
    assert_eq!(fixture.registration("reg-1").await.state.name(), StateName::Active);
}

thread_local! {
    /// What this thread logs, once it is kept. The runtime of a test has one thread, so this is the server's log, too.
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

struct ThreadLog;

impl io::Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.as_mut().map(|log| log.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn d7_no_log_has_a_token_or_an_address() {
    // Not for this thread alone: tracing forgets the places that other threads, without a subscriber, come by first.
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(|| ThreadLog)
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("no other test of this binary sets one");
    LOG.set(Some(Vec::new()));
    let fixture = start().await;
    let link = fixture.link_sent("reg-1", "newbie").await;
    let token = link.trim_start_matches("/verify/");
    get(&fixture, &link, 200).await;
    post(&fixture, &link, 200).await;
    get(&fixture, &format!("{link}x"), 404).await;
    problem(fixture.get(&format!("{link}/x")), 404).await;
    problem(fixture.client.delete(format!("http://{}{link}", fixture.address)), 405).await;
    let decide = super::decide::link(&fixture, "reg-2", "joost", "wilma").await;
    let decide_token = decide.trim_start_matches("/decide/");
    get(&fixture, &decide, 200).await;
    post(&fixture, &decide, 422).await;
    page(send(fixture.post(&decide).form(&[("decision", "deny")])).await, 200).await;

    let log = String::from_utf8(LOG.take().expect("it is kept")).expect("UTF-8");
    assert!(
        ["/verify/{token}", "/decide/{token}", "(no such path)"]
            .iter()
            .all(|path| log.contains(path)),
        "{log}"
    );
    for secret in [token, decide_token, "acme.example", "lagelanden.example"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn who_asks_too_often_is_told_to_wait_and_nobody_else() {
    let fixture = start().await;
    let ask = async |path: &str, client: &str| send(fixture.get(path).header("x-forwarded-for", client)).await;
    let refusal = async |request: &dyn Fn() -> RequestBuilder, client: &str| {
        let start = Instant::now();
        loop {
            let asked = (0..60).map(|_| send(request().header("x-forwarded-for", client)));
            let asked = futures::future::join_all(asked).await;
            if let Some(refused) = asked.into_iter().find(|response| response.status() != 404) {
                break refused;
            }
            assert!(start.elapsed() < PATIENCE, "nobody is refused");
        }
    };
    let refused = refusal(&|| fixture.get("/verify/unknown"), "192.0.2.1").await;
    assert_eq!(refused.headers()["retry-after"], "60");
    insta::assert_snapshot!("too_many_en", page(refused, 429).await);
    assert_eq!(ask("/healthz", "192.0.2.1").await.status(), 200);
    assert_eq!(ask("/verify/unknown", "192.0.2.2").await.status(), 404);
    // Pressing is asking, and one page is as good as the other.
    let decision = [("decision", "deny")];
    let pressed = refusal(&|| fixture.post("/decide/unknown").form(&decision), "192.0.2.3").await;
    assert_eq!(pressed.status(), 429);
    let pressed = refusal(&|| fixture.post("/verify/unknown"), "192.0.2.4").await;
    assert_eq!(pressed.status(), 429);
    let asked = refusal(&|| fixture.get("/decide/unknown"), "192.0.2.5").await;
    assert_eq!(asked.status(), 429);
}
