//! Job `notification`: sends a mail (contract, section 7).

use crate::{
    directory::Account,
    effect::{Mail, MailKind, Recipient},
    registration::{Registration, State},
    values::{AccountId, EmailAddress, Locale},
};

/// Where a mail goes, or why it does not go any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It is to be sent to a person.
    Person {
        /// Their name.
        name: String,
        /// The address.
        address: EmailAddress,
        /// The language (D17).
        locale: Locale,
    },
    /// It is to be sent to the agents' mailbox, in English.
    Agents,
    /// It is to be sent to the supervisor's mailbox, or that of ops, in English.
    Supervisor,
    /// It is to be sent to the mailbox of ops, in English.
    Ops,
    /// It is not sent, and that is well; says why.
    Skip(&'static str),
}

/// The account that must be looked up to address `mail`; `None` when it goes to a mailbox.
pub fn reader(mail: &Mail, registration: &Registration) -> Option<AccountId> {
    match &mail.to {
        Recipient::Applicant => Some(registration.account_id.clone()),
        Recipient::Account(id) => Some(id.clone()),
        Recipient::Agents | Recipient::Supervisor | Recipient::Ops => None,
    }
}

/// The mailboxes that there are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mailboxes {
    /// Whether the agents have one (`review.mailbox`).
    pub agents: bool,
    /// Whether the supervisor (`review.supervisor`) or else ops (`ops.mailbox`) has one (D10).
    pub supervisor: bool,
    /// Whether ops have one (`ops.mailbox`).
    pub ops: bool,
}

/// Addresses `mail`, made at the registration's step `step`, to its `reader` as the directory has them now, or to one of
/// the `mailboxes`.
pub fn deliver(
    mail: &Mail,
    step: u32,
    registration: &Registration,
    reader: Option<&Account>,
    mailboxes: Mailboxes,
) -> Delivery {
    if mail.kind.belongs_to_step() && step != registration.step {
        return Delivery::Skip("the registration has moved on");
    }
    match mail.to {
        Recipient::Agents if mailboxes.agents => Delivery::Agents,
        Recipient::Agents => Delivery::Skip("review.mailbox is not set"),
        Recipient::Supervisor if mailboxes.supervisor => Delivery::Supervisor,
        Recipient::Supervisor => Delivery::Skip("neither review.supervisor nor ops.mailbox is set"),
        Recipient::Ops if mailboxes.ops => Delivery::Ops,
        Recipient::Ops => Delivery::Skip("ops.mailbox is not set"),
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
                |address| Delivery::Person {
                    name: account.name.clone(),
                    address,
                    locale: account.language(),
                },
            )
        }
    }
}
