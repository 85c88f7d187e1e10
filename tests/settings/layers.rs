//! Defaults, file and environment, and the values that come of them.

use std::path::Path;
use std::time::Duration;

use enrolld::settings::{DatabaseUrl, Settings, SettingsError, Source};
use secrecy::ExposeSecret;

use super::{SENTINEL, described, valid};

#[test]
fn the_environment_comes_before_the_file_and_the_file_before_the_defaults() {
    let file = "redis.prefix = 'of-file'\nintake.batch = 5\nda_response.reminders = ['1h']";
    let settings = valid(
        file,
        &[
            ("ENROLLD__REDIS__PREFIX", "of-env"),
            ("ENROLLD__DA_RESPONSE__REMINDERS", "48h, 24h"),
            ("ENROLLD__REDIS__REQUIRE_DURABLE", "TRUE"),
            ("ENROLLD__WORKERS__DA_ROUTING__CONCURRENCY", "3"),
            ("ENROLLD_LOG", "not ours"),
            ("PATH", "/bin"),
        ],
    );
    assert_eq!(settings.redis.prefix, "of-env");
    assert_eq!(settings.intake.batch, 5);
    assert_eq!(
        settings.da_response.reminders,
        [Duration::from_hours(24), Duration::from_hours(48)]
    );
    assert!(settings.redis.require_durable);
    assert_eq!(settings.workers.da_routing.concurrency, 3);
    assert_eq!(settings.workers.verification.concurrency, 8);
    let shown = described(&settings);
    assert_eq!(shown["redis.prefix"], ("\"of-env\"", &Source::Environment));
    assert_eq!(shown["intake.batch"], ("5", &Source::File("enrolld.toml".into())));
    assert_eq!(shown["log.filter"], ("\"info\"", &Source::Default));
}

#[test]
fn an_empty_variable_takes_away_what_the_file_sets() {
    let file = format!("redis.url = 'redis://h/'\nhttp.api_token = '{SENTINEL}'\nterms.reminders = ['1h']");
    let settings = valid(
        &file,
        &[
            ("ENROLLD__REDIS__URL", ""),
            ("ENROLLD__HTTP__API_TOKEN", ""),
            ("ENROLLD__TERMS__REMINDERS", ""),
        ],
    );
    assert!(settings.redis.url.is_none() && settings.http.api_token.is_none() && settings.terms.reminders.is_empty());
}

#[test]
fn targets_come_from_the_file_and_their_tokens_from_the_environment() {
    let file = "[[provisioning.targets]]\nname = 'a'\nurl = 'https://a.example/api/'\n[[provisioning.targets]]\nname = 'b'\nurl = 'http://127.0.0.1:1/'";
    let settings = valid(file, &[("ENROLLD__PROVISIONING__TARGETS__1__TOKEN", SENTINEL)]);
    let [a, b] = settings.provisioning.targets.as_slice() else {
        panic!("{:?}", settings.provisioning)
    };
    assert!(a.token.is_none() && a.name == "a" && b.name == "b");
    assert_eq!(b.token.as_ref().unwrap().expose_secret(), SENTINEL);

    let settings = valid(
        "",
        &[
            ("ENROLLD__PROVISIONING__TARGETS__0__NAME", "a"),
            ("ENROLLD__PROVISIONING__TARGETS__0__URL", "https://a.example"),
        ],
    );
    assert_eq!(settings.provisioning.targets.len(), 1);
}

#[test]
fn link_keys_are_a_list_or_a_text() {
    let (new, old) = ("n".repeat(32), "o".repeat(32));
    for file in [
        format!("security.link_key = '{new},{old}'"),
        format!("security.link_key = ['{new}', '{old}']"),
    ] {
        let keys = valid(&file, &[]).security.link_keys;
        assert_eq!(
            keys.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>(),
            [&new, &old]
        );
    }
}

#[test]
fn database_urls() {
    for (url, path) in [("sqlite:///var/x.db", "/var/x.db"), ("sqlite://x.db?mode=rwc", "x.db")] {
        let settings = valid(&format!("database.url = '{url}'"), &[]);
        assert!(
            matches!(&settings.database.url, DatabaseUrl::Sqlite(found) if found == Path::new(path)),
            "{url}"
        );
    }
    for url in ["postgres://u:p@h/d", "postgresql:///d?host=/run/postgresql"] {
        let settings = valid(&format!("database.url = '{url}'"), &[]);
        assert!(
            matches!(&settings.database.url, DatabaseUrl::Postgres(found) if found.expose() == url),
            "{url}"
        );
    }
}

#[test]
fn links_stand_below_the_public_url() {
    for (url, link) in [
        ("https://a.example", "https://a.example/verify/t"),
        ("https://a.example/enrolld/", "https://a.example/enrolld/verify/t"),
    ] {
        assert_eq!(
            valid(&format!("http.public_url = '{url}'"), &[]).http.link("/verify/t"),
            link
        );
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let load = |path: &Path| Settings::load(Some(path), None, std::iter::empty());
    let path = dir.path().join("none.toml");
    let shown = load(&path).unwrap_err().to_string();
    assert!(
        shown.contains(&format!("{}: does not exist", path.display())),
        "{shown}"
    );
    assert!(load(dir.path()).unwrap_err().to_string().contains("is a folder"));

    for (name, bytes, expected) in [
        ("binary.toml", vec![0xff, 0xfe], "is not valid UTF-8"),
        ("large.toml", vec![b'#'; 1024 * 1024 + 1], "larger than 1 MiB"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let shown = load(&path).unwrap_err().to_string();
        assert!(shown.contains(expected), "{shown}");
    }

    let path = dir.path().join("good.toml");
    std::fs::write(&path, "intake.batch = 7").unwrap();
    let settings = load(&path).unwrap();
    assert_eq!(settings.intake.batch, 7);
    assert_eq!(described(&settings)["intake.batch"].1, &Source::File(path));
}

#[test]
fn what_is_legal_but_hardly_meant_is_a_warning() {
    let warnings = |file: &str| valid(file, &[]).warnings.join("\n");
    assert!(warnings("da_response.timeout = '24h'").contains("da_response.reminders has 2days"));
    assert!(warnings("http.public_url = 'http://a.example'").starts_with("http.public_url is http://a.example/"));
    assert!(warnings("applicant.expiry = '1h'").starts_with("applicant.reminder (7days)"));
    let beyond = format!("http.bind = '0.0.0.0:80'\nhttp.api_token = '{SENTINEL}'");
    assert!(warnings(&beyond).starts_with("http.bind is 0.0.0.0:80"));
    let authority = "redis.tls_ca_file = 'ca.pem'\nredis.url = 'redis://h/'";
    assert!(warnings(authority).starts_with("redis.tls_ca_file is set, and redis.url asks for no TLS"));
    assert_eq!(warnings(&authority.replace("redis://", "rediss://")), "");
    let smtp = "[mail]\ntransport = 'smtp'\nsmtp.url = 'smtp://u:pw-hidden@mail.example'";
    let shown = warnings(smtp);
    assert!(
        shown.contains("smtp://u:***@mail.example") && shown.contains("open on this machine only"),
        "{shown}"
    );
    assert!(
        !warnings("[mail]\ntransport = 'smtp'\nsmtp.url = 'smtp://127.0.0.1:25'\nsmtp.timeout='31s'")
            .contains("unencrypted")
    );
}

/// Settings from a file and a folder of credentials.
fn with_credentials(
    file: &str,
    credentials: &[(&str, &[u8])],
    env: &[(&str, &str)],
) -> Result<Settings, SettingsError> {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let path = folder.path().join("enrolld.toml");
    std::fs::write(&path, file).expect("the folder is writable");
    let handed_over = folder.path().join("credentials");
    std::fs::create_dir(&handed_over).expect("the folder is writable");
    for (name, content) in credentials {
        std::fs::write(handed_over.join(name), content).expect("the folder is writable");
    }
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(Some(&path), Some(&handed_over), env.collect::<Vec<_>>().into_iter())
}

#[test]
fn credentials_come_after_the_file_and_before_the_environment() {
    let file = "redis.url = 'redis://of-file/'\nintake.batch = 5\n[[provisioning.targets]]\nname = 'a'\nurl = 'https://a.example'";
    let token = format!("{SENTINEL}\n");
    let settings = with_credentials(
        file,
        &[
            ("redis.url", b"redis://of-credential/\n"),
            ("intake.batch", b"6"),
            ("redis.prefix", b"of-credential"),
            ("provisioning.targets.0.token", token.as_bytes()),
            ("terms.reminders", b"1h,2h\r\n"),
            // For other purposes.
            ("redis-ca.pem", b"\xff"),
            ("enrolld.toml", b""),
        ],
        &[("ENROLLD__REDIS__PREFIX", "of-env")],
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(settings.redis.url.as_ref().unwrap().expose(), "redis://of-credential/");
    assert_eq!((settings.redis.prefix.as_str(), settings.intake.batch), ("of-env", 6));
    assert_eq!(settings.terms.reminders.len(), 2);
    let token = settings.provisioning.targets[0].token.as_ref().unwrap();
    assert_eq!(token.expose_secret(), SENTINEL, "without the line end");
    let shown = described(&settings);
    assert_eq!(shown["redis.url"].1, &Source::Credential);
    assert_eq!(shown["provisioning.targets[0].token"], ("(set)", &Source::Credential));
    assert_eq!(settings.warnings, Vec::<String>::new());
    assert!(!settings.to_toml().contains(SENTINEL) && !format!("{settings:?}").contains(SENTINEL));
}

#[test]
fn credentials_at_fault_are_named_and_never_shown() {
    let large = vec![b'x'; 64 * 1024 + 1];
    let secret = format!("mysql://u:{SENTINEL}@h/d");
    let error = with_credentials(
        "",
        &[
            ("database.url", secret.as_bytes()),
            ("redis.ulr", b"redis://h/"),
            ("http.api_token", b"\xff\xfe"),
            ("security.link_key", &large),
        ],
        &[],
    )
    .unwrap_err()
    .to_string();
    for expected in [
        "database.url: has the scheme \"mysql\" (in the credential database.url)",
        "redis.ulr: is not a known key (in the credential redis.ulr)\n      did you mean redis.url?",
        "http.api_token: is not valid UTF-8 (in the credential http.api_token)",
        "security.link_key: is larger than 64 KiB",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert!(!error.contains(SENTINEL));

    let doubtful = with_credentials("", &[("databse.url", b"postgres://h/d")], &[]).unwrap();
    assert_eq!(
        doubtful.warnings,
        ["the credential databse.url is no setting; did you mean database.url?"]
    );
    let missing = Settings::load(None, Some(Path::new("/nonexistent")), std::iter::empty()).unwrap_err();
    assert!(
        missing.to_string().contains("/nonexistent: cannot be read"),
        "{missing}"
    );
}

#[test]
fn what_differs_between_two_settings_is_named_secrets_too() {
    let of = |token: &str, more: &str| valid(&format!("http.api_token = '{token}'\n{more}"), &[]);
    let before = of(SENTINEL, "");
    assert_eq!(before.differences(&of(SENTINEL, "")), Vec::<String>::new());
    let target = "review.sla = '1h'\n[[provisioning.targets]]\nname = 'a'\nurl = 'https://a.example'";
    let after = of("another-token-of-the-api", target);
    let expected = [
        "http.api_token",
        "provisioning.targets[0].name",
        "provisioning.targets[0].url",
        "review.sla",
    ];
    assert_eq!(before.differences(&after), expected);
    assert_eq!(after.differences(&before), expected);
}
