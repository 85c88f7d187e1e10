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

/// The account that must be looked up to address `mail`; `None` when it goes to a mailbox, or to the applicant of no
/// registration.
pub fn reader(mail: &Mail, registration: Option<&Registration>) -> Option<AccountId> {
    match &mail.to {
        Recipient::Applicant => registration.map(|registration| registration.account_id.clone()),
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
/// the `mailboxes`. All mails to a person go to the one address of their profile (R52). Mails about delegation and alerts may belong to no registration; others are not sent without one.
pub fn deliver(
    mail: &Mail,
    step: u32,
    registration: Option<&Registration>,
    reader: Option<&Account>,
    mailboxes: Mailboxes,
) -> Delivery {
    match registration {
        None if needs_registration(mail) => return Delivery::Skip("it belongs to no registration"),
        Some(registration) if mail.kind.belongs_to_step() && step != registration.step => {
            return Delivery::Skip("the registration has moved on");
        }
        None | Some(_) => {}
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
            let address = match (registration.map(|registration| &registration.state), mail.kind) {
                // The link proves the address that it was made for, and no other (D7).
                (Some(State::AwaitingEmail { link, .. }), MailKind::Verification) => Some(link.address.clone()),
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

/// Whether there is nobody to send `mail` to, or nothing that it could ask for, unless it belongs to a registration.
const fn needs_registration(mail: &Mail) -> bool {
    mail.kind.belongs_to_step()
        || match mail.to {
            Recipient::Applicant | Recipient::Agents | Recipient::Supervisor => true,
            Recipient::Account(_) | Recipient::Ops => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Mailboxes = Mailboxes {
        agents: true,
        supervisor: true,
        ops: true,
    };

    #[test]
    fn what_is_about_an_account_or_for_ops_needs_no_registration() {
        let alert = Mail::new(MailKind::OpsAlert, Recipient::Ops);
        assert_eq!(deliver(&alert, 0, None, None, ALL), Delivery::Ops);
        let id = AccountId::new("newbie").expect("a valid id");
        let changed = Mail::new(MailKind::DelegationChanged, Recipient::Account(id.clone()));
        assert_eq!(reader(&changed, None), Some(id));
        assert_eq!(
            deliver(&changed, 0, None, None, ALL),
            Delivery::Skip("the account is gone")
        );
    }

    #[test]
    fn what_needs_a_registration_is_not_sent_without() {
        for mail in [
            Mail::new(MailKind::Rejected, Recipient::Applicant),
            Mail::new(MailKind::ReviewCase, Recipient::Agents),
            Mail::new(MailKind::ReviewOverdue, Recipient::Supervisor),
            Mail::new(MailKind::ProvisioningOverdue, Recipient::Ops),
        ] {
            assert_eq!(reader(&mail, None), None);
            assert_eq!(
                deliver(&mail, 0, None, None, ALL),
                Delivery::Skip("it belongs to no registration")
            );
        }
    }
}
