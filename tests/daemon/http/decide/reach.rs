//! Where, when and with what the DA's link can be used.

use chrono::TimeDelta;
use enrolld_jobs::{event::Event, registration::StateName};

use super::{
    super::{
        Wanted,
        pages::{get, page},
        problem, send,
    },
    GRANT, asked, asked_of, link_of, post,
};

#[tokio::test]
async fn d1_who_was_asked_first_may_decide_until_somebody_has() {
    let (fixture, first) = asked("en").await;
    fixture.pass(TimeDelta::hours(72));
    let mut registration = fixture.registration("reg-1").await;
    // Reminders come first; each timer sets the next.
    while registration.delegated_administrator().map(|da| da.account_id.as_str()) == Some("wilma") {
        let step = registration.step;
        registration = fixture.apply("reg-1", &Event::TimeIsUp { step }).await;
    }
    let second = link_of(&fixture, &registration, "bram").await;
    for link in [&first, &second] {
        get(&fixture, link, 200).await;
    }
    fixture.pass(TimeDelta::hours(72));
    while registration.state.name() == StateName::AwaitingDa {
        let step = registration.step;
        registration = fixture.apply("reg-1", &Event::TimeIsUp { step }).await;
    }
    assert_eq!(registration.state.name(), StateName::InReview);
    get(&fixture, &second, 200).await;
    post(&fixture, &first, &GRANT, 200).await;
    let told = post(&fixture, &second, &GRANT, 200).await;
    assert!(told.contains("Wilma de Wit"), "{told}");
}

#[tokio::test]
async fn an_impatient_double_click_decides_once() {
    let (fixture, link) = asked("en").await;
    let clicks = futures::future::join_all((0..8).map(|_| post(&fixture, &link, &GRANT, 200))).await;
    let count = |title: &str| {
        let heading = format!("<h1>{title}</h1>");
        clicks.iter().filter(|page| page.contains(&heading)).count()
    };
    assert_eq!(
        (
            count("You have granted access"),
            count("This request has already been decided")
        ),
        (1, 7)
    );
}

#[tokio::test]
async fn no_cookie_origin_or_host_is_asked_for() {
    let (fixture, link) = asked("en").await;
    let foreign = |request: reqwest::RequestBuilder| {
        request
            .header("host", "webmail.example")
            .header("origin", "https://webmail.example")
            .header("sec-fetch-site", "cross-site")
    };
    page(send(foreign(fixture.get(&link))).await, 200).await;
    page(send(foreign(fixture.post(&link)).form(&GRANT)).await, 200).await;
    assert_eq!(fixture.registration("reg-1").await.state.name(), StateName::Active);
}

#[tokio::test]
async fn with_the_database_away_the_link_stays_good() {
    let (fixture, link) = asked("en").await;
    let connection = fixture.executor.store().writer();
    for table in ["registrations", "directory_accounts", "directory_administrators"] {
        let rename = |from: &str, to: &str| format!("ALTER TABLE {from} RENAME TO {to}");
        sea_orm::ConnectionTrait::execute_unprepared(connection, &rename(table, "gone"))
            .await
            .expect("it is there");
        for response in [fixture.get(&link), fixture.post(&link).form(&GRANT)] {
            let response = send(response).await;
            assert_eq!(response.headers()["retry-after"], "60");
            let shown = page(response, 503).await;
            assert!(shown.contains("Your link is still good"), "{table}: {shown}");
        }
        sea_orm::ConnectionTrait::execute_unprepared(connection, &rename("gone", table))
            .await
            .expect("it is there");
    }
    post(&fixture, &link, &GRANT, 200).await;
}

#[tokio::test]
async fn the_form_is_used_with_the_keyboard_alone() {
    let (fixture, link) = asked("en").await;
    for html in [
        get(&fixture, &link, 200).await,
        post(&fixture, &link, &[("decision", "grant")], 422).await,
    ] {
        // Controls in the order in which they are read, each with its label, and what each belongs to.
        let order = [
            "<fieldset",
            "<legend",
            "id=\"grant\"",
            "id=\"deny\"",
            "</fieldset>",
            "id=\"role\"",
            "id=\"reason\"",
            "<button type=\"submit\"",
        ];
        let places: Vec<_> = order.iter().map(|part| html.find(part).expect(part)).collect();
        assert!(places.is_sorted(), "{html}");
        for id in ["grant", "deny", "role", "reason"] {
            assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}: {html}");
            assert_eq!(html.matches(&format!("<label for=\"{id}\"")).count(), 1, "{id}: {html}");
        }
        // What describes a control, or is led to, is there.
        for attribute in ["aria-describedby=\"", "href=\"#"] {
            for value in html.split(attribute).skip(1) {
                let ids = value.split('"').next().expect("it has a value");
                for id in ids.split(' ') {
                    assert!(html.contains(&format!(" id=\"{id}\"")), "{id}: {html}");
                }
            }
        }
        for absent in [
            "tabindex",
            "autofocus",
            "onclick",
            "<script",
            "style=",
            "action=",
            "target=",
        ] {
            assert!(!html.contains(absent), "{absent}: {html}");
        }
        assert!(
            !html.contains("<option value=\"customer_administrator\" selected"),
            "nothing is chosen beforehand"
        );
    }
    assert!(
        !get(&fixture, &link, 200).await.contains(" checked"),
        "nothing is chosen beforehand"
    );
}

#[tokio::test]
async fn a_public_listener_has_the_page_alone() {
    let public_listener = true;
    let (fixture, link) = asked_of(
        Wanted {
            public_listener,
            ..Wanted::default()
        },
        "en",
    )
    .await;
    problem(fixture.get(&link), 404).await;
    let public = fixture.public.expect("it was asked for");
    let at = format!("http://{public}{link}");
    page(send(fixture.client.get(&at)).await, 200).await;
    page(send(fixture.client.post(&at).form(&GRANT)).await, 200).await;
    assert_eq!(fixture.registration("reg-1").await.state.name(), StateName::Active);
}
