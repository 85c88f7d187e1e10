//! Directory files, sound and wrong, in and out.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::{Value, json};

use super::{DEMO, Fixture, account, moment, organization};
use crate::support::{database::Database, for_each_database};

for_each_database!(
    the_demo_is_imported_and_comes_out_the_same,
    a_folder_of_csv_gives_the_same_as_json,
    a_record_replaces_the_stored_one_whole,
    references_to_what_is_stored_are_good,
    all_or_nothing,
    administrators_keep_their_order,
    d20_imported_administrators_hold_their_access_already,
    every_root_is_raised_when_anything_changes,
    problems_with_references,
    trees_stay_trees,
    many_records_take_several_statements,
);

fn defaults(mut record: Value, defaults: &Value) -> Value {
    for (field, value) in defaults.as_object().unwrap() {
        record.as_object_mut().unwrap().entry(field).or_insert(value.clone());
    }
    record
}

async fn the_demo_is_imported_and_comes_out_the_same(database: Database) {
    let fixture = Fixture::start(database).await;
    let summary = fixture.import(DEMO, 0).await;
    assert_eq!(
        summary.to_string(),
        "organizations: 7 added, 0 replaced, 0 unchanged\n\
         accounts: 9 added, 0 replaced, 0 unchanged\n\
         contracts: 4 added, 0 replaced, 0 unchanged\n\
         devices: 4 added, 0 replaced, 0 unchanged\n\
         administrators: 2 added, 0 replaced, 0 unchanged"
    );
    let first = fixture.export().await;
    let mut exported: Value = serde_json::from_str(&first).unwrap();
    let mut given: Value = serde_json::from_str(DEMO).unwrap();
    for section in ["organizations", "accounts", "contracts", "devices"] {
        for file in [&mut exported, &mut given] {
            let records = file[section].as_array_mut().unwrap();
            records.sort_by_key(ToString::to_string);
        }
    }
    assert_eq!(exported, given);

    let again = fixture.import(&first, 1).await;
    assert!(!again.changed_anything(), "{again}");
    let other = Fixture::start(database).await;
    other.import(&first, 2).await;
    assert_eq!(other.export().await, first);
}

async fn a_folder_of_csv_gives_the_same_as_json(database: Database) {
    let fixture = Fixture::start(database).await;
    let organizations = "\u{feff}id,name,address,country,parent_id,email_domains,flagged\r\n\
        acme,\"ACME, INC\",1 MAIN ST; SAN JOSE CA,US,,acme.example;acme.test,\r\n\
        site,Site,,NL,acme,,TRUE\r\n";
    let accounts = "name,id,status,email,contracts,locale\n\
        SNTC Newbie,newbie,active,newbie@acme.example, 93988396 ;1,\n\
        Ünal,unal,left,,,nl-NL\n";
    fixture.write("csv/organizations.csv", organizations);
    fixture.write("csv/accounts.csv", accounts);
    fixture.write(
        "csv/contracts.csv",
        "number,type,status,ends_on,organization_id\n93988396,cisco_one,active,2027-12-31,site\n1,x,y,,acme\n",
    );
    fixture.write(
        "csv/devices.csv",
        "contract_number,serial_number\n93988396, foc1436y3xk\n",
    );
    fixture.write("csv/notes.txt", "not part of it");
    let folder = fixture.folder.path().join("csv");
    let summary = enrolld::directory::import(&fixture.db, &folder, moment(0))
        .await
        .unwrap();
    assert_eq!(summary.accounts.added, 2);
    assert_eq!(summary.administrators.total(), 0);
    insta::assert_snapshot!("a_folder_of_csv", fixture.export().await);
}

async fn a_record_replaces_the_stored_one_whole(database: Database) {
    let fixture = Fixture::start(database).await;
    fixture.import(DEMO, 0).await;
    let short = json!({
        "organizations": [{"id": "acme", "name": "ACME", "country": "CA"}],
        "contracts": [{"number": "93988396", "type": "other", "status": "active", "organization_id": "acme"}],
        "accounts": [
            {"id": "newbie", "name": "N", "status": "active", "contracts": ["93988397", "93988396"]},
            {"id": "bram", "name": "Bram Bakker", "email": "bram@lagelanden.example", "status": "active"},
        ],
        "devices": [{"serial_number": "FDO2107A0LL", "contract_number": "93988396"}],
    });
    let summary = fixture.import(short.to_string(), 1).await;
    assert_eq!((summary.organizations.changed, summary.accounts.changed), (1, 2));
    assert_eq!((summary.contracts.changed, summary.devices.changed), (1, 1));
    let exported = fixture.export_json().await;
    let record = |section: &str, key: &str, id: &str| {
        let records = exported[section].as_array().unwrap().iter();
        records.clone().find(|record| record[key] == id).unwrap().clone()
    };
    let organization_defaults = json!({"address": [], "parent_id": null, "email_domains": [], "flagged": false});
    let expected = defaults(short["organizations"][0].clone(), &organization_defaults);
    assert_eq!(record("organizations", "id", "acme"), expected);
    let account_defaults = json!({"email": null, "locale": "en", "flagged": false, "contracts": []});
    for account in short["accounts"].as_array().unwrap() {
        let expected = defaults(account.clone(), &account_defaults);
        assert_eq!(record("accounts", "id", account["id"].as_str().unwrap()), expected);
    }
    let expected = defaults(
        short["contracts"][0].clone(),
        &json!({"ends_on": null, "flagged": false}),
    );
    assert_eq!(record("contracts", "number", "93988396"), expected);
    assert_eq!(exported["devices"].as_array().unwrap().len(), 4);
    assert_eq!(
        record("devices", "serial_number", "FDO2107A0LL")["contract_number"],
        "93988396"
    );
}

async fn references_to_what_is_stored_are_good(database: Database) {
    let fixture = Fixture::start(database).await;
    fixture.import(DEMO, 0).await;
    let more = json!({
        "organizations": [organization("acme-tacoma", Some("acme-west"))],
        "accounts": [{"id": "new", "name": "New", "status": "active", "contracts": ["93988396"]}],
        "contracts": [{"number": "5", "type": "sp_base", "status": "active", "organization_id": "acme-portland"}],
        "devices": [{"serial_number": "ABC", "contract_number": "70020001"}],
        "administrators": [{"account_id": "newbie", "organization_id": "acme"}],
    });
    let summary = fixture.import(more.to_string(), 1).await;
    assert!(
        summary.by_type().iter().all(|(_, counts)| counts.added == 1),
        "{summary}"
    );
}

async fn all_or_nothing(database: Database) {
    let fixture = Fixture::start(database).await;
    fixture.import(DEMO, 0).await;
    let (before, epochs) = (fixture.export().await, fixture.epochs().await);
    let mut file: Value = serde_json::from_str(DEMO).unwrap();
    file["organizations"][0]["name"] = json!("OTHER");
    file["administrators"]
        .as_array_mut()
        .unwrap()
        .push(json!({"account_id": "ghost", "organization_id": "acme"}));
    fixture.try_import(file.to_string(), 1).await.unwrap_err();
    assert_eq!(fixture.export().await, before);
    assert_eq!(fixture.epochs().await, epochs);
}

async fn administrators_keep_their_order(database: Database) {
    let fixture = Fixture::start(database).await;
    let people: Vec<_> = ["a", "b", "c", "d"].map(account).to_vec();
    let file = |administrators: &[(&str, &str)]| {
        let administrators: Vec<_> = administrators
            .iter()
            .map(|(account, organization)| json!({"account_id": account, "organization_id": organization}))
            .collect();
        json!({"organizations": [organization("x", None), organization("y", Some("x"))],
               "accounts": people, "administrators": administrators})
        .to_string()
    };
    fixture.import(file(&[("c", "x"), ("a", "y")]), 10).await;
    // Earlier by the clock, and in another order: those who are there stay in front.
    let summary = fixture
        .import(file(&[("d", "x"), ("a", "y"), ("b", "x"), ("c", "y"), ("c", "x")]), 5)
        .await;
    assert_eq!((summary.administrators.added, summary.administrators.unchanged), (3, 2));
    fixture.import(file(&[]), 20).await;
    let exported = fixture.export_json().await;
    let list: Vec<_> = exported["administrators"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            (
                record["account_id"].as_str().unwrap(),
                record["organization_id"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(list, [("c", "x"), ("a", "y"), ("d", "x"), ("b", "x"), ("c", "y")]);
}

async fn d20_imported_administrators_hold_their_access_already(database: Database) {
    let fixture = Fixture::start(database).await;
    let summary = fixture.import(DEMO, 0).await;
    assert!(summary.to_string().contains("administrators: 2 added"), "{summary}");
    for table in ["grants", "syncs", "appointments", "jobs"] {
        let query = format!("SELECT COUNT(*) AS number FROM {table}");
        let statement = Statement::from_string(fixture.db.get_database_backend(), query);
        let row = fixture.db.query_one_raw(statement).await.unwrap().unwrap();
        assert_eq!(
            row.try_get::<i64>("", "number").unwrap(),
            0,
            "nothing is provisioned: {table}"
        );
    }
}

async fn every_root_is_raised_when_anything_changes(database: Database) {
    let fixture = Fixture::start(database).await;
    let epochs = async || {
        let epochs = fixture.epochs().await;
        epochs
            .into_iter()
            .map(|(id, epoch)| format!("{id}={epoch}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let file = |parent: Option<&str>| {
        json!({"organizations": [organization("x", None), organization("y", parent)]}).to_string()
    };
    fixture.import(file(Some("x")), 0).await;
    assert_eq!(epochs().await, "x=1");
    fixture.import(file(Some("x")), 1).await;
    assert_eq!(epochs().await, "x=1", "nothing changed");
    fixture.import(file(None), 2).await;
    assert_eq!(epochs().await, "x=2 y=1");
    fixture.import(file(Some("x")), 3).await;
    assert_eq!(epochs().await, "x=3 y=2", "a root that was is raised as well");
    for (minute, more) in [
        json!({"accounts": [account("a")]}),
        json!({"administrators": [{"account_id": "a", "organization_id": "y"}]}),
        json!({"contracts": [{"number": "1", "type": "t", "status": "s", "organization_id": "y"}]}),
    ]
    .into_iter()
    .enumerate()
    {
        fixture
            .import(more.to_string(), 4 + i64::try_from(minute).unwrap())
            .await;
        let raised = minute + 4;
        assert_eq!(epochs().await, format!("x={raised} y={}", raised - 1));
    }
}

async fn problems_with_references(database: Database) {
    let fixture = Fixture::start(database).await;
    fixture.import(DEMO, 0).await;
    let file = json!({
        "organizations": [organization("a", Some("nowhere"))],
        "accounts": [
            {"id": "newbie", "name": "N", "status": "active", "contracts": ["93988396", "123"]},
            {"id": "half", "name": "H"},
        ],
        "contracts": [{"number": "9", "type": "t", "status": "s", "organization_id": "b"}],
        "devices": [{"serial_number": "FOC1", "contract_number": "123"}],
        "administrators": [
            {"account_id": "ghost", "organization_id": "acme"},
            {"account_id": "newbie", "organization_id": "b"},
            // What is otherwise wrong is there all the same.
            {"account_id": "half", "organization_id": "a"},
        ],
    });
    insta::assert_snapshot!("problems_with_references", fixture.problems(file.to_string()).await);
}

async fn trees_stay_trees(database: Database) {
    let fixture = Fixture::start(database).await;
    let level = |at: usize| format!("l{at:02}");
    let deep: Vec<_> = (1..=63)
        .map(|at| organization(&level(at), (at > 1).then(|| level(at - 1)).as_deref()))
        .collect();
    fixture.import(json!({"organizations": deep}).to_string(), 0).await;
    fixture
        .import(
            json!({"organizations": [organization("p", None), organization("q", Some("p"))]}).to_string(),
            0,
        )
        .await;
    let file = json!({"organizations": [
        organization("self", Some("self")),
        // With the stored `q` below `p`; `under` hangs below the cycle and is not to blame.
        organization("p", Some("q")),
        organization("under", Some("p")),
        // Lowers what is stored.
        organization("l01", Some("top")),
        organization("top", Some("higher")),
        organization("higher", None),
    ]});
    insta::assert_snapshot!("trees_stay_trees", fixture.problems(file.to_string()).await);
}

async fn many_records_take_several_statements(database: Database) {
    let fixture = Fixture::start(database).await;
    let count = 1_201;
    let file = json!({
        "organizations": (0..count).map(|at| organization(&format!("o{at}"), None)).collect::<Vec<_>>(),
        "contracts": (0..count)
            .map(|at| json!({"number": at.to_string(), "type": "t", "status": "s", "organization_id": "o1"}))
            .collect::<Vec<_>>(),
        "accounts": (0..count)
            .map(|at| json!({"id": format!("a{at}"), "name": "A", "status": "s", "contracts": [at.to_string(), ((at + 1) % count).to_string()]}))
            .collect::<Vec<_>>(),
        "devices": (0..count)
            .map(|at| json!({"serial_number": format!("S-{at:04}"), "contract_number": at.to_string()}))
            .collect::<Vec<_>>(),
        "administrators": (0..count)
            .map(|at| json!({"account_id": format!("a{at}"), "organization_id": format!("o{at}")}))
            .collect::<Vec<_>>(),
    });
    let summary = fixture.import(file.to_string(), 0).await;
    assert!(
        summary.by_type().iter().all(|(_, counts)| counts.added == count),
        "{summary}"
    );
    assert_eq!(fixture.epochs().await.len(), 1_201);
    let exported = fixture.export().await;
    let again = fixture.import(&exported, 0).await;
    assert!(
        again.by_type().iter().all(|(_, counts)| counts.unchanged == count),
        "{again}"
    );
    assert_eq!(fixture.export().await, exported);
}

#[tokio::test]
async fn problems_with_records() {
    let fixture = Fixture::start(Database::Sqlite).await;
    let long = "x".repeat(5_000);
    let file = json!({
        "acounts": [], "notes": 1,
        "organizations": [
            "acme",
            {"name": "no id", "country": "US"},
            {"id": "has space", "name": "X", "country": "US"},
            {"id": "a", "name": " ", "address": "1 MAIN ST", "countri": "US"},
            {"id": "b", "name": "B", "country": "US", "flagged": "yes", "parent_id": "", "email_domains": ["x", 1]},
            {"id": "b", "name": "B again", "country": "US", "flagged": 1},
        ],
        "accounts": [
            {"id": "c", "name": "nul \u{0}", "status": "active", "emial": "x"},
            {"id": "d", "name": long, "status": null, "contracts": ["12a", "7", " 7 "]},
            {"id": long, "name": "E", "status": "active"},
        ],
        "contracts": [
            {"number": 93_988_396, "type": "t", "status": "s", "organization_id": "b"},
            {"number": "7", "type": "t", "status": "s", "organization_id": "b", "ends_on": "31-12-2027"},
            {"number": "8", "type": "t", "status": "s", "organization_id": "b", "ends_on": "2027-2-30"},
        ],
        "devices": [
            {"serial_number": "AB", "contract_number": "7"},
            {"serial_number": "abc", "contract_number": "7"},
            {"serial_number": "ABC ", "contract_number": "7"},
        ],
        "administrators": [
            {"account_id": "c", "organization_id": "b"},
            {"account_id": "c", "organization_id": "b"},
            {"account_id": "c"},
        ],
    });
    insta::assert_snapshot!(fixture.problems(file.to_string()).await);
}

#[tokio::test]
async fn problems_with_the_file() {
    let fixture = Fixture::start(Database::Sqlite).await;
    let mut told = Vec::new();
    for file in [
        &b""[..],
        b"[]",
        b"{\"accounts\": {}}",
        b"{\"accounts\": [{\"id\": \"a\",}]}",
        b"{\"accounts\": []} {}",
        b"{\"accounts\": [{\"id\": \"\xff\"}]}",
        b"{\"accounts\": [], \"accounts\": []}",
        &[b'['; 500],
    ] {
        told.push(fixture.problems(file).await);
    }
    let missing = fixture.folder.path().join("missing.json");
    let error = enrolld::directory::import(&fixture.db, &missing, moment(0))
        .await
        .unwrap_err();
    told.push(fixture.without_folder(&error));
    insta::assert_snapshot!(told.join("\n"));
    fixture.import("\u{feff}{}", 0).await;
}

#[tokio::test]
async fn problems_with_a_folder() {
    let fixture = Fixture::start(Database::Sqlite).await;
    let mut told = Vec::new();
    for (folder, files) in [
        ("empty", &[("notes.txt", &b""[..])][..]),
        ("misnamed", &[("organisations.csv", b"id\n")]),
        ("not-utf8", &[("accounts.csv", b"id,name,status\na,\xe9,active\n")]),
        (
            "columns",
            &[
                ("accounts.csv", b"id;name;status\n"),
                ("devices.csv", b"serial_number,serial_number,contract\n"),
            ],
        ),
        (
            "rows",
            &[
                (
                    "organizations.csv",
                    b"id,name,country,flagged\na,A,US,false\nb,B\nc,\"C\nD\",US,maybe\n,E,US,\n",
                ),
                ("accounts.csv", b"id,name,status,contracts\nx,X,active,5; 6;\n"),
                ("contracts.csv", b"\n\n"),
            ],
        ),
    ] {
        for (name, content) in files {
            fixture.write(&format!("{folder}/{name}"), content);
        }
        let path = fixture.folder.path().join(folder);
        let error = enrolld::directory::import(&fixture.db, &path, moment(0))
            .await
            .unwrap_err();
        told.push(fixture.without_folder(&error));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn a_file_beyond_the_limit_is_refused_unread() {
    let fixture = Fixture::start(Database::Sqlite).await;
    let path = fixture.write("large.json", "{}");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    // Sparse: takes no space.
    file.set_len((512 << 20) + 1).unwrap();
    let error = enrolld::directory::import(&fixture.db, &path, moment(0))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("is larger than 512 MiB; split it"),
        "{error}"
    );
}

#[tokio::test]
async fn of_many_problems_the_first_are_shown_and_all_counted() {
    let fixture = Fixture::start(Database::Sqlite).await;
    let file = json!({"accounts": vec![json!({}); 100]});
    let told = fixture.problems(file.to_string()).await;
    assert!(
        told.starts_with("nothing was imported: the file has 300 problems\n"),
        "{told}"
    );
    assert!(told.ends_with("\n  … and 250 more"), "{told}");
    assert_eq!(told.lines().count(), 52);
}
