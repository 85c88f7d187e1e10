//! No secret is ever shown.

use super::{SENTINEL, described, parse, valid};

#[test]
fn secrets_are_never_shown() {
    let file = format!(
        "database.url = 'postgres://u:{SENTINEL}@h/d?sslpassword={SENTINEL}'\n\
         redis.url = 'redis://:{SENTINEL}@h/'\n\
         mail.transport = 'smtp'\n\
         mail.smtp.url = 'smtp://u:{SENTINEL}@h'\n\
         http.api_token = '{SENTINEL}'\n\
         http.bind = '0.0.0.0:80'\n\
         security.link_key = ['{SENTINEL}', '{SENTINEL}']\n\
         [[provisioning.targets]]\nname = 'a'\nurl = 'http://a.example'\ntoken = '{SENTINEL}'"
    );
    let settings = valid(&file, &[]);
    let shown = format!(
        "{settings:?}{settings:#?}{:?}{}{:?}",
        settings.describe(),
        settings.to_toml(),
        settings.warnings
    );
    assert!(!shown.contains(SENTINEL), "{shown}");
    let keys = described(&settings);
    for key in ["http.api_token", "security.link_key", "provisioning.targets[0].token"] {
        assert_eq!(keys[key].0, "(set)", "{key}");
    }
    assert_eq!(keys["redis.url"].0, "\"redis://:***@h/\"");
    // Each of them names a value beside a secret.
    assert!(settings.warnings.len() >= 3, "{:?}", settings.warnings);
}

#[test]
fn secrets_are_not_shown_in_problems_either() {
    let s = SENTINEL;
    for file in [
        format!("http.api_token = '{s} {s}'"),
        format!("http.api_token = {s}"),
        format!("http.api_token = '{s}"),
        format!("http.api_token = '{s}'\nhttp.api_token = '{s}'"),
        format!("http.api_tokn = '{s}'"),
        format!("database.url = '{s}'"),
        format!("database.url = '{s}://h'"),
        format!("database.url = 'postgres://u:{s}@h:port/d'"),
        format!("database.url = 'sqlite://x?key={s}'"),
        format!("redis.url = 'redis://u:{s}@h:port/'"),
        format!("redis.url = 'redis://u:{s}@h/notanumber'"),
        format!("mail.smtp.url = 'smtp://{s}@h'"),
        format!("mail.smtp.url = 'smtp://u:{s}@h?x={s}'"),
        format!("mail.smtp.url = ['{s}']"),
        format!("mail.smtp.url = 'mail://u:{s}@h'"),
        format!("mail.smtp.url = '{s}:x'"),
        format!("redis.url = 'http://u:{s}@h'"),
        format!("redis.url = '{s}:x'"),
        format!("portal.url = 'ftp://u:{s}@h'"),
        format!("portal.url = '{s}:x'"),
        format!("database.url = 'mysql://u:{s}@h/d'"),
        format!("http.public_url = 'https://{s}@h'"),
        format!("security.link_key = ['{s}', 5]"),
        format!("[[provisioning.targets]]\nname = 'a'\nurl = 'https://u:{s}@h'"),
        format!("[[provisioning.targets]]\nname = 'a'\nurl = 'https://h'\ntoken = 'a {s}'"),
    ] {
        let error = parse(&file, &[]).expect_err(&file);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(SENTINEL), "{file}\n  {shown}");
    }
}
