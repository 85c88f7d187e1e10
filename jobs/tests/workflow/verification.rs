//! Verify your account: what is wrong, all of it, and nothing about others.

use std::sync::Arc;

use chrono::NaiveDate;
use enrolld_jobs::{
    directory::AccountStatus,
    effect::Effect,
    job::JobKind,
    registration::{FieldErrorCode as Code, StateName},
    rules::Rules,
    verification::PersonalDomains,
};

use crate::road::{Road, da, errors_on, good, good_but, numbers, with_email};

#[test]
fn r1_what_is_submitted_is_verified_and_then_routed() {
    let mut road = Road::submitted();
    assert_eq!(road.state(), StateName::Verifying);
    let decision = road.verify(&good(vec![]));
    assert_eq!(road.state(), StateName::Routing);
    assert_eq!(decision.effects, [Effect::Run(JobKind::DaRouting)]);
    assert_eq!(decision.entry.actor, "enrolld");
}

#[test]
fn r22_name_and_address_come_from_the_profile() {
    let mut road = Road::submitted();
    road.verify(&with_email(None));
    let account = road.registration.account.expect("the profile");
    assert_eq!(account.name, "newbie of ACME");
    assert_eq!(account.email, None);
}

#[test]
fn r27_every_error_is_given_not_the_first() {
    let present = good_but(vec![], |present| {
        let account = present.applicant.account.as_mut().unwrap();
        account.status = AccountStatus::Inactive;
        account.email = Some("newbie@gmail.com".to_owned());
        let contract = present.applicant.contract.as_mut().unwrap();
        contract.kind = "other".to_owned();
        contract.status = "ended".to_owned();
        present.applicant.covered = false;
    });
    assert_eq!(
        errors_on(&present),
        [
            Code::AccountInactive,
            Code::EmailPersonalDomain,
            Code::ContractNotEntitled,
            Code::ContractInactive,
            Code::SerialNotCovered
        ]
    );
}

#[test]
fn r7_an_unknown_account_stands_alone() {
    let present = good_but(vec![], |present| {
        present.applicant.account = None;
        present.applicant.contract = None;
        present.applicant.covered = false;
    });
    assert_eq!(errors_on(&present), [Code::AccountNotFound]);
}

#[test]
fn r7_an_incomplete_profile_is_an_error() {
    let present = good_but(vec![], |present| {
        present.applicant.account.as_mut().unwrap().status = AccountStatus::Incomplete;
    });
    assert_eq!(errors_on(&present), [Code::AccountIncomplete]);
}

#[test]
fn r11_the_address_must_be_there_and_be_one() {
    for missing in [None, Some(""), Some("  ")] {
        assert_eq!(errors_on(&with_email(missing)), [Code::EmailMissing], "{missing:?}");
    }
    for invalid in [
        "newbie",
        "newbie@acme",
        "newbie@acme.example\nBcc: all@acme.example",
        "a b@acme.example",
        "Newbie <newbie@acme.example>",
        "newbie@[127.0.0.1]",
        "nëwbie@acme.example",
    ] {
        assert_eq!(
            errors_on(&with_email(Some(invalid))),
            [Code::EmailInvalid],
            "{invalid:?}"
        );
    }
}

#[test]
fn r20_both_numbers_are_required_and_well_formed() {
    let mut present = good(vec![]);
    present.applicant.contract = None;
    present.applicant.covered = false;
    for (contract, serial, expected) in [
        ("", "", [Code::ContractRequired, Code::SerialRequired]),
        ("   ", "\t", [Code::ContractRequired, Code::SerialRequired]),
        ("12a", "A_B", [Code::ContractMalformed, Code::SerialMalformed]),
        (
            "1".repeat(21).as_str(),
            "AB",
            [Code::ContractMalformed, Code::SerialMalformed],
        ),
        (
            "１２",
            "A".repeat(41).as_str(),
            [Code::ContractMalformed, Code::SerialMalformed],
        ),
    ] {
        let mut road = Road::submitted_with(numbers(contract, serial));
        road.verify(&present);
        assert_eq!(road.field_errors(), expected, "{contract:?} {serial:?}");
    }
}

#[test]
fn r20_numbers_are_trimmed_and_serials_upper_cased() {
    let mut road = Road::submitted_with(numbers("  93988396 ", "\tfoc1436y3xk\n"));
    assert_eq!(road.registration.contract_number.as_str(), "93988396");
    assert_eq!(road.registration.serial_number.as_str(), "FOC1436Y3XK");
    road.verify(&good(vec![]));
    assert_eq!(road.state(), StateName::Routing);
}

#[test]
fn r20_a_serial_of_ten_thousand_characters_ends_as_a_short_field_error() {
    let mut road = Road::submitted_with(numbers("93988396", &"é".repeat(10_000)));
    assert_eq!(road.registration.serial_number.as_str().chars().count(), 64);
    road.verify(&good_but(vec![], |present| present.applicant.covered = false));
    assert_eq!(road.field_errors(), [Code::SerialMalformed]);
}

#[test]
fn r8_only_smart_entitled_types_entitle() {
    for kind in [
        "smart_net_total_care",
        "sp_base",
        "telepresence_essential_operate",
        "cisco_one",
        "solution_support",
    ] {
        let mut road = Road::submitted();
        road.verify(&good_but(vec![], |present| {
            present.applicant.contract.as_mut().unwrap().kind = kind.to_owned();
        }));
        assert_eq!(road.state(), StateName::Routing, "{kind}");
    }
    let present = good_but(vec![], |present| {
        present.applicant.contract.as_mut().unwrap().kind = "SP_BASE".to_owned();
    });
    assert_eq!(errors_on(&present), [Code::ContractNotEntitled]);
}

#[test]
fn r8_a_contract_holds_on_its_last_day_and_not_after() {
    let ending = |day| {
        good_but(vec![], |present| {
            present.applicant.contract.as_mut().unwrap().ends_on = NaiveDate::from_ymd_opt(2026, 11, day);
        })
    };
    let mut road = Road::submitted();
    road.verify(&ending(22));
    assert_eq!(road.state(), StateName::Routing);
    assert_eq!(errors_on(&ending(21)), [Code::ContractInactive]);
}

#[test]
fn r10_the_serial_number_is_of_a_covered_device() {
    let mut road = Road::submitted();
    road.verify(&good(vec![]));
    assert_eq!(road.state(), StateName::Routing);
    let uncovered = good_but(vec![], |present| present.applicant.covered = false);
    assert_eq!(errors_on(&uncovered), [Code::SerialNotCovered]);
}

#[test]
fn r24_the_contract_is_entitled_and_ones_own() {
    let not_associated = good_but(vec![], |present| {
        present.applicant.contract = None;
        present.applicant.covered = false;
    });
    assert_eq!(errors_on(&not_associated), [Code::ContractNotAssociated]);
    let not_entitled = good_but(vec![], |present| {
        present.applicant.contract.as_mut().unwrap().kind = "warranty".to_owned();
    });
    assert_eq!(errors_on(&not_entitled), [Code::ContractNotEntitled]);
}

#[test]
fn d14_coverage_is_judged_only_against_a_contract_of_ones_own() {
    // Whether the serial is covered by somebody else's contract, and whether that contract exists, makes no difference.
    for covered in [true, false] {
        let present = good_but(vec![], |present| {
            present.applicant.contract = None;
            present.applicant.covered = covered;
        });
        assert_eq!(errors_on(&present), [Code::ContractNotAssociated]);
    }
}

#[test]
fn d14_being_a_user_is_told_only_of_a_site_of_ones_own() {
    let present = good_but(vec![da("newbie", "root")], |present| {
        present.applicant.contract = None;
        present.holds_access = true;
    });
    assert_eq!(errors_on(&present), [Code::ContractNotAssociated]);
}

#[test]
fn d19_who_is_a_user_or_da_already_needs_no_registration() {
    assert_eq!(errors_on(&good(vec![da("newbie", "root")])), [Code::AlreadyRegistered]);
    let user = good_but(vec![], |present| present.holds_access = true);
    assert_eq!(errors_on(&user), [Code::AlreadyRegistered]);
}

#[test]
fn d13_personal_domains_are_refused_in_every_country_and_below() {
    let personal = PersonalDomains::default();
    for domain in [
        "gmail.com",
        "GMAIL.com",
        "googlemail.com",
        "yahoo.com",
        "yahoo.co.uk",
        "mail.yahoo.fr",
        "hotmail.nl",
        "hotmail.co.uk",
        "ymail.com",
        "gmx.de",
        "mail.gmx.de",
        "protonmail.com",
        "yahoo.com.",
    ] {
        assert!(personal.contains(domain), "{domain}");
        let email = format!("newbie@{}", domain.trim_end_matches('.'));
        assert_eq!(
            errors_on(&with_email(Some(&email))),
            [Code::EmailPersonalDomain],
            "{email}"
        );
    }
}

#[test]
fn d13_outlook_com_and_companies_are_accepted() {
    let personal = PersonalDomains::default();
    for domain in [
        "outlook.com",
        "acme.example",
        "notgmail.com",
        "gmail.acme.com",
        "yahoo-inc.com",
    ] {
        assert!(!personal.contains(domain), "{domain}");
    }
}

#[test]
fn d13_sites_add_and_remove_domains() {
    let personal_domains = PersonalDomains::new(["Acme.Example"], ["yahoo.fr", "gmx.de", "corp.acme.example"]);
    let mut road = Road::submitted();
    road.rules = Arc::new(Rules {
        personal_domains,
        ..Rules::default()
    });
    let personal = &road.rules.personal_domains;
    for (domain, expected) in [
        ("acme.example", true),
        ("mail.acme.example", true),
        ("corp.acme.example", false),
        ("a.corp.acme.example", false),
        ("yahoo.fr", false),
        ("mail.yahoo.fr", false),
        ("yahoo.de", true),
        ("gmx.de", false),
        ("gmail.com", true),
    ] {
        assert_eq!(personal.contains(domain), expected, "{domain}");
    }
    road.verify(&good(vec![]));
    assert_eq!(road.field_errors(), [Code::EmailPersonalDomain]);
}
