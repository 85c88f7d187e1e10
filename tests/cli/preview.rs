use enrolld_jobs::effect::MailKind;

use super::Enrolld;

/// Settings whose portal is not that of the defaults.
const PORTAL: &str = "[portal]\nname = \"Harbour\"\nurl = \"https://harbour.example/\"\n";

#[test]
fn a_mail_is_shown_as_it_will_look() {
    let enrolld = Enrolld::new(PORTAL);
    insta::assert_snapshot!(
        "verification",
        enrolld.run(&["mails", "preview", "verification"]).succeeds()
    );
    let arguments = ["mails", "preview", "access_approved", "--locale", "nl"];
    insta::assert_snapshot!("access_approved_in_dutch", enrolld.run(&arguments).succeeds());
    assert!(!enrolld.path("enrolld-data").exists(), "it needs no database");
}

#[test]
fn html_is_a_whole_document_to_look_at() {
    let html = Enrolld::new(PORTAL)
        .run(&["mails", "preview", "welcome", "--html", "--locale", "nl"])
        .succeeds();
    assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"nl\">"), "{html}");
    assert!(html.ends_with("</html>\n"), "{html}");
    assert!(html.contains(">https://harbour.example/</a>"), "{html}");
    assert!(!html.contains("Subject:"), "{html}");
}

#[test]
fn every_kind_has_a_sample_that_tells_no_secret() {
    let enrolld = Enrolld::new("security.link_key = \"s3ntinel-never-to-be-shown-0123456789\"\n");
    for kind in MailKind::ALL {
        for locale in ["en", "nl"] {
            let shown = enrolld
                .run(&["mails", "preview", kind.as_str(), "--locale", locale])
                .succeeds();
            assert!(shown.starts_with("Subject: "), "{shown}");
            assert!(!shown.contains("s3ntinel"), "{shown}");
        }
    }
}

#[test]
fn an_unknown_kind_is_answered_with_those_there_are() {
    let ended = Enrolld::new("").run(&["mails", "preview", "verifcation"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
    for kind in MailKind::ALL {
        assert!(ended.stderr.contains(kind.as_str()), "{}", ended.stderr);
    }
}
