//! What the directory answers through the port.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use chrono::NaiveDate;
use enrolld::directory::{EmbeddedDirectory, read};
use enrolld::store::connection::Connection;
use enrolld_jobs::{
    da_routing::administrators,
    directory::{AccountStatus, ApplicantFacts},
    ports::Directory as _,
    values::{AccountId, ContractNumber, OrganizationId, SerialNumber},
};
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use super::{DEMO, Fixture, account, moment, organization};
use crate::support::{database::Database, for_each_database};

for_each_database!(
    a_contract_is_told_only_to_its_own,
    d6_the_chain_runs_from_the_root_to_the_site,
    appointments_come_with_their_accounts_in_order,
    a_status_that_nobody_knows_is_inactive,
    a_database_that_is_away_is_unavailable,
);

async fn applicant(
    directory: &EmbeddedDirectory,
    account: &str,
    contract: Option<&str>,
    serial: Option<&str>,
) -> ApplicantFacts {
    let account = AccountId::new(account).unwrap();
    let contract = contract.map(|number| ContractNumber::new(number).unwrap());
    let serial = serial.map(|serial| SerialNumber::new(serial).unwrap());
    directory
        .applicant(&account, contract.as_ref(), serial.as_ref())
        .await
        .unwrap()
}

fn organizations(ids: &[&str]) -> Vec<OrganizationId> {
    ids.iter().map(|id| OrganizationId::new(*id).unwrap()).collect()
}

async fn a_contract_is_told_only_to_its_own(database: Database) {
    let fixture = Fixture::start(database).await;
    fixture.import(DEMO, 0).await;
    let directory = EmbeddedDirectory::new(Connection::new(fixture.db.clone()));

    let facts = applicant(&directory, "newbie", Some("93988396"), Some("foc1436y3xk")).await;
    let profile = facts.account.unwrap();
    assert_eq!(profile.name, "SNTC Newbie");
    assert_eq!(profile.email.as_deref(), Some("newbie@acme.example"));
    assert_eq!(profile.contracts, ["93988396"]);
    let contract = facts.contract.unwrap();
    assert_eq!(contract.kind, "smart_net_total_care");
    assert_eq!(contract.ends_on, NaiveDate::from_ymd_opt(2099, 12, 31));
    assert_eq!(contract.organization_id.as_str(), "acme-fremont");
    assert!(facts.covered);

    // A device of another contract, one that nobody has, none.
    for serial in [Some("FDO2107A0LL"), Some("NONE-SUCH"), None] {
        let facts = applicant(&directory, "newbie", Some("93988396"), serial).await;
        assert!(facts.contract.is_some() && !facts.covered, "{serial:?}");
    }
    // D14: another's contract and device are as unknown as what does not exist.
    for contract in [Some("70020001"), Some("1"), None] {
        let facts = applicant(&directory, "newbie", contract, Some("FDO2107A0LL")).await;
        assert!(facts.account.is_some(), "{contract:?}");
        assert_eq!((facts.contract, facts.covered), (None, false), "{contract:?}");
    }
    let facts = applicant(&directory, "nobody", Some("93988396"), Some("FOC1436Y3XK")).await;
    assert_eq!(
        facts,
        ApplicantFacts {
            account: None,
            contract: None,
            covered: false
        }
    );

    let lapsed = applicant(&directory, "lapsed", Some("93988397"), None)
        .await
        .contract
        .unwrap();
    assert_eq!(lapsed.status, "inactive");
}

async fn d6_the_chain_runs_from_the_root_to_the_site(database: Database) {
    let fixture = Fixture::start(database).await;
    fixture.import(DEMO, 0).await;
    let directory = EmbeddedDirectory::new(Connection::new(fixture.db.clone()));
    let chain = async |id: &str| directory.chain(&OrganizationId::new(id).unwrap()).await;
    let ids = async |id: &str| {
        let chain = chain(id).await.unwrap();
        chain
            .into_iter()
            .map(|organization| organization.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("acme-fremont").await, ["acme", "acme-west", "acme-fremont"]);
    assert_eq!(ids("acme").await, ["acme"]);
    assert!(ids("nowhere").await.is_empty());
    let root = chain("acme").await.unwrap().remove(0);
    assert_eq!(root.address, ["1 MAIN ST", "SAN JOSE CA 95113"]);
    assert_eq!(root.email_domains, ["acme.example"]);
    assert_eq!(root.parent_id, None);

    // As deep as import allows, and a loop that no import made.
    let level = |at: usize| format!("level-{at}");
    let deep: Vec<_> = (1..=read::MAX_LEVELS)
        .map(|at| organization(&level(at), (at > 1).then(|| level(at - 1)).as_deref()))
        .collect();
    fixture.import(json!({"organizations": deep}).to_string(), 0).await;
    assert_eq!(ids(&level(read::MAX_LEVELS)).await.len(), read::MAX_LEVELS);
    let loop_up = "UPDATE directory_organizations SET parent_id = 'acme-fremont' WHERE id = 'acme'";
    fixture.db.execute_unprepared(loop_up).await.unwrap();
    let error = chain("acme-west").await.unwrap_err();
    assert_eq!(error.service, "directory");
    assert!(error.message.contains("stands above itself"), "{error}");
}

async fn appointments_come_with_their_accounts_in_order(database: Database) {
    let fixture = Fixture::start(database).await;
    fixture.import(DEMO, 0).await;
    let later = json!({"administrators": [
        {"account_id": "emma", "organization_id": "lowlands-venlo"},
        {"account_id": "newbie", "organization_id": "acme"},
    ]});
    fixture.import(later.to_string(), 1).await;
    let directory = EmbeddedDirectory::new(Connection::new(fixture.db.clone()));

    let site = OrganizationId::new("lowlands-venlo").unwrap();
    let chain = directory.chain(&site).await.unwrap();
    let asked: Vec<_> = chain.iter().map(|organization| organization.id.clone()).collect();
    let appointments = directory.appointments(&asked).await.unwrap();
    assert!(appointments.iter().any(|appointment| appointment.since == moment(0)));
    let list = administrators(&chain, appointments);
    let names: Vec<_> = list.iter().map(|da| (da.name.as_str(), da.reachable)).collect();
    assert_eq!(
        names,
        [("Wilma de Wit", true), ("Bram Bakker", true), ("Emma Evans", true)]
    );
    assert_eq!(list[0].address, ["HAVENWEG 12", "3089 JG ROTTERDAM"]);

    let of_site_only = directory.appointments(&[site]).await.unwrap();
    assert_eq!(of_site_only.len(), 1);
    assert_eq!(of_site_only[0].account.contracts, ["70020001"]);
    assert!(directory.appointments(&[]).await.unwrap().is_empty());
    assert!(
        directory
            .appointments(&organizations(&["acme-west", "nowhere"]))
            .await
            .unwrap()
            .is_empty()
    );
}

async fn a_status_that_nobody_knows_is_inactive(database: Database) {
    let fixture = Fixture::start(database).await;
    let with_status = |id: &str, status: &str| {
        let mut record = account(id);
        record["status"] = json!(status);
        record
    };
    let records = [
        with_status("a", "incomplete"),
        with_status("b", "Active"),
        with_status("c", ""),
    ];
    fixture.import(json!({"accounts": records}).to_string(), 0).await;
    let directory = EmbeddedDirectory::new(Connection::new(fixture.db.clone()));
    let status = async |id: &str| {
        let account = directory.account(&AccountId::new(id).unwrap()).await.unwrap();
        account.map(|account| account.status)
    };
    assert_eq!(status("a").await, Some(AccountStatus::Incomplete));
    assert_eq!(status("b").await, Some(AccountStatus::Inactive));
    assert_eq!(status("c").await, Some(AccountStatus::Inactive));
    assert_eq!(status("d").await, None);
    // Kept as given all the same.
    assert_eq!(fixture.export_json().await["accounts"][1]["status"], "Active");
}

async fn a_database_that_is_away_is_unavailable(database: Database) {
    let fixture = Fixture::start(database).await;
    let directory = EmbeddedDirectory::new(Connection::new(fixture.db.clone()));
    fixture.db.close_by_ref().await.unwrap();
    let error = directory.account(&AccountId::new("newbie").unwrap()).await.unwrap_err();
    assert_eq!(error.service, "directory");
}
