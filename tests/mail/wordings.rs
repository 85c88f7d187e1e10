//! Mails that say different things by what they tell: changes of delegations, alerts, reasons for a review.

use enrolld::mail::render;
use enrolld_jobs::{
    effect::{AlertCode, DelegationChange, MailKind},
    registration::ReviewReason,
    values::Role,
};

use super::{LOCALES, context};

/// Every change of a delegation, with its name.
const CHANGES: [(&str, DelegationChange); 6] = [
    ("administrator_added", DelegationChange::AdministratorAdded),
    ("administrator_removed", DelegationChange::AdministratorRemoved),
    ("user_associated", DelegationChange::UserAssociated),
    ("user_disassociated", DelegationChange::UserDisassociated),
    ("role_assigned", DelegationChange::RoleAssigned(Role::CustomerUser)),
    ("role_removed", DelegationChange::RoleRemoved(Role::ApiDeveloper)),
];

#[test]
fn every_change_of_a_delegation_is_told_in_words_of_its_own() {
    let kind = MailKind::DelegationChanged;
    for (name, change) in CHANGES {
        for locale in LOCALES {
            let mut context = context(kind, locale);
            context.delegation.as_mut().unwrap().change = Some(change);
            let mail = render(kind, locale, &context).unwrap();
            insta::assert_snapshot!(format!("{}.{name}.{}", kind.as_str(), locale.as_str()), mail.text);
            for line in mail.text.lines() {
                assert!(line.chars().count() <= 78, "{line}");
                assert!(
                    !line.contains("://") || mail.html.contains(&format!(">{line}</a>")),
                    "{line}"
                );
            }
            assert!(!mail.text.contains(name) && !mail.html.contains(name), "{}", mail.text);
        }
    }
}

#[test]
fn a_change_of_which_little_is_known_is_told_all_the_same() {
    for locale in LOCALES {
        let mut context = context(MailKind::DelegationChanged, locale);
        context.administrator = None;
        let organization = context.organization.as_mut().unwrap();
        (organization.address, organization.country) = (Vec::new(), String::new());
        context.delegation.as_mut().unwrap().company = None;
        let mail = render(MailKind::DelegationChanged, locale, &context).unwrap();
        insta::assert_snapshot!(format!("delegation_changed_sparse.{}", locale.as_str()), mail.text);
    }
}

#[test]
fn a_da_added_by_another_is_sent_the_terms_without_a_registration() {
    for locale in LOCALES {
        let mut context = context(MailKind::SecondDaAdvised, locale);
        context.applicant = None;
        let mail = render(MailKind::DaTerms, locale, &context).unwrap();
        insta::assert_snapshot!(format!("da_terms_without_registration.{}", locale.as_str()), mail.text);
        assert!(!mail.html.contains("reg-1"), "{}", mail.html);
    }
}

#[test]
fn an_alert_without_job_and_registration_names_no_command() {
    for locale in LOCALES {
        let mut context = context(MailKind::OpsAlert, locale);
        context.registration_id = None;
        let alert = context.alert.as_mut().unwrap();
        (alert.code, alert.job_id) = (AlertCode::TermsNotAccepted, None);
        "A Delegated Administrator has not accepted the terms.".clone_into(&mut alert.message);
        let mail = render(MailKind::OpsAlert, locale, &context).unwrap();
        let shown = format!("Subject: {}\n\n{}", mail.subject, mail.text);
        insta::assert_snapshot!(format!("ops_alert_terms_not_accepted.{}", locale.as_str()), shown);
    }
}

#[test]
fn every_reason_for_a_review_is_worded() {
    use ReviewReason as R;
    for locale in LOCALES {
        let mut told = Vec::new();
        for reason in [
            R::NoneOfTheAbove,
            R::AdditionalAssessment,
            R::DaUnresponsive,
            R::NoReachableDa,
            R::ProvisioningOverdue,
            R::ProvisioningFailed,
            R::ProcessingFailed,
        ] {
            for kind in [MailKind::ReviewCase, MailKind::ReviewOverdue, MailKind::WithAgent] {
                let mut context = context(kind, locale);
                context.review_reason = Some(reason);
                let mail = render(kind, locale, &context).unwrap();
                let paragraph = mail.text.split("\n\n").nth(1).unwrap();
                told.push(format!("{} {}:\n{paragraph}\n", kind.as_str(), reason.as_str()));
            }
        }
        insta::assert_snapshot!(format!("review_reasons.{}", locale.as_str()), told.join("\n"));
    }
}
