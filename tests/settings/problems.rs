//! Every kind of problem, with its key and remedy.

use super::{SENTINEL, parse};

/// The single problem of `file`, as shown.
fn problem(file: &str) -> String {
    let error = parse(file, &[]).expect_err(file);
    assert_eq!(error.problems.len(), 1, "{error}");
    assert!(!error.problems[0].remedy.is_empty());
    error.problems[0].to_string()
}

#[test]
fn all_problems_are_reported_in_one_go() {
    let file = r#"
        databse.url = "sqlite://x.db"
        data_dir = ""
        heartbeat.dead_after = "10s"
        [redis]
        url = "http://localhost"
        prefix = "a b"
        events_max_len = "many"
        [mail]
        transport = "smtp"
        from = "nobody"
        [http]
        bind = "0.0.0.0:8080"
        public_url = "https://a.example/?q=1"
        timeout = "3s"
        [da_response]
        reminders = ["24h", "soon"]
        timeout = 72
        max_das = 0
        [provisioning]
        reconcile_at = "daily"
        [[provisioning.targets]]
        name = "Up"
        [[provisioning.targets]]
        name = "down"
        url = "https://user:pass@down.example"
        tokn = "x"
        [workers.da_routing]
        concurrency = 257
        [unheard.of]
        key = 1
    "#;
    let error = parse(
        file,
        &[("ENROLLD__INTAKE__BATCH", "lots"), ("ENROLLD__LOG__FORMT", "json")],
    )
    .unwrap_err();
    insta::assert_snapshot!(error);
}

/// A file with one problem, and how that begins.
const PROBLEMS: &[(&str, &str)] = &[
    ("database.url = 'mysql://h/d'", "database.url: has the scheme \"mysql\""),
    ("database.url = 'sqlite://'", "database.url: is empty"),
    ("database.url = 'sqlite::memory:'", "database.url: is not a URL"),
    (
        "database.max_connections = 0",
        "database.max_connections: 0 is out of range",
    ),
    ("database = 'sqlite://x.db'", "database: is a section, not a value"),
    ("redis.url = 'rediss://h/#insecure'", "redis.url: asks not to check"),
    (
        "redis.require_durable = 'yes'",
        "redis.require_durable: is text, not true or false",
    ),
    (
        "redis.prefix = ''",
        "redis.prefix: \"\" has other characters, or the wrong length",
    ),
    (
        "mail.transport = 'pigeon'",
        "mail.transport: \"pigeon\" is no transport",
    ),
    ("mail.transport = 'smtp'", "mail.smtp.url: is not set"),
    (
        "mail.smtp.url = 'smtp://h?tls=maybe'",
        "mail.smtp.url: has a tls other than",
    ),
    ("mail.from = 5", "mail.from: is a whole number, not text"),
    (
        "review.mailbox = 'a@b@c'",
        "review.mailbox: \"a@b@c\" is not a mail address",
    ),
    (
        "portal.name = \"a\\nb\"",
        "portal.name: \"a\\nb\" is too long or holds a control character",
    ),
    ("portal.url = 'portal.example'", "portal.url: is not a URL"),
    (
        "portal.url = 'ftp://portal.example'",
        "portal.url: has the scheme \"ftp\"",
    ),
    (
        "http.bind = 'localhost:8080'",
        "http.bind: \"localhost:8080\" is not an IP address",
    ),
    (
        "http.bind = '0.0.0.0:80'",
        "http.api_token: is not set, though http.bind (0.0.0.0:80)",
    ),
    (
        "http.public_bind = '127.0.0.1:8080'",
        "http.public_bind: is 127.0.0.1:8080, the same",
    ),
    (
        "http.public_url = 'https://a.example/#x'",
        "http.public_url: has a query or a fragment",
    ),
    ("http.api_token = 'short'", "http.api_token: has 5 characters"),
    (
        "http.trusted_proxies = ['proxy']",
        "http.trusted_proxies: \"proxy\" is not an IP address",
    ),
    (
        "http.allowed_hosts = ['http://x']",
        "http.allowed_hosts: \"http://x\" is not a host name",
    ),
    (
        "security.link_key = 'short'",
        "security.link_key: has a key of 5 characters",
    ),
    (
        "da_response.timeout = '72 hours ago'",
        "da_response.timeout: \"72 hours ago\" is not a duration",
    ),
    (
        "da_response.timeout = '0s'",
        "da_response.timeout: \"0s\" is out of range",
    ),
    (
        "da_response.timeout = '100years'",
        "da_response.timeout: \"100years\" is out of range",
    ),
    (
        "da_response.reminders = [24]",
        "da_response.reminders: has an entry that is a whole number",
    ),
    (
        "terms.reminders = ['1h', '60m']",
        "terms.reminders: names the same time twice",
    ),
    (
        "decisions.by_link = 1",
        "decisions.by_link: is a whole number, not true or false",
    ),
    (
        "provisioning.reconcile_at = '* *'",
        "provisioning.reconcile_at: \"* *\" is not a cron expression",
    ),
    (
        "provisioning.targets = 'x'",
        "provisioning.targets: is text, not a list of tables",
    ),
    (
        "[provisioning.targets]\nname = 'a'",
        "provisioning.targets: is a section, not a list of tables",
    ),
    (
        "[[provisioning.targets]]\nname = 'a'",
        "provisioning.targets[0].url: is not set",
    ),
    (
        "verification.personal_domains.add = ['x']",
        "verification.personal_domains.add: \"x\" is not a domain",
    ),
    (
        "heartbeat.every = '10s'",
        "heartbeat.dead_after: is 20s, not more than twice heartbeat.every (10s)",
    ),
    (
        "log.filter = 'enrolld=loud'",
        "log.filter: \"enrolld=loud\" is not a filter",
    ),
    (
        "directory.kind = 'ldap'",
        "directory.kind: \"ldap\" is no kind of directory",
    ),
    ("shutdown.grace = 25.5", "shutdown.grace: is a decimal number, not text"),
    ("\"a[999999999999]\" = 1", "a[999999999999]: is not a known key"),
    ("\"line\\nbreak\" = 1", "line\\nbreak: is not a known key"),
];

#[test]
fn each_kind_of_problem_names_its_key_and_what_is_wrong() {
    for (file, expected) in PROBLEMS {
        let shown = problem(file);
        assert!(shown.starts_with(expected), "{file}\n  {shown}");
    }
}

#[test]
fn unknown_keys_come_with_a_suggestion() {
    for (file, suggestion) in [
        ("da_response.timout = '1h'", "did you mean da_response.timeout?"),
        ("da-response.timeout = '1h'", "did you mean da_response.timeout?"),
        ("mail.from_ = 'x'", "did you mean mail.from?"),
        ("http.link_key = 'x'", "did you mean security.link_key?"),
        (
            "workers.notifications.concurrency = 1",
            "did you mean workers.notification.concurrency?",
        ),
        ("shutdown.patience = 1", "the keys of [shutdown] are shutdown.grace"),
        ("entirely = 'else'", "`enrolld config show` lists every key"),
    ] {
        let shown = problem(file);
        assert!(
            shown.contains("is not a known key") && shown.contains(suggestion),
            "{file}\n  {shown}"
        );
    }
}

#[test]
fn a_huge_key_or_value_is_shown_short() {
    let long = "x".repeat(100_000);
    for file in [
        format!("{long} = 1"),
        format!("mail.transport = '{long}'"),
        format!("log.{long} = 1"),
    ] {
        assert!(problem(&file).len() < 600, "{}", problem(&file));
    }
}

#[test]
fn odd_variables_are_problems_and_nothing_worse() {
    for name in [
        "ENROLLD__",
        "ENROLLD____X",
        "ENROLLD__DATABASE__",
        "ENROLLD__X[99999999999]",
        "ENROLLD__WORKERS__3__X",
        "ENROLLD__TERMS__REMINDERS__99999999999",
    ] {
        let error = parse("", &[(name, SENTINEL)]).expect_err(name);
        assert!(!error.to_string().contains(SENTINEL), "{error}");
    }
    let error = parse("", &[("ENROLLD__PORTAL__NAME", "caf\u{fffd}")]).unwrap_err();
    assert!(error.to_string().contains("portal.name: is not valid UTF-8"), "{error}");
}

#[test]
fn broken_toml_names_the_file_and_the_line() {
    let shown = problem("[http]\nbind = \n");
    assert!(
        shown.starts_with("enrolld.toml: is not valid TOML at line 2"),
        "{shown}"
    );
}
