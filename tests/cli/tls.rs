//! TLS to Redis, PostgreSQL and the mail server, each with a certificate of an authority of the test's own.

use std::io::{BufRead as _, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::child::{PATIENCE, free_port};
use super::doctor::{SETTINGS, examined, finding, started};
use super::postgres::PostgresServer;
use super::redis_server::RedisServer;
use super::{Ended, Enrolld};

/// An authority, and what it has signed for a server.
struct Signed {
    folder: TempDir,
    certificate: String,
    key: String,
}

impl Signed {
    /// For a server under these names.
    fn of(names: &[&str]) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).expect("no name is wrong");
        // Two of one name are taken for each other, until a signature is wrong.
        authority
            .distinguished_name
            .push(DnType::CommonName, format!("authority of {names:?}"));
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = KeyPair::generate().expect("keys can be made");
        let authority = CertifiedIssuer::self_signed(authority, own).expect("it can sign");
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().expect("keys can be made");
        let server = CertificateParams::new(names).expect("the names are right");
        let certificate = server.signed_by(&key, &authority).expect("it can sign");
        let signed = Self {
            folder: TempDir::with_prefix("enrolld-tls-").expect("the temporary folder is writable"),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        };
        for (name, text) in [
            ("ca.pem", &authority.pem()),
            ("server.pem", &signed.certificate),
            ("server.key", &signed.key),
        ] {
            std::fs::write(signed.path(name), text).expect("the folder is writable");
        }
        signed
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// A Redis with TLS on a port of its own beside the plain one.
fn redis(signed: &Signed) -> (RedisServer, String) {
    let port = free_port().to_string();
    let (certificate, key, ca) = (
        signed.path("server.pem"),
        signed.path("server.key"),
        signed.path("ca.pem"),
    );
    let server = RedisServer::start_set(
        true,
        &[
            "--tls-port",
            &port,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            "no",
        ],
    );
    (server, format!("rediss://127.0.0.1:{port}"))
}

/// What `doctor` says of `check` where the system's authorities are those in `file`.
fn found_by(enrolld: &Enrolld, file: &str, check: &str) -> (String, String) {
    let mut command = enrolld.command(&["doctor", "--output", "json"]);
    let ended = Ended::of(
        command
            .env("SSL_CERT_FILE", file)
            .output()
            .expect("the program can be run"),
    );
    finding(&serde_json::from_str(&ended.stdout).expect("it is JSON"), check)
}

#[test]
fn a_daemon_works_on_a_redis_with_tls() {
    let signed = Signed::of(&["127.0.0.1"]);
    let (_redis, url) = redis(&signed);
    let enrolld = Enrolld::migrated(&format!(
        "redis.url = '{url}'\nredis.tls_ca_file = '{}'\n{SETTINGS}",
        signed.path("ca.pem")
    ));
    let _daemon = started(&enrolld);
    let (result, seen) = finding(&examined(&enrolld).0, "redis");
    assert_eq!(result, "ok");
    assert!(seen.contains(", encrypted"), "{seen}");

    // It cannot be applied to a registration that is not there: so it comes in, and the refusal goes out.
    let event =
        br#"{"specversion":"1.0","id":"e-1","source":"/portal","type":"registration.withdrawn","subject":"reg-1"}"#;
    enrolld.run_with_input(&["intake", "send", "-"], event).succeeds();
    let start = Instant::now();
    while !enrolld.run(&["intake", "rejected"]).succeeds().contains("reg-1") {
        assert!(start.elapsed() < PATIENCE, "it is not taken in");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_redis_that_nobody_vouches_for_is_not_spoken_to() {
    let (signed, other) = (Signed::of(&["127.0.0.1"]), Signed::of(&["redis.example"]));
    let (_redis, url) = redis(&signed);
    let enrolld = Enrolld::migrated(&format!("redis.url = '{url}'\n{SETTINGS}"));
    // By the system's authorities.
    let (result, seen) = found_by(&enrolld, &signed.path("ca.pem"), "redis");
    assert_eq!(result, "ok", "{seen}");
    let (result, seen) = found_by(&enrolld, &other.path("ca.pem"), "redis");
    assert_eq!(result, "problem");
    assert!(seen.contains("UnknownIssuer"), "{seen}");

    let (_misnamed, url) = redis(&other);
    let enrolld = Enrolld::migrated(&format!("redis.url = '{url}'\n{SETTINGS}"));
    let (result, seen) = found_by(&enrolld, &other.path("ca.pem"), "redis");
    assert_eq!(result, "problem");
    assert!(seen.contains("not valid for name"), "{seen}");

    for (file, told) in [("nowhere.pem", "No such file"), ("server.key", "no certificate in it")] {
        let file = signed.path(file);
        let enrolld = Enrolld::migrated(&format!(
            "redis.url = '{url}'\nredis.tls_ca_file = '{file}'\n{SETTINGS}"
        ));
        let said = enrolld.run(&["run"]);
        assert_eq!(said.status, Some(1));
        assert!(
            said.stderr.contains("redis.tls_ca_file") && said.stderr.contains(told),
            "{}",
            said.stderr
        );
    }
}

#[test]
fn a_postgres_with_tls_is_checked_as_its_url_says() {
    let (signed, other) = (Signed::of(&["127.0.0.1"]), Signed::of(&["db.example"]));
    let postgres = |signed: &Signed| {
        let files = [
            ("server.crt", signed.certificate.as_str()),
            ("server.key", signed.key.as_str()),
        ];
        PostgresServer::start_with_files(&["ssl=on"], &files)
    };
    let (right, misnamed) = (postgres(&signed), postgres(&other));
    for (server, options, told) in [
        (&right, "sslmode=require".to_owned(), Ok(", encrypted")),
        (&right, "sslmode=disable".to_owned(), Ok("answers in")),
        (
            &right,
            format!("sslmode=verify-full&sslrootcert={}", signed.path("ca.pem")),
            Ok(", encrypted"),
        ),
        (
            &right,
            format!("sslmode=verify-full&sslrootcert={}", other.path("ca.pem")),
            Err("UnknownIssuer"),
        ),
        (
            &misnamed,
            format!("sslmode=verify-ca&sslrootcert={}", other.path("ca.pem")),
            Ok(", encrypted"),
        ),
        (
            &misnamed,
            format!("sslmode=verify-full&sslrootcert={}", other.path("ca.pem")),
            Err("not valid for name"),
        ),
    ] {
        let enrolld = Enrolld::new(&format!("database.url = '{}?{options}'\n{SETTINGS}", server.url()));
        let (result, seen) = finding(&examined(&enrolld).0, "database");
        assert_eq!(result == "ok", told.is_ok(), "{options}: {seen}");
        let (Ok(told) | Err(told)) = told;
        assert!(seen.contains(told), "{options}: {seen}");
        assert_eq!(seen.contains(", encrypted"), told == ", encrypted", "{options}: {seen}");
    }
}

#[test]
fn a_mail_server_with_tls_is_checked() {
    let (signed, other) = (Signed::of(&["127.0.0.1"]), Signed::of(&["mail.example"]));
    for (url, start_tls) in [
        ("smtps://127.0.0.1:PORT", false),
        ("smtp://127.0.0.1:PORT?tls=required", true),
    ] {
        let port = mail_server(&signed, start_tls);
        let url = url.replace("PORT", &port.to_string());
        let enrolld = Enrolld::migrated(&format!("mail.transport = 'smtp'\nmail.smtp.url = '{url}'\n{SETTINGS}"));
        let (result, seen) = found_by(&enrolld, &signed.path("ca.pem"), "mail");
        assert_eq!(result, "ok", "{url}: {seen}");
        assert!(seen.contains("(encrypted, without login)"), "{url}: {seen}");
        let (result, seen) = found_by(&enrolld, &other.path("ca.pem"), "mail");
        assert_eq!(result, "problem", "{url}: {seen}");
        assert!(seen.contains("UnknownIssuer"), "{url}: {seen}");
    }
}

/// As much of a mail server as takes a sender, under TLS from the start or after `STARTTLS`.
fn mail_server(signed: &Signed, start_tls: bool) -> u16 {
    let chain = CertificateDer::pem_slice_iter(signed.certificate.as_bytes()).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).expect("it was made as PEM");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(chain.expect("it was made as PEM"), key)
        .expect("they belong together");
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback interface has a free port");
    let port = listener.local_addr().expect("a bound listener has an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that does not trust us hangs up.
            let _ = receive(stream, &config, start_tls);
        }
    });
    port
}

fn receive(mut stream: TcpStream, config: &Arc<ServerConfig>, start_tls: bool) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    if start_tls {
        stream.write_all(b"220 mail.test\r\n")?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 {
            if line.starts_with("STARTTLS") {
                stream.write_all(b"220 go on\r\n")?;
                break;
            }
            stream.write_all(b"250-mail.test\r\n250 STARTTLS\r\n")?;
            line.clear();
        }
    }
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    if !start_tls {
        reader.get_mut().write_all(b"220 mail.test\r\n")?;
    }
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        reader.get_mut().write_all(b"250 ok\r\n")?;
        line.clear();
    }
    Ok(())
}
