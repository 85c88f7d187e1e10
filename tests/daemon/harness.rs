//! The harness itself: servers start side by side, come back after a kill, and leave nothing behind.

use std::path::Path;
use std::time::Duration;

use lettre::message::{Mailbox, MultiPart};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database as Orm, DatabaseConnection};
use serde_json::json;

use crate::support::child::{ChildProcess, PATIENCE, guarded_command};
use crate::support::daemon::TestDaemon;
use crate::support::database::{Database, DatabaseServer};
use crate::support::events;
use crate::support::mail::Mail;
use crate::support::postgres::PostgresServer;
use crate::support::redis::RedisServer;
use crate::support::smtp::SmtpServer;

crate::support::for_each_database!(an_empty_database_takes_tables);

async fn an_empty_database_takes_tables(database: Database) {
    let server = database.start();
    let url = match &server {
        DatabaseServer::Sqlite { .. } => format!("{}?mode=rwc", server.url()),
        DatabaseServer::Postgres(_) => server.url(),
    };
    let connection = connect(&url).await;
    run(&connection, "CREATE TABLE kept (number BIGINT)").await;
    run(&connection, "INSERT INTO kept VALUES (42)").await;
    assert_eq!(number(&connection, "SELECT number FROM kept").await, 42);
}

#[tokio::test]
async fn two_postgres_servers_share_nothing_and_one_survives_a_kill() {
    let mut first = PostgresServer::start();
    let second = PostgresServer::start();
    assert_ne!(first.url(), second.url());
    let connection = connect(&first.url()).await;
    run(&connection, "CREATE TABLE kept (number BIGINT)").await;
    run(&connection, "INSERT INTO kept VALUES (42)").await;
    run(&connect(&second.url()).await, "CREATE TABLE kept (number BIGINT)").await;

    first.kill();
    let answer = connection.execute_unprepared("SELECT 1").await;
    assert!(answer.is_err(), "{answer:?}");
    first.restart();
    let url = first.url();
    assert_eq!(number(&connect(&url).await, "SELECT number FROM kept").await, 42);

    first.stop();
    assert!(try_connect(&url).await.is_err());
    first.restart();
    assert_eq!(number(&connect(&url).await, "SELECT number FROM kept").await, 42);
    assert!(first.log().contains("database system is shut down"), "{}", first.log());
}

#[tokio::test]
async fn a_redis_server_is_killed_and_comes_back_on_its_port_alone() {
    let mut first = RedisServer::start();
    let second = RedisServer::start();
    let url = first.url();
    assert_ne!(url, second.url());
    let answer = |server: &RedisServer| {
        let client = redis::Client::open(server.url()).expect("the address is well-formed");
        async move {
            let mut connection = client.get_multiplexed_async_connection().await?;
            redis::cmd("INCR")
                .arg("asked")
                .query_async::<u64>(&mut connection)
                .await
        }
    };
    assert_eq!(answer(&first).await, Ok(1));
    first.kill();
    assert!(answer(&first).await.is_err());
    assert_eq!(answer(&second).await, Ok(1));
    first.restart();
    assert_eq!(first.url(), url);
    assert_eq!(answer(&first).await, Ok(1));
    assert_eq!(answer(&second).await, Ok(2));
}

#[tokio::test]
async fn the_mail_server_keeps_refuses_and_comes_back() {
    let mut server = SmtpServer::start();
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&server.url())
        .expect("the address is well-formed")
        .build();
    transport.send(a_mail("First")).await.expect("the server takes mail");

    server.fail_next(2, 451);
    assert!(
        transport
            .send(a_mail("Later"))
            .await
            .expect_err("refused")
            .is_transient()
    );
    server.fail_next(1, 550);
    assert!(
        transport
            .send(a_mail("Never"))
            .await
            .expect_err("refused")
            .is_permanent()
    );
    assert_eq!(server.refused(), 2);

    server.stop();
    transport
        .send(a_mail("Nobody there"))
        .await
        .expect_err("nobody listens");
    server.restart();
    transport
        .send(a_mail("Second"))
        .await
        .expect("the server takes mail again");

    let mails = server.wait_for(2).await;
    assert_eq!(mails.len(), 2);
    assert_eq!(server.messages(), mails);
    assert_eq!(mails[0].from, "portal@vendor.example");
    assert_eq!(mails[0].to, ["newbie@acme.example"]);
    let subjects = mails
        .iter()
        .map(|mail| Mail::parse(&mail.raw).expect("a whole mail").subject);
    assert_eq!(subjects.collect::<Vec<_>>(), ["First", "Second"]);
}

#[tokio::test]
async fn a_mail_is_read_and_shown_without_what_changes() {
    let raw = a_mail("Ünïcode, and a subject that is long enough to be folded onto a second line").formatted();
    let mail = Mail::parse(&raw).expect("a whole mail");
    assert_eq!(mail.from, "The Portal <portal@vendor.example>");
    assert_eq!(mail.to, ["newbie@acme.example"]);
    assert_eq!(mail.link_path(), Some("/verify/abc_DEF-123"));
    assert_eq!(mail.token(), Some("abc_DEF-123"));
    assert!(
        mail.header("message-id").is_some_and(|id| id.contains("2f1c")),
        "{mail:#?}"
    );
    insta::assert_snapshot!(mail.snapshot());

    let half = &raw[..raw.len() - 20];
    assert_eq!(Mail::parse(half), None);
}

#[tokio::test]
async fn an_installation_is_written_whole() {
    let daemon = TestDaemon::builder(Database::Sqlite)
        .setting("da_response.timeout", "2s")
        .setting("workers.notification.concurrency", 3)
        .install();
    let config = std::fs::read_to_string(daemon.path("enrolld.toml")).expect("the file is there");
    let config: toml::Table = config.parse().expect("the file is TOML");
    assert_eq!(config["da_response"]["timeout"].as_str(), Some("2s"));
    assert_eq!(config["workers"]["notification"]["concurrency"].as_integer(), Some(3));
    assert_eq!(config["redis"]["url"].as_str(), Some(daemon.redis.url().as_str()));

    daemon
        .send(&events::submitted("reg-1", "newbie", "93988396", "FOC1436Y3XK"))
        .await;
    daemon.send_raw(b"\xff not JSON").await;
    let mut connection = daemon.redis_connection().await;
    let length: u64 = redis::cmd("XLEN")
        .arg("enrolld:intake")
        .query_async(&mut connection)
        .await
        .expect("Redis answers");
    assert_eq!(length, 2);
    assert!(daemon.rejected().await.is_empty());
    assert!(daemon.events().await.is_empty());
    assert!(daemon.mails().is_empty());
}

#[test]
fn events_have_the_shape_of_the_contract() {
    let first = events::organization_selected("reg-1", None);
    assert_eq!(first["specversion"], "1.0");
    assert_eq!(first["type"], "registration.organization_selected");
    assert_eq!(first["subject"], "reg-1");
    assert_eq!(first["data"], json!({"organization_id": null}));
    let second = events::organization_selected("reg-1", Some("acme"));
    assert_ne!(first["id"], second["id"]);
}

#[test]
fn a_guarded_child_ends_with_its_parent() {
    // The shell is the parent here: it starts the guarded child, tells its id, and is killed.
    let guarded = guarded_command(Path::new("sleep"), None);
    let mut words: Vec<_> = vec![guarded.get_program().to_owned()];
    words.extend(guarded.get_args().map(ToOwned::to_owned));
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let told = folder.path().join("pid");
    let mut shell = std::process::Command::new("sh");
    shell
        .arg("-c")
        .arg("\"$@\" 600 & echo $! > pid.new; mv pid.new pid; wait")
        .arg("sh")
        .args(&words)
        .current_dir(folder.path());
    let mut parent = ChildProcess::spawn(&mut shell);
    let start = std::time::Instant::now();
    let wait = |what: &str, holds: &dyn Fn() -> bool| {
        while !holds() {
            assert!(start.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait("the shell does not tell the child's id", &|| told.exists());
    let pid = std::fs::read_to_string(&told).expect("the file is there");
    let command_line = format!("/proc/{}/cmdline", pid.trim());
    // Empty once it has ended, also while nobody has reaped it.
    let is_sleep = || std::fs::read_to_string(&command_line).is_ok_and(|words| words.starts_with("sleep"));
    wait("the child does not start", &is_sleep);
    parent.kill();
    wait("the child outlives its parent", &|| !is_sleep());
}

fn a_mail(subject: &str) -> Message {
    let address = |text: &str| text.parse::<Mailbox>().expect("a well-formed address");
    let text = "Hello,\n\npress the button behind\n\nhttp://127.0.0.1:4711/verify/abc_DEF-123\n";
    let html = "<p>Hello, <a href=\"http://127.0.0.1:4711/verify/abc_DEF-123\">press</a></p>";
    Message::builder()
        .from(address("The Portal <portal@vendor.example>"))
        .to(address("SNTC Newbie <newbie@acme.example>"))
        .subject(subject)
        .message_id(Some("<2f1c0d52-0000-5000-8000-000000000000@vendor.example>".to_owned()))
        .multipart(MultiPart::alternative_plain_html(text.to_owned(), html.to_owned()))
        .expect("a whole mail")
}

async fn connect(url: &str) -> DatabaseConnection {
    try_connect(url).await.expect("the database takes connections")
}

/// Gives up soon: by default it would knock for half a minute at a server that is away.
async fn try_connect(url: &str) -> Result<DatabaseConnection, sea_orm::DbErr> {
    let mut options = ConnectOptions::new(url);
    options.acquire_timeout(Duration::from_secs(2));
    Orm::connect(options).await
}

async fn run(connection: &DatabaseConnection, statement: &str) {
    connection
        .execute_unprepared(statement)
        .await
        .expect("the statement is sound");
}

async fn number(connection: &DatabaseConnection, query: &str) -> i64 {
    let statement = sea_orm::Statement::from_string(connection.get_database_backend(), query);
    let row = connection.query_one_raw(statement).await.expect("the query is sound");
    row.expect("one row").try_get_by_index(0).expect("a number")
}
