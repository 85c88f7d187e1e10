//! Reading registrations.

use serde_json::{Value, json};

use super::{Fixture, TOKEN, Wanted, problem, send};

async fn ids(fixture: &Fixture, query: &str) -> Vec<String> {
    let response = send(fixture.get(&format!("/v1/registrations?{query}"))).await;
    assert_eq!(response.status(), 200, "{query}");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let list: Vec<Value> = response.json().await.expect("a list");
    list.iter()
        .map(|view| view["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test]
async fn a_registration_is_shown_with_its_history() {
    let fixture = Fixture::start(Wanted::default()).await;
    fixture.link_sent("reg-1", "newbie").await;
    let response = send(fixture.get("/v1/registrations/reg-1")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    let view: Value = response.json().await.expect("JSON");
    insta::assert_json_snapshot!("view", view);

    for absent in ["reg-2", "reg%201", "%ff", &"x".repeat(65)] {
        problem(fixture.get(&format!("/v1/registrations/{absent}")), 404).await;
    }
    problem(fixture.post("/v1/registrations/reg-1"), 405).await;
}

#[tokio::test]
async fn registrations_are_listed_by_account_state_and_number() {
    let fixture = Fixture::start(Wanted::default()).await;
    for (id, account) in [("reg-1", "newbie"), ("reg-2", "newbie"), ("reg-3", "lapsed")] {
        fixture.submitted(id, account).await;
        fixture.pass(chrono::TimeDelta::seconds(1));
    }
    fixture.routed("reg-4", "colleague").await;
    assert_eq!(
        ids(&fixture, "account_id=newbie").await,
        ["reg-2", "reg-1"],
        "newest first"
    );
    assert_eq!(ids(&fixture, "account_id=newbie&limit=1").await, ["reg-2"]);
    assert_eq!(ids(&fixture, "account_id=colleague&state=verifying").await, [""; 0]);
    assert_eq!(ids(&fixture, "state=awaiting_organization").await, ["reg-4"]);
    assert_eq!(ids(&fixture, "limit=500").await, ["reg-4", "reg-3", "reg-2", "reg-1"]);
    assert_eq!(ids(&fixture, "account_id=nobody").await, [""; 0]);

    let list: Vec<Value> = send(fixture.get("/v1/registrations?account_id=colleague"))
        .await
        .json()
        .await
        .expect("JSON");
    let one: Value = send(fixture.get("/v1/registrations/reg-4"))
        .await
        .json()
        .await
        .expect("JSON");
    assert_eq!(list, [one], "the list has the same views");
    let timeline = list[0]["timeline"].as_array().expect("a list");
    assert_eq!(timeline.len(), 3, "{timeline:?}");
}

#[tokio::test]
async fn a_long_list_is_told_page_by_page() {
    let fixture = Fixture::start(Wanted::default()).await;
    // Several of the same moment, and one of another account between them.
    for id in ["reg-1", "reg-2", "reg-3"] {
        fixture.submitted(id, "newbie").await;
    }
    fixture.pass(chrono::TimeDelta::seconds(1));
    fixture.submitted("reg-4", "lapsed").await;
    fixture.submitted("reg-5", "newbie").await;
    let mut path = "/v1/registrations?account_id=newbie&state=verifying&limit=2".to_owned();
    let mut pages = Vec::new();
    loop {
        let response = send(fixture.get(&path)).await;
        assert_eq!(response.status(), 200, "{path}");
        let link = response
            .headers()
            .get("link")
            .map(|link| link.to_str().expect("ASCII").to_owned());
        let list: Vec<Value> = response.json().await.expect("a list");
        pages.push(
            list.iter()
                .map(|view| view["id"].as_str().expect("an id").to_owned())
                .collect::<Vec<_>>(),
        );
        let Some(link) = link else { break };
        // What comes meanwhile stands before.
        fixture.pass(chrono::TimeDelta::seconds(1));
        fixture.submitted(&format!("new-{}", pages.len()), "newbie").await;
        let next = link
            .strip_prefix('<')
            .and_then(|link| link.strip_suffix(">; rel=\"next\""));
        path = next.expect("a path").to_owned();
        assert!(
            path.starts_with("/v1/registrations?account_id=newbie&state=verifying&limit=2&before="),
            "{path}"
        );
    }
    assert_eq!(pages, [["reg-5", "reg-3"], ["reg-2", "reg-1"]]);
}

#[tokio::test]
async fn a_bad_query_is_refused_by_the_parameters_name() {
    let fixture = Fixture::start(Wanted::default()).await;
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("state=done", "state"),
        ("account_id=", "account_id"),
        ("account_id=a%20b", "account_id"),
        ("account_id=a&account_id=b", "account_id"),
        ("before=reg-1", "before"),
        ("before=1.a%20b", "before"),
        ("acount_id=a", "acount_id"),
    ] {
        let body = problem(fixture.get(&format!("/v1/registrations?{query}")), 400).await;
        assert!(
            body["detail"].as_str().is_some_and(|detail| detail.contains(name)),
            "{query}: {body}"
        );
    }
}

#[tokio::test]
async fn reading_needs_the_token_once_it_is_set() {
    let fixture = Fixture::start(Wanted {
        api_token: true,
        ..Wanted::default()
    })
    .await;
    fixture.submitted("reg-1", "newbie").await;
    for path in ["/v1/registrations/reg-1", "/v1/registrations?account_id=newbie"] {
        assert_eq!(send(fixture.get(path).bearer_auth(TOKEN)).await.status(), 200);
        let wrong = [
            fixture.get(path),
            fixture.get(path).bearer_auth("another-token-of-24-char"),
            fixture.get(path).bearer_auth(""),
            fixture.get(path).bearer_auth(format!("{TOKEN}x")),
            fixture.get(path).header("authorization", format!("Basic {TOKEN}")),
            fixture.get(path).header("authorization", TOKEN),
        ];
        for request in wrong {
            let response = send(request).await;
            assert_eq!(response.status(), 401);
            assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"enrolld\"");
        }
        // A proxy may call the daemon as it likes: the token tells its clients from the pages of strangers.
        let proxied = fixture.get(path).bearer_auth(TOKEN).header("host", "proxied.example");
        assert_eq!(send(proxied).await.status(), 200);
    }
    for open in ["/healthz", "/readyz"] {
        assert_eq!(send(fixture.get(open)).await.status(), 200, "{open}");
    }
}

#[tokio::test]
async fn without_a_token_pages_of_other_sites_cannot_read() {
    let fixture = Fixture::start(Wanted::default()).await;
    problem(fixture.get("/v1/registrations").header("host", "evil.example"), 421).await;
}

#[tokio::test]
async fn what_later_releases_bring_is_not_there() {
    let fixture = Fixture::start(Wanted::default()).await;
    for path in [
        "/",
        "/ops",
        "/decide/",
        "/decide/a/b",
        "/v1",
        "/verify/",
        "/verify/a/b",
        "/assets/layout.html",
    ] {
        let body = problem(fixture.get(path), 404).await;
        let expected = json!({"type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is nothing at this path"});
        assert_eq!(body, expected, "{path}");
    }
}
