use std::os::unix::fs::PermissionsExt as _;

use super::Enrolld;
use enrolld_migrations::MigratorTrait as _;

#[test]
fn check_says_ok() {
    assert_eq!(
        Enrolld::new("http.public_url = \"https://portal.example\"\n")
            .run(&["config", "check"])
            .succeeds(),
        "ok\n"
    );
    let warned = Enrolld::new("http.public_url = \"http://portal.example\"\n")
        .run(&["config", "check"])
        .succeeds();
    assert!(warned.starts_with("ok\nwarning: "), "{warned}");
}

#[test]
fn check_tells_every_problem() {
    let enrolld = Enrolld::new(
        "redis.prefix = \"a b\"\nmail.from = \"nobody\"\n[database]\nurl = \"mysql://host/db\"\nulr = \"\"\n",
    );
    insta::assert_snapshot!(enrolld.run(&["config", "check"]).fails());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let enrolld = Enrolld::new("");
    std::fs::remove_file(enrolld.path("enrolld.toml")).expect("it is there");
    assert!(
        enrolld
            .run(&["jobs", "list"])
            .fails()
            .contains("enrolld.toml: does not exist")
    );
}

#[test]
fn show_hides_secrets() {
    const SECRET: &str = "s3ntinel-never-to-be-shown-0123456789";
    let enrolld = Enrolld::new(&format!(
        "http.api_token = \"{SECRET}\"\nsecurity.link_key = \"{SECRET}\"\nredis.url = \"redis://:{SECRET}@cache.example:6379\"\n"
    ));
    let toml = enrolld.run(&["config", "show"]).succeeds();
    assert!(toml.contains("api_token = (set)"), "{toml}");
    assert!(toml.contains("redis://:***@cache.example:6379"), "{toml}");
    toml.parse::<toml::Table>().expect("it can be used as a settings file");

    let json = enrolld.run(&["config", "show", "--output", "json"]);
    assert!(!format!("{toml}{json:?}").contains(SECRET));
    let keys = json.json();
    let key = keys
        .as_array()
        .expect("a list")
        .iter()
        .find(|key| key["key"] == "redis.prefix")
        .expect("it has every key");
    assert_eq!(
        *key,
        serde_json::json!({"key": "redis.prefix", "value": "\"enrolld\"", "source": "default"})
    );
}

#[test]
fn migrate_is_safe_to_repeat() {
    let enrolld = Enrolld::new("");
    let first = enrolld.run(&["migrate"]).succeeds();
    assert!(first.contains("migration"), "{first}");
    assert!(first.contains("key of links: made"), "{first}");
    insta::assert_snapshot!(enrolld.run(&["migrate"]).succeeds(), @r"
    database sqlite://enrolld-data/enrolld.db: nothing to do
    key of links: in the database already
    ");

    let configured = Enrolld::new("security.link_key = \"0123456789abcdef0123456789abcdef\"\n");
    let said = configured.run(&["migrate"]).succeeds();
    assert!(said.ends_with("key of links: from security.link_key\n"), "{said}");
}

#[test]
fn a_database_that_is_not_there_is_not_made() {
    let enrolld = Enrolld::new("");
    enrolld.write("directory.json", "{}");
    for arguments in [
        &["jobs", "list"][..],
        &["mails", "list"],
        &["registrations", "list"],
        &["intake", "rejected"],
        &["directory", "export"],
        &["directory", "import", "directory.json"],
    ] {
        let said = enrolld.run(arguments).fails();
        assert!(
            said.contains("there is no database enrolld-data/enrolld.db; make it with `enrolld migrate`"),
            "{said}"
        );
        assert!(!enrolld.path("enrolld-data").exists());
    }
}

#[test]
fn a_database_of_another_release_is_migrated_first() {
    let enrolld = Enrolld::new("");
    enrolld.write("enrolld-data/enrolld.db", "");
    let said = enrolld.run(&["registrations", "list"]).fails();
    let missing = enrolld_migrations::Migrator::migrations().len();
    let told = format!("{missing} migrations are missing; run `enrolld migrate`");
    assert!(said.contains(&told), "{said}");
}

#[test]
fn a_database_that_is_away_is_an_error_with_its_password_hidden() {
    // Nothing listens on port 1.
    let enrolld = Enrolld::new("database.url = \"postgres://enrolld:s3ntinel@127.0.0.1:1/enrolld\"\n");
    let said = enrolld.run(&["jobs", "list"]).fails();
    assert!(
        said.contains("cannot open the database postgres://enrolld:***@127.0.0.1:1/enrolld"),
        "{said}"
    );
    assert!(!said.contains("s3ntinel"), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
}

#[test]
fn a_database_is_made_for_its_owner_alone_and_in_a_folder_that_is_there() {
    let enrolld = Enrolld::new("data_dir = \"made/data\"\n");
    enrolld.run(&["migrate"]).succeeds();
    let mode = |path: &str| {
        let found = enrolld.path(path).metadata().expect("it is there");
        found.permissions().mode() & 0o777
    };
    assert_eq!((mode("made/data"), mode("made/data/enrolld.db")), (0o700, 0o600));
    // The command has ended: all is in the file.
    assert!(!enrolld.path("made/data/enrolld.db-wal").exists());

    let open = Enrolld::new("");
    open.write("enrolld-data/notes", "ours");
    open.run(&["migrate"]).succeeds();
    let found = open.path("enrolld-data").metadata().expect("it is there");
    assert_ne!(found.permissions().mode() & 0o777, 0o700, "a folder keeps its rights");

    let elsewhere = Enrolld::new("database.url = \"sqlite://var/lib/enrolld.db\"\n");
    let said = elsewhere.run(&["migrate"]).fails();
    assert!(
        said.contains("there is no folder var/lib for the database; make it"),
        "{said}"
    );
    assert!(!elsewhere.path("var").exists());
}

#[test]
fn a_daemon_without_a_database_makes_none() {
    let enrolld = Enrolld::new("");
    let ended = enrolld.run(&["run"]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let said = "there is no database enrolld-data/enrolld.db; run `enrolld migrate` first";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert!(!enrolld.path("enrolld-data").exists());
}
