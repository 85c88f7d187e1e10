use serde_json::json;

use super::{
    Enrolld,
    seed::{id, seed, seed_cases},
};

/// Snapshots without the moments, which are those of the test.
fn settled(snapshots: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "[date and time....]");
    settings.bind(snapshots);
}

#[test]
fn empty_listings_say_so() {
    let enrolld = Enrolld::migrated("");
    for (arguments, remark) in [
        (["registrations", "list"], "no registrations\n"),
        (["review", "list"], "no cases\n"),
        (["jobs", "list"], "no jobs\n"),
        (["mails", "list"], "no mails\n"),
        (["intake", "rejected"], "no refused events\n"),
    ] {
        let ended = enrolld.run(&arguments);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", remark));
        ended.succeeds();
        let json = [&arguments[..], &["--output", "json"]].concat();
        assert_eq!(enrolld.run(&json).succeeds(), "[]\n");
    }
}

#[test]
fn schedules_are_listed_before_anything_has_run() {
    let enrolld = Enrolld::migrated("");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"(NEXT|in \d+[smhd])\s+", "$1 ");
    settings.add_filter(r"in \d+[smhd]", "in [...]");
    settings.bind(|| {
        for width in [60, 140] {
            let table = enrolld.run_at_width(width, &["schedules", "list"]).succeeds();
            insta::assert_snapshot!(format!("schedules_at_{width}"), table);
        }
    });
    let asked = enrolld.run(&["schedules", "run", "retention"]);
    assert_eq!(asked.status, Some(1));
    let said = "retention: asked for, but no daemon is running; the next to start does it, if it starts within a day";
    assert_eq!(asked.stderr, format!("error: {said}\n"));
    let json: serde_json::Value =
        serde_json::from_str(&enrolld.run(&["schedules", "list", "--output", "json"]).succeeds()).expect("JSON");
    assert_eq!(json[2]["name"], "retention");
    assert_eq!(json[2]["state"], "waiting");
    assert_eq!(enrolld.run(&["schedules", "run", "nightly"]).status, Some(2));
}

#[test]
fn tables_fit_narrow_and_wide_terminals() {
    let enrolld = Enrolld::migrated("");
    seed(&enrolld);
    for width in [80, 140] {
        for arguments in [
            ["registrations", "list"],
            ["jobs", "list"],
            ["mails", "list"],
            ["queues", "list"],
            ["intake", "rejected"],
        ] {
            let table = enrolld.run_at_width(width, &arguments).succeeds();
            assert!(
                table.lines().all(|line| line.chars().count() <= width.into()),
                "{table}"
            );
            insta::assert_snapshot!(format!("{}_at_{width}", arguments[0]), table);
        }
    }
    seed_cases(&enrolld);
    for width in [80, 140] {
        let table = enrolld.run_at_width(width, &["review", "list"]).succeeds();
        assert!(
            table.lines().all(|line| line.chars().count() <= width.into()),
            "{table}"
        );
        insta::assert_snapshot!(format!("review_at_{width}"), table);
    }
    // Where nothing tells the width it is 80.
    assert_eq!(
        enrolld.run(&["jobs", "list"]).stdout,
        enrolld.run_at_width(80, &["jobs", "list"]).stdout
    );
}

#[test]
fn cards_tell_everything() {
    let enrolld = Enrolld::migrated("");
    seed(&enrolld);
    settled(|| {
        insta::assert_snapshot!(
            "registration_card",
            enrolld.run(&["registrations", "show", "reg-1"]).succeeds()
        );
        insta::assert_snapshot!(
            "registration_card_to_select",
            enrolld.run(&["registrations", "show", "reg-2"]).succeeds()
        );
        insta::assert_snapshot!("job_card", enrolld.run(&["jobs", "show", &id(2)]).succeeds());
        insta::assert_snapshot!("mail_card", enrolld.run(&["mails", "show", &id(2)]).succeeds());
    });
}

#[test]
fn json_has_what_the_contract_says() {
    let enrolld = Enrolld::migrated("");
    seed(&enrolld);
    let shown = enrolld
        .run(&["registrations", "show", "reg-1", "--output", "json"])
        .json();
    assert_eq!(shown["state"], "needs_correction");
    assert_eq!(shown["field_errors"][0]["code"], "serial_not_covered");
    assert_eq!(shown["timeline"][1]["detail"], json!({"codes": ["serial_not_covered"]}));
    let listed = enrolld.run(&["registrations", "list", "--output", "json"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert_eq!(listed[1], shown, "a listing gives the same objects, newest first");

    let job = enrolld.run(&["jobs", "show", &id(2), "--output", "json"]).json();
    assert_eq!(
        (&job["state"], &job["error_class"]),
        (&json!("dead"), &json!("smtp_refused"))
    );
    assert_eq!(
        (&job["runs"][0]["run_no"], &job["runs"][1]["result"]),
        (&json!(1), &json!("dead"))
    );
    assert_eq!(job["interventions"][0]["action"], "requeue");
    assert_eq!(job["registration"]["state"], "awaiting_organization");
    let does = job["next"]["does"].as_str().unwrap_or_default();
    assert!(does.contains("enrolld jobs requeue"), "{does}");
    let listed = enrolld.run(&["jobs", "list", "--output", "json"]).json();
    for (name, value) in listed[0].as_object().expect("an object") {
        assert_eq!(job[name], *value, "a listing has the same of each, but not its story");
    }
    let mail = enrolld.run(&["mails", "show", &id(2), "--output", "json"]).json();
    assert_eq!(
        (&mail["to"], &mail["address"]),
        (&json!("applicant"), &json!("newbie@acme.example"))
    );

    let refused = enrolld.run(&["intake", "rejected", "--output", "json"]).json();
    assert_eq!(
        (&refused[1]["seq"], &refused[1]["event"]),
        (&json!(1), &json!("\u{fffd}\u{1b}[2J"))
    );
    assert_eq!(refused[0]["detail"], json!({"code": "not_in_this_state"}));
}

#[test]
fn queues_are_paused_by_name_and_go_on() {
    let enrolld = Enrolld::migrated("");
    let queue = |kind: &str| {
        let queues = enrolld.run(&["queues", "list", "--output", "json"]).json();
        let of_kind = queues
            .as_array()
            .into_iter()
            .flatten()
            .find(|queue| queue["kind"] == kind);
        of_kind.expect("every kind is listed").clone()
    };
    let pause = ["queues", "pause", "terms", "--reason", "  the terms\u{1b} change "];
    enrolld.run_as("operator", &pause).succeeds();
    let paused = &queue("terms")["paused"];
    assert_eq!(
        (&paused["by"], &paused["reason"]),
        (&json!("operator"), &json!("the terms\\u{1b} change"))
    );
    // Whoever comes later changes nothing.
    let again = enrolld.run_as("other", &["queues", "pause", "terms", "--reason", "another"]);
    assert!(
        again.stderr.contains("terms is paused already by operator"),
        "{again:?}"
    );
    assert_eq!(queue("terms")["paused"], *paused);
    assert_eq!(queue("verification")["paused"], json!(null));
    assert_eq!(enrolld.run(&["queues", "resume", "terms"]).stderr, "terms goes on\n");
    assert_eq!(queue("terms")["paused"], json!(null));
    assert_eq!(
        enrolld.run(&["queues", "resume", "terms"]).stderr,
        "terms was not paused\n"
    );
}

#[test]
fn filters_and_limits_hold() {
    let enrolld = Enrolld::migrated("");
    seed(&enrolld);
    let count = |arguments: &[&str]| {
        let listed = enrolld.run(&[arguments, &["--output", "json"]].concat()).json();
        listed.as_array().map(Vec::len).expect("a list")
    };
    assert_eq!(count(&["registrations", "list", "--account", "newbie"]), 2);
    assert_eq!(count(&["registrations", "list", "--account", "other"]), 0);
    assert_eq!(count(&["registrations", "list", "--state", "needs_correction"]), 1);
    assert_eq!(count(&["jobs", "list", "--kind", "verification"]), 1);
    assert_eq!(
        count(&["jobs", "list", "--state", "dead", "--registration", "reg-2"]),
        1
    );
    assert_eq!(
        count(&["jobs", "list", "--state", "dead", "--registration", "reg-1"]),
        0
    );
    assert_eq!(
        count(&["mails", "list", "--registration", "reg-2", "--state", "failed"]),
        1
    );
    assert_eq!(count(&["mails", "list", "--state", "sent"]), 0);

    let ended = enrolld.run(&["registrations", "list", "--limit", "1", "--output", "json"]);
    assert_eq!(
        ended.stderr,
        "there are more registrations than these 1: see more with --limit 10\n"
    );
    assert_eq!(ended.json()[0]["id"], "reg-2", "the newest are shown");
    assert_eq!(enrolld.run(&["registrations", "list", "--limit", "2"]).stderr, "");
}

#[test]
fn what_is_not_there_is_named() {
    let enrolld = Enrolld::migrated("");
    for (kind, id) in [
        ("registrations", "reg-9"),
        ("registrations", "no id at all"),
        ("jobs", "6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90"),
        ("jobs", "no-uuid"),
        ("mails", "6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90"),
    ] {
        let said = enrolld.run(&[kind, "show", id]).fails();
        assert!(
            said.contains(&format!("{id:?}; `enrolld {kind} list` shows those there are")),
            "{said}"
        );
    }
}

#[test]
fn what_cannot_be_done_is_told() {
    let enrolld = Enrolld::migrated("");
    seed(&enrolld);
    let said = enrolld.run(&["mails", "unsuppress", "newbie@acme.example"]).fails();
    assert!(said.contains("no mail came back from this address"), "{said}");
    // Job 1 has succeeded.
    let said = enrolld.run(&["jobs", "requeue", &id(1)]).fails();
    assert!(said.contains(&format!("{}: it is succeeded", id(1))), "{said}");
    let said = enrolld.run(&["registrations", "erase", "reg-1"]).fails();
    assert!(said.contains("no redis.url is set"), "{said}");
}

#[test]
fn the_status_fits_a_screen() {
    let enrolld = Enrolld::migrated("");
    seed(&enrolld);
    for width in [80, 140] {
        let status = enrolld.run_at_width(width, &["status"]).succeeds();
        assert!(
            status.lines().all(|line| line.chars().count() <= width.into()),
            "{status}"
        );
        insta::assert_snapshot!(format!("status_at_{width}"), status);
    }
    // Scripts find every name, whatever is there.
    let empty = Enrolld::migrated("");
    let mut status = empty.run(&["status", "--output", "json"]).json();
    status["at"] = json!("[moment]");
    insta::assert_json_snapshot!("status_of_an_empty_database", status);
}

#[test]
fn an_empty_report_says_so() {
    let enrolld = Enrolld::migrated("");
    let ended = enrolld.run(&["report", "sla"]);
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("", "no step ended in this time\n")
    );
    ended.succeeds();
    let json = enrolld.run(&["report", "sla", "--output", "json"]).json();
    assert_eq!((&json["by"], &json["rows"]), (&json!("step"), &json!([])));
    let csv = enrolld
        .run(&["report", "sla", "--by", "da", "--output", "csv"])
        .succeeds();
    assert_eq!(
        csv,
        "da_account_id,answered,count,median_seconds,p95_seconds,deadline_seconds,in_time,in_time_share\n"
    );
    let said = enrolld
        .run(&["report", "sla", "--since", "1d ago", "--until", "2d ago"])
        .fails();
    assert!(said.contains("see that --since is before --until"), "{said}");
}
