//! Words that depend on the language and on a value: roles, reasons, alerts, dates.

use chrono::{DateTime, Datelike, Utc};
use enrolld_jobs::{
    effect::AlertCode,
    registration::ReviewReason,
    values::{Locale, Role},
};

/// What a role is called. The portal shows roles in English; Dutch gives that name too, so that it is recognized
/// there.
pub const fn role_label(role: Role, locale: Locale) -> &'static str {
    match (locale, role) {
        (Locale::En, Role::CustomerAdministrator) => "Customer Administrator",
        (Locale::En, Role::CustomerUser) => "Customer User",
        (Locale::En, Role::PartnerAdministrator) => "Partner Administrator",
        (Locale::En, Role::PartnerUser) => "Partner User",
        (Locale::En, Role::ApiDeveloper) => "API Developer",
        (Locale::Nl, Role::CustomerAdministrator) => "klantbeheerder (Customer Administrator)",
        (Locale::Nl, Role::CustomerUser) => "klantgebruiker (Customer User)",
        (Locale::Nl, Role::PartnerAdministrator) => "partnerbeheerder (Partner Administrator)",
        (Locale::Nl, Role::PartnerUser) => "partnergebruiker (Partner User)",
        (Locale::Nl, Role::ApiDeveloper) => "API-ontwikkelaar (API Developer)",
    }
}

/// Why a registration is with an agent, for the agent: a phrase without full stop.
pub const fn review_reason_label(reason: ReviewReason, locale: Locale) -> &'static str {
    match (locale, reason) {
        (Locale::En, ReviewReason::NoneOfTheAbove) => "the applicant found none of the organizations offered to fit",
        (Locale::En, ReviewReason::AdditionalAssessment) => "a signal asks for additional assessment",
        (Locale::En, ReviewReason::DaUnresponsive) => "no Delegated Administrator has answered in time",
        (Locale::En, ReviewReason::NoReachableDa) => "no Delegated Administrator of the company can be reached",
        (Locale::En, ReviewReason::ProvisioningOverdue) => "access was not set up within the time allowed",
        (Locale::En, ReviewReason::ProvisioningFailed) => "a target system has refused to set up access",
        (Locale::En, ReviewReason::ProcessingFailed) => "processing has failed for good",
        (Locale::Nl, ReviewReason::NoneOfTheAbove) => "de aanvrager vond geen passende organisatie in de lijst",
        (Locale::Nl, ReviewReason::AdditionalAssessment) => "een signaal vraagt om een aanvullende beoordeling",
        (Locale::Nl, ReviewReason::DaUnresponsive) => "geen Delegated Administrator heeft op tijd geantwoord",
        (Locale::Nl, ReviewReason::NoReachableDa) => "geen Delegated Administrator van het bedrijf is bereikbaar",
        (Locale::Nl, ReviewReason::ProvisioningOverdue) => "de toegang was niet binnen de gestelde tijd ingesteld",
        (Locale::Nl, ReviewReason::ProvisioningFailed) => "een doelsysteem heeft geweigerd de toegang in te stellen",
        (Locale::Nl, ReviewReason::ProcessingFailed) => "de verwerking is definitief mislukt",
    }
}

/// What an alert is about, for its subject: a few words.
pub(super) const fn alert_label(code: AlertCode, locale: Locale) -> &'static str {
    match (locale, code) {
        (Locale::En, AlertCode::JobDead) => "a job has failed for good",
        (Locale::En, AlertCode::TermsNotAccepted) => "terms and conditions not accepted",
        (Locale::En, AlertCode::QueueOld) => "jobs are waiting for too long",
        (Locale::En, AlertCode::ProvisioningOverdue) => "access is overdue",
        (Locale::En, AlertCode::RefusalsRising) => "more events are refused than before",
        (Locale::Nl, AlertCode::JobDead) => "een taak is definitief mislukt",
        (Locale::Nl, AlertCode::TermsNotAccepted) => "voorwaarden niet geaccepteerd",
        (Locale::Nl, AlertCode::QueueOld) => "taken wachten te lang",
        (Locale::Nl, AlertCode::ProvisioningOverdue) => "toegang is over tijd",
        (Locale::Nl, AlertCode::RefusalsRising) => "er worden meer gebeurtenissen geweigerd dan eerst",
    }
}

const MONTHS_EN: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const MONTHS_NL: [&str; 12] = [
    "januari",
    "februari",
    "maart",
    "april",
    "mei",
    "juni",
    "juli",
    "augustus",
    "september",
    "oktober",
    "november",
    "december",
];

/// A moment as mails show it: `23 November 2026, 09:00 UTC`, `23 november 2026, 09:00 UTC`.
pub fn date(at: DateTime<Utc>, locale: Locale) -> String {
    let months = match locale {
        Locale::En => MONTHS_EN,
        Locale::Nl => MONTHS_NL,
    };
    // `month0` is 0 to 11.
    let month = months[at.month0() as usize % 12];
    format!("{} {month} {}, {} UTC", at.day(), at.year(), at.format("%H:%M"))
}
