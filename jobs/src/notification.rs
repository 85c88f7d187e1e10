//! Job `notification`: sends a mail (contract, section 7).

use crate::{
    da_routing::first_reachable,
    directory::{Account, Administrator},
    effect::{Mail, MailKind, Recipient},
    registration::{Registration, State},
    values::{AccountId, EmailAddress, Locale},
};

/// Where a mail goes, or why it does not go any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It is to be sent.
    Send {
        /// The reader's name, if it is a person.
        name: Option<String>,
        /// The address.
        address: EmailAddress,
        /// The language (D17).
        locale: Locale,
    },
    /// It is not sent, and that is well; says why.
    Skip(&'static str),
}

/// The account that must be looked up to address `mail`; `None` when it goes to a mailbox.
pub fn reader(mail: &Mail, registration: &Registration) -> Option<AccountId> {
    match &mail.to {
        Recipient::Applicant => Some(registration.account_id.clone()),
        Recipient::Account(id) => Some(id.clone()),
        Recipient::Agents => None,
    }
}

/// Whether a mail of this kind tells who was asked to decide.
pub const fn names_who_was_asked(kind: MailKind) -> bool {
    matches!(kind, MailKind::AccessRequestNotice | MailKind::Rerouted)
}

/// The DA who was asked, also once the decision has been made: mail may be late. The first who could be reached was asked
/// first. `None` once the applicant has begun anew.
pub fn administrator_asked(registration: &Registration) -> Option<&Administrator> {
    registration
        .delegated_administrator()
        .or_else(|| first_reachable(&registration.administrators, &registration.account_id))
}

/// Addresses `mail`, made at the registration's step `step`, to its `reader` as the directory has them now, or to the
/// `agents`' mailbox.
pub fn deliver(
    mail: &Mail,
    step: u32,
    registration: &Registration,
    reader: Option<&Account>,
    agents: Option<&EmailAddress>,
) -> Delivery {
    if mail.kind.belongs_to_step() && step != registration.step {
        return Delivery::Skip("the registration has moved on");
    }
    if names_who_was_asked(mail.kind) && administrator_asked(registration).is_none() {
        return Delivery::Skip("the registration has moved on");
    }
    match mail.to {
        Recipient::Agents => agents.map_or(Delivery::Skip("review.mailbox is not set"), |address| Delivery::Send {
            name: None,
            address: address.clone(),
            locale: Locale::En,
        }),
        Recipient::Applicant | Recipient::Account(_) => {
            let Some(account) = reader else {
                return Delivery::Skip("the account is gone");
            };
            let address = match (&registration.state, mail.kind) {
                // The link proves the address that it was made for, and no other (D7).
                (State::AwaitingEmail { link, .. }, MailKind::Verification) => Some(link.address.clone()),
                _ => account.deliverable_email(),
            };
            address.map_or(
                Delivery::Skip("the account has no address that mail can be sent to"),
                |address| Delivery::Send {
                    name: Some(account.name.clone()),
                    address,
                    locale: account.language(),
                },
            )
        }
    }
}
