use std::io::Read as _;
use std::process::{Command, Stdio};

use super::{Ended, Enrolld};

fn bare(arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enrolld"));
    Ended::of(
        command
            .args(arguments)
            .env_remove("COLUMNS")
            .output()
            .expect("the program can be run"),
    )
}

#[test]
fn help_names_every_command_with_examples() {
    insta::assert_snapshot!("help", bare(&["--help"]).succeeds());
    insta::assert_snapshot!(
        "help_registrations_list",
        bare(&["registrations", "list", "--help"]).succeeds()
    );
    insta::assert_snapshot!("help_intake_send", bare(&["intake", "send", "--help"]).succeeds());
}

#[test]
fn every_command_has_help() {
    for command in [
        &["run"][..],
        &["demo"],
        &["migrate"],
        &["status"],
        &["report", "sla"],
        &["config", "check"],
        &["config", "show"],
        &["intake", "send"],
        &["intake", "rejected"],
        &["intake", "replay"],
        &["intake", "discard"],
        &["directory", "import"],
        &["directory", "export"],
        &["registrations", "list"],
        &["registrations", "show"],
        &["registrations", "erase"],
        &["registrations", "withdraw"],
        &["review", "list"],
        &["review", "decide"],
        &["jobs", "list"],
        &["jobs", "show"],
        &["jobs", "requeue"],
        &["jobs", "stats"],
        &["jobs", "cancel"],
        &["jobs", "discard"],
        &["mails", "resend"],
        &["queues", "list"],
        &["queues", "pause"],
        &["queues", "resume"],
        &["mails", "list"],
        &["mails", "show"],
        &["mails", "preview"],
        &["mails", "unsuppress"],
        &["completions"],
        &["man"],
    ] {
        let help = bare(&[command, &["--help"]].concat()).succeeds();
        assert!(help.contains("Example"), "{help}");
        assert!(help.contains("--config"), "{help}");
    }
}

#[test]
fn the_version_is_told() {
    let version = bare(&["--version"]).succeeds();
    assert_eq!(version, format!("enrolld {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &[][..],
        &["--no-such-flag"],
        &["no-such-command"],
        &["jobs"],
        &["jobs", "list", "--limit", "0"],
        &["jobs", "list", "--limit", "10001"],
        &["jobs", "list", "--kind", "no_such_kind"],
        &["jobs", "list", "--state", "no_such_state"],
        &["registrations", "list", "--state", "no_such_state"],
        &["registrations", "list", "--output", "yaml"],
        &["registrations", "show"],
        &["registrations", "erase"],
        &["registrations", "erase", "no id at all"],
        &["review", "list", "--reason", "no_such_reason"],
        &["report", "sla", "--by", "moon"],
        &["report", "sla", "--since", "yesterday"],
        &["report", "sla", "--output", "xml"],
        &["registrations", "withdraw"],
        &["registrations", "withdraw", "no id at all"],
        &["registrations", "withdraw", "reg-1", "--wait", "2s", "--no-wait"],
        &["review", "decide", "reg-1"],
        &["review", "decide", "reg-1", "--decision", "appoint"],
        &["review", "decide", "reg-1", "--decision", "route"],
        &["review", "decide", "reg-1", "--decision", "ask"],
        &[
            "review",
            "decide",
            "reg-1",
            "--decision",
            "reject",
            "--organization",
            "acme",
        ],
        &["review", "decide", "reg-1", "--decision", "forgive"],
        &["intake", "replay"],
        &["intake", "replay", "one"],
        &["intake", "replay", "1", "--all"],
        &["intake", "replay", "1", "--reason", "malformed"],
        &["intake", "discard", "--all", "--reason", "no_such_reason"],
        &["jobs", "requeue"],
        &["jobs", "requeue", "no-uuid"],
        &["jobs", "cancel"],
        &["jobs", "cancel", "--state", "dead"],
        &["jobs", "discard", "--state", "dead"],
        &["jobs", "discard", "--reason", "no filter at all"],
        &["mails", "resend"],
        &["mails", "resend", "no-uuid"],
        &["queues", "pause"],
        &["queues", "pause", "no_such_kind"],
        &["queues", "resume", "notification", "no_such_kind"],
        &["mails", "unsuppress", "no-address"],
        &["mails", "preview"],
        &["mails", "preview", "no_such_kind"],
        &["mails", "preview", "welcome", "--locale", "de"],
    ] {
        let ended = bare(arguments);
        assert_eq!(ended.status, Some(2), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(!ended.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_names_to_choose_from_are_told() {
    let ended = bare(&["queues", "pause", "mail"]);
    assert!(
        ended.stderr.contains("email_verification") && ended.stderr.contains("notification"),
        "{}",
        ended.stderr
    );
    let ended = bare(&["registrations", "list", "--state", "awaiting"]);
    assert!(ended.stderr.contains("awaiting_da"), "{}", ended.stderr);
}

#[test]
fn settings_are_named_before_or_after_the_command() {
    let enrolld = Enrolld::new("");
    let file = enrolld.path("enrolld.toml");
    let file = file.to_str().expect("UTF-8");
    for arguments in [
        ["--config", file, "config", "check"],
        ["config", "--config", file, "check"],
        ["config", "check", "--config", file],
    ] {
        assert!(bare(&arguments).succeeds().starts_with("ok\n"), "{arguments:?}");
    }
}

#[test]
fn whoever_stops_reading_is_no_failure() {
    let enrolld = Enrolld::new("");
    let mut child = enrolld
        .command(&["config", "show"])
        .spawn()
        .expect("the program can be run");
    // Closed before anything can be read from it.
    drop(child.stdout.take());
    let status = child.wait().expect("the program can be waited for");
    let mut said = String::new();
    child
        .stderr
        .take()
        .expect("it is a pipe")
        .read_to_string(&mut said)
        .expect("it writes UTF-8");
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));

    let migrated = Enrolld::migrated("");
    let mut child = migrated
        .command(&["directory", "export"])
        .spawn()
        .expect("the program can be run");
    drop(child.stdout.take());
    let ended = Ended::of(child.wait_with_output().expect("the program can be waited for"));
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));

    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let output = enrolld
        .command(&["config", "show"])
        .stdout(Stdio::from(full))
        .output()
        .expect("the program can be run");
    assert!(Ended::of(output).fails().contains("cannot write to standard output"));
}
