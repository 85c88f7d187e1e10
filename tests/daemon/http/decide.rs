//! The page of a DA's link (R31, R37; contract, section 6). In the demo's directory `wilma` and then `bram` are DAs of the
//! company of `joost` and `emma`.

mod reach;

use enrolld::{
    links::PURPOSE_DECISION,
    store::{
        entities::link,
        transition::{NewLink, Transition},
    },
};
use enrolld_jobs::{
    cloud_event::DaDecision,
    event::{EnteredNumbers, Event},
    registration::{Registration, State, StateName},
    values::{AccountId, Entered, Role},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Fixture, Wanted,
    pages::{get, page},
    send,
};

/// The languages that the DA who is asked may read.
const LANGUAGES: [&str; 2] = ["en", "nl"];

const GRANT: [(&str, &str); 2] = [("decision", "grant"), ("role", "customer_user")];

/// What a hostile person might give as a reason, in what a browser makes of several lines.
const HOSTILE: &str = "</textarea><script>alert(1)</script>\r\n\"onfocus=\"x' {{ portal.url }} & more\u{202E}";

/// With a request of `joost` that waits for `wilma`, who reads `language`; and the path of her link.
async fn asked(language: &str) -> (Fixture, String) {
    asked_of(Wanted::default(), language).await
}

async fn asked_of(wanted: Wanted, language: &str) -> (Fixture, String) {
    let fixture = Fixture::start(wanted).await;
    fixture
        .import(|directory| directory["accounts"][4]["locale"] = language.into())
        .await;
    let link = link(&fixture, "reg-1", "joost", "wilma").await;
    (fixture, link)
}

/// A request of `account` waits for `da`: the path of the link.
pub(super) async fn link(fixture: &Fixture, id: &str, account: &str, da: &str) -> String {
    let registration = request(fixture, id, account).await;
    link_of(fixture, &registration, da).await
}

/// A request that waits for a DA.
async fn request(fixture: &Fixture, id: &str, account: &str) -> Registration {
    let numbers = EnteredNumbers {
        contract: Entered::new("70020001"),
        serial: Entered::new("FDO2107A0LL"),
    };
    let account_id = AccountId::new(account).expect("an id");
    let step = fixture.apply(id, &Event::Submitted { account_id, numbers }).await.step;
    let step = fixture.apply(id, &Event::Verify { step }).await.step;
    fixture.apply(id, &Event::Route { step }).await;
    fixture.apply(id, &Event::Confirmed).await
}

/// The path of the link that was made when `da` was asked.
async fn link_of(fixture: &Fixture, registration: &Registration, da: &str) -> String {
    let State::AwaitingDa { asked } = &registration.state else {
        panic!("{} does not wait for a DA", registration.id);
    };
    let asked = asked.iter().find(|asked| asked.administrator.account_id.as_str() == da);
    let id = asked.expect("they were asked").link.expect("with a link");
    let row = fixture.executor.store().link(id).await.expect("the database answers");
    path(fixture, &row.expect("it was issued"))
}

fn path(fixture: &Fixture, link: &link::Model) -> String {
    let token = fixture.link_keys.token(link).expect("its key is there");
    format!("/decide/{token}")
}

async fn post(fixture: &Fixture, path: &str, form: &[(&str, &str)], status: u16) -> String {
    page(send(fixture.post(path).form(form)).await, status).await
}

/// `bram` decides, in the portal.
async fn bram_decides(fixture: &Fixture, decision: DaDecision) {
    let event = Event::DaDecided {
        by: AccountId::new("bram").expect("an id"),
        decision,
        reason: None,
        via_link: false,
    };
    fixture.apply("reg-1", &event).await;
}

/// The last line of the registration's timeline.
async fn last_line(fixture: &Fixture) -> (String, String, Value) {
    let id = fixture.registration("reg-1").await.id;
    let lines = fixture.executor.store().timelines(&[&id]).await;
    let (_, line) = lines.expect("the database answers").pop().expect("there are lines");
    (line.event, line.actor, Value::Object(line.detail))
}

/// Checks that neither looking nor pressing the button does anything: both show the page `name`.
async fn shows(fixture: &Fixture, link: &str, name: &str, status: u16) {
    let before = fixture.registration("reg-1").await;
    insta::assert_snapshot!(name, get(fixture, link, status).await);
    insta::assert_snapshot!(name, post(fixture, link, &GRANT, status).await);
    assert_eq!(fixture.registration("reg-1").await, before);
}

#[tokio::test]
async fn r31_r37_a_da_grants_by_the_link_once() {
    for language in LANGUAGES {
        let (fixture, link) = asked(language).await;
        let before = fixture.registration("reg-1").await;
        for _ in 0..2 {
            insta::assert_snapshot!(format!("ask_{language}"), get(&fixture, &link, 200).await);
        }
        let head = fixture
            .client
            .request(Method::HEAD, format!("http://{}{link}", fixture.address));
        assert_eq!(page(send(head).await, 200).await, "");
        assert_eq!(fixture.registration("reg-1").await, before, "looking changes nothing");

        let granted = post(&fixture, &link, &GRANT, 200).await;
        insta::assert_snapshot!(format!("granted_{language}"), granted);
        let active = fixture.registration("reg-1").await;
        let State::Active { granted } = &active.state else {
            panic!("{:?}", active.state);
        };
        assert_eq!(
            (granted.role, granted.organization_id.as_str()),
            (Role::CustomerUser, "lowlands-venlo"),
            "D20"
        );
        let (event, actor, detail) = last_line(&fixture).await;
        assert_eq!((event.as_str(), actor.as_str()), ("registration.da_decided", "wilma"));
        let expected = json!({"decision": "grant", "role": "customer_user", "via": "link", "to": "active"});
        assert_eq!(detail, expected);

        // The link is good for nothing else any more, and says what it was used for.
        shows(&fixture, &link, &format!("granted_before_{language}"), 200).await;
        post(&fixture, &link, &[("decision", "deny")], 200).await;
        assert_eq!(fixture.registration("reg-1").await, active, "a decision is final");
    }
}

#[tokio::test]
async fn r31_a_denial_keeps_its_reason_as_text() {
    for language in LANGUAGES {
        let (fixture, link) = asked(language).await;
        // A role that was chosen before changing one's mind does not matter.
        let form = [("decision", "deny"), ("role", "api_developer"), ("reason", HOSTILE)];
        insta::assert_snapshot!(format!("denied_{language}"), post(&fixture, &link, &form, 200).await);
        let State::Denied { by, reason } = fixture.registration("reg-1").await.state else {
            panic!("it is not denied");
        };
        assert_eq!(by.as_str(), "wilma");
        assert_eq!(reason.as_deref(), Some(HOSTILE.replace("\r\n", "\n").as_str()));
        shows(&fixture, &link, &format!("denied_before_{language}"), 200).await;
    }
}

#[tokio::test]
async fn every_role_is_offered_and_can_be_granted() {
    for role in Role::ALL {
        let (fixture, link) = asked("en").await;
        let form = get(&fixture, &link, 200).await;
        assert!(
            form.contains(&format!("<option value=\"{}\">", role.as_str())),
            "{form}"
        );
        post(&fixture, &link, &[("decision", "grant"), ("role", role.as_str())], 200).await;
        let State::Active { granted } = fixture.registration("reg-1").await.state else {
            panic!("{role:?} was not granted");
        };
        assert_eq!(granted.role, role);
    }
}

#[tokio::test]
async fn what_is_missing_is_told_and_nothing_entered_is_lost() {
    for language in LANGUAGES {
        let (fixture, link) = asked(language).await;
        let before = fixture.registration("reg-1").await;
        let no_role = [("decision", "grant"), ("role", ""), ("reason", HOSTILE)];
        let again = post(&fixture, &link, &no_role, 422).await;
        assert!(
            !again.contains("<script") && again.matches("</textarea>").count() == 1,
            "{again}"
        );
        insta::assert_snapshot!(format!("without_role_{language}"), again);
        let no_decision = [("role", "partner_user"), ("reason", "Because.")];
        insta::assert_snapshot!(
            format!("without_decision_{language}"),
            post(&fixture, &link, &no_decision, 422).await
        );
        let long = "é".repeat(2_001);
        let form = [("decision", "deny"), ("role", ""), ("reason", long.as_str())];
        let again = post(&fixture, &link, &form, 422).await;
        assert!(again.contains(&long), "it can be shortened");
        insta::assert_snapshot!(
            format!("with_long_reason_{language}"),
            again.replace(&long, "[the reason]")
        );
        let huge = "x".repeat(100_000);
        let form = [("decision", "deny"), ("reason", huge.as_str())];
        insta::assert_snapshot!(
            format!("unreadable_{language}"),
            post(&fixture, &link, &form, 422).await
        );
        let senseless: [&[(&str, &str)]; 6] = [
            &[],
            &[("decision", "")],
            &[("decision", "GRANT"), ("role", "customer_user")],
            &[("decision", "grant"), ("decision", "deny"), ("role", "customer_user")],
            &[("decision", "grant"), ("role", "owner")],
            &[
                ("decision", "grant"),
                ("role", "customer_user"),
                ("role", "api_developer"),
            ],
        ];
        for form in senseless {
            post(&fixture, &link, form, 422).await;
        }
        page(send(fixture.post(&link)).await, 422).await;
        let json = fixture.post(&link).json(&json!({"decision": "deny"}));
        page(send(json).await, 422).await;
        assert_eq!(fixture.registration("reg-1").await, before);

        // As many characters as are allowed, however many bytes and lines.
        let most = format!("{}\r\n{}", "€".repeat(999), "\u{1F600}".repeat(1_000));
        post(&fixture, &link, &[("decision", "deny"), ("reason", most.as_str())], 200).await;
    }
}

#[tokio::test]
async fn d1_another_da_has_decided_meanwhile() {
    for language in LANGUAGES {
        let (fixture, link) = asked(language).await;
        get(&fixture, &link, 200).await;
        let role = Role::PartnerUser;
        bram_decides(&fixture, DaDecision::Grant { role }).await;
        shows(&fixture, &link, &format!("granted_by_another_{language}"), 200).await;

        let (fixture, link) = asked(language).await;
        bram_decides(&fixture, DaDecision::Deny).await;
        shows(&fixture, &link, &format!("denied_by_another_{language}"), 200).await;
    }
}

#[tokio::test]
async fn a_request_that_does_not_wait_for_a_da_cannot_be_decided() {
    for language in LANGUAGES {
        let (fixture, link) = asked(language).await;
        fixture.apply("reg-1", &Event::GIVEN_UP).await;
        shows(&fixture, &link, &format!("withdrawn_{language}"), 410).await;
    }
}

#[tokio::test]
async fn d3_who_is_da_no_more_is_told_nothing_of_the_request() {
    for language in LANGUAGES {
        let (fixture, link) = asked(language).await;
        let connection = fixture.executor.store().writer();
        let removed = "DELETE FROM directory_administrators WHERE account_id = 'wilma'";
        sea_orm::ConnectionTrait::execute_unprepared(connection, removed)
            .await
            .expect("it is there");
        let shown = get(&fixture, &link, 410).await;
        for secret in ["Joost", "joost", "70020001", "VENLO"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        shows(&fixture, &link, &format!("not_entitled_{language}"), 410).await;
        fixture.apply("reg-1", &Event::GIVEN_UP).await;
        shows(&fixture, &link, &format!("not_entitled_{language}"), 410).await;
    }
}

#[tokio::test]
async fn d21_what_is_wrong_by_now_is_told_to_the_decider() {
    for language in LANGUAGES {
        let (fixture, link) = asked(language).await;
        fixture
            .import(|directory| {
                directory["accounts"][4]["locale"] = language.into();
                directory["contracts"][2]["status"] = "inactive".into();
            })
            .await;
        insta::assert_snapshot!(
            format!("correction_{language}"),
            post(&fixture, &link, &GRANT, 200).await
        );
        assert_eq!(
            fixture.registration("reg-1").await.state.name(),
            StateName::NeedsCorrection
        );
        shows(&fixture, &link, &format!("with_applicant_{language}"), 410).await;
    }
}

#[tokio::test]
async fn a_contract_that_moved_is_routed_again() {
    for language in LANGUAGES {
        let (fixture, link) = asked(language).await;
        fixture
            .import(|directory| {
                directory["accounts"][4]["locale"] = language.into();
                directory["contracts"][2]["organization_id"] = "lowlands".into();
            })
            .await;
        insta::assert_snapshot!(format!("moved_{language}"), post(&fixture, &link, &GRANT, 200).await);
        assert_eq!(fixture.registration("reg-1").await.state.name(), StateName::Routing);
    }
}

#[tokio::test]
async fn without_decisions_by_link_no_link_decides() {
    for language in LANGUAGES {
        let fixture = Fixture::start(Wanted {
            no_decisions_by_link: true,
            ..Wanted::default()
        })
        .await;
        fixture
            .import(|directory| directory["accounts"][4]["locale"] = language.into())
            .await;
        let registration = request(&fixture, "reg-1", "joost").await;
        let State::AwaitingDa { asked } = &registration.state else {
            panic!("it does not wait for a DA");
        };
        assert!(asked.iter().all(|asked| asked.link.is_none()), "none is made");

        // One that was made before.
        let id = uuid::Uuid::from_u128(1);
        let issued = fixture.link_keys.issue(PURPOSE_DECISION, id, [1; 32]);
        let store = fixture.executor.store();
        let transition = Transition {
            links: vec![NewLink {
                id,
                registration_id: "reg-1".to_owned(),
                purpose: PURPOSE_DECISION,
                account_id: Some("wilma".to_owned()),
                nonce: issued.nonce,
                key_id: issued.key_id,
                token_digest: issued.token_digest,
                valid_until_ms: None,
                created_ms: 0,
            }],
            ..Transition::default()
        };
        store.commit(transition).await.expect("the database answers");
        let row = store
            .link(id)
            .await
            .expect("the database answers")
            .expect("it was made");
        shows(&fixture, &path(&fixture, &row), &format!("in_portal_{language}"), 410).await;
    }
}

#[tokio::test]
async fn an_unknown_token_is_not_found() {
    let (fixture, link) = asked("en").await;
    let verification = fixture.link_sent("reg-2", "newbie").await;
    let token = link.trim_start_matches("/decide/");
    let digest = enrolld::links::digest(token);
    let long = format!("/decide/{}", "A".repeat(4000));
    for path in [
        &link[..link.len() - 1],
        &format!("{link}A"),
        &format!("/decide/{digest}"),
        "/decide/%00",
        "/decide/%ff",
        &long,
        // A link is good for its own purpose alone.
        &verification.replace("/verify/", "/decide/"),
    ] {
        insta::assert_snapshot!("unknown_en", get(&fixture, path, 404).await);
        insta::assert_snapshot!("unknown_en", post(&fixture, path, &GRANT, 404).await);
    }
    let dutch = fixture.get(&long).header("accept-language", "nl-BE,en;q=0.5");
    insta::assert_snapshot!("unknown_nl", page(send(dutch).await, 404).await);
    get(&fixture, &link.replace("/decide/", "/verify/"), 404).await;
    let deleted = send(fixture.client.delete(format!("http://{}{link}", fixture.address))).await;
    assert_eq!(
        (deleted.status().as_u16(), &deleted.headers()["allow"]),
        (405, &"GET,HEAD,POST".parse().expect("a value"))
    );
}
