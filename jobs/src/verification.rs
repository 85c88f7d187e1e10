//! Job `verification`: may this person ask for access, with these numbers (R1, R7–R11, R20–R28, D13, D14, D19)?

use std::collections::BTreeSet;

use chrono::NaiveDate;

use crate::{
    directory::{Account, AccountStatus},
    event::Present,
    registration::{FieldError, FieldErrorCode as Code, Registration},
    values::{ContractNumber, EmailAddress, Entered, SerialNumber},
};

/// The shipped list: one domain a line, `#` starts a comment. Its head tells its date and source (D13).
const SHIPPED: &str = include_str!("../../config/personal-domains.txt");

/// Families that are personal under every public suffix: `yahoo.fr`, `hotmail.co.uk` (R11, D13).
const FAMILIES: [&str; 6] = ["gmail", "googlemail", "hotmail", "rocketmail", "yahoo", "ymail"];

/// Everything that is wrong, in the order of the page's fields (R1, R27, D19); empty when the request is good.
///
/// `today` is the date in UTC on which the contract must hold.
pub fn verify(
    registration: &Registration,
    present: &Present,
    personal: &PersonalDomains,
    today: NaiveDate,
) -> Vec<FieldError> {
    let Some(account) = &present.applicant.account else {
        return vec![Code::AccountNotFound.into()];
    };
    let mut errors = Vec::new();
    errors.extend(account_error(account));
    errors.extend(email_error(account, personal, present.undeliverable));
    errors.extend(contract_errors(&registration.contract_number, present, today));
    errors.extend(serial_error(&registration.serial_number, present));
    // Only of a site that is the applicant's own: nobody learns about another customer (D14).
    let is_administrator = present
        .site
        .iter()
        .flat_map(|site| &site.administrators)
        .any(|da| da.account_id == registration.account_id);
    if present.applicant.contract.is_some() && (is_administrator || present.holds_access) {
        errors.push(Code::AlreadyRegistered);
    }
    errors.into_iter().map(FieldError::from).collect()
}

/// The profile is there, and may be used (R7).
fn account_error(account: &Account) -> Option<Code> {
    match account.status {
        AccountStatus::Active => None,
        AccountStatus::Inactive => Some(Code::AccountInactive),
        AccountStatus::Incomplete => Some(Code::AccountIncomplete),
    }
}

/// An address that mail can be sent to, of a company (R11), and that mail did not come back from (D22).
fn email_error(account: &Account, personal: &PersonalDomains, undeliverable: bool) -> Option<Code> {
    let Some(text) = account.email.as_deref().filter(|text| !text.trim().is_empty()) else {
        return Some(Code::EmailMissing);
    };
    match EmailAddress::new(text) {
        Err(_) => Some(Code::EmailInvalid),
        Ok(address) if personal.contains(&address.domain()) => Some(Code::EmailPersonalDomain),
        Ok(_) if undeliverable => Some(Code::EmailUndeliverable),
        Ok(_) => None,
    }
}

/// A number (R20) of a contract that is the applicant's own, entitles, and is active (R8, R24).
fn contract_errors(entered: &Entered, present: &Present, today: NaiveDate) -> Vec<Code> {
    if entered.as_str().is_empty() {
        return vec![Code::ContractRequired];
    }
    if ContractNumber::new(entered.as_str()).is_err() {
        return vec![Code::ContractMalformed];
    }
    let Some(contract) = &present.applicant.contract else {
        return vec![Code::ContractNotAssociated];
    };
    let mut errors = Vec::new();
    if !contract.is_smart_entitled() {
        errors.push(Code::ContractNotEntitled);
    }
    if !contract.is_active(today) {
        errors.push(Code::ContractInactive);
    }
    errors
}

/// A number (R20) of a device that the contract covers (R10, R25).
fn serial_error(entered: &Entered, present: &Present) -> Option<Code> {
    if entered.as_str().is_empty() {
        return Some(Code::SerialRequired);
    }
    if SerialNumber::new(entered.as_str()).is_err() {
        return Some(Code::SerialMalformed);
    }
    // Without a contract of the applicant's own, coverage is nobody's business (D14).
    (present.applicant.contract.is_some() && !present.applicant.covered).then_some(Code::SerialNotCovered)
}

/// The domains whose addresses are personal and refused (R11, D13).
///
/// A domain matches when it, or a domain above it, is on the list, or when its registrable domain is of one of the
/// families that the guide names. Sites take domains out and put others in: the longest domain that is listed or taken
/// out decides, and taking out wins.
#[derive(Debug, Clone)]
pub struct PersonalDomains {
    listed: BTreeSet<String>,
    removed: BTreeSet<String>,
}

impl Default for PersonalDomains {
    fn default() -> Self {
        Self::new([], [])
    }
}

impl PersonalDomains {
    /// The shipped list, with the domains of `add` and without those of `remove`, in any case.
    pub fn new<'a>(add: impl IntoIterator<Item = &'a str>, remove: impl IntoIterator<Item = &'a str>) -> Self {
        let shipped = SHIPPED
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self {
            listed: shipped.chain(add).map(str::to_ascii_lowercase).collect(),
            removed: remove.into_iter().map(str::to_ascii_lowercase).collect(),
        }
    }

    /// Whether addresses of `domain` are personal.
    pub fn contains(&self, domain: &str) -> bool {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        // The most specific word counts: `mail.example` may be listed and `corp.mail.example` taken out, or the reverse.
        for candidate in self_and_parents(&domain) {
            if self.removed.contains(candidate) {
                return false;
            }
            if self.listed.contains(candidate) {
                return true;
            }
        }
        let registrable = psl::domain_str(&domain).unwrap_or(&domain);
        let label = registrable.split('.').next().unwrap_or_default();
        FAMILIES.contains(&label)
    }
}

/// `a.b.c`, `b.c`, `c`.
fn self_and_parents(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, parent)| parent))
}
