//! Mail that comes back (D2, D22).

use super::{Case, Change, Decided, applying::to_correction};
use crate::{
    cloud_event::BounceKind,
    effect::{Effect, MailKind, Recipient},
    event::Bounce,
    registration::{FieldErrorCode, State},
};

/// A mail came back: it is recorded; after a hard bounce nothing more is sent to the address. A DA who cannot be reached any more is
/// passed over (D2), and an applicant whose verification mail came back corrects their address (D22).
pub(super) fn bounced(case: &Case<'_>, bounce: &Bounce) -> Decided {
    let mut change = case
        .change()
        .detail("mail", bounce.kind.as_str())
        .detail("kind", bounce.severity.as_str());
    if let Some(detail) = &bounce.detail {
        change = change.detail("detail", detail.as_str());
    }
    match bounce.severity {
        BounceKind::Soft | BounceKind::Complaint => return change.decided(),
        BounceKind::Hard => {}
    }
    if let Some(address) = &bounce.address {
        change = change.effect(Effect::Suppress(address.clone()));
    }
    // Applicants may be DAs by now, or of elsewhere.
    let reader = match &bounce.to {
        Recipient::Account(account) => Some(account),
        Recipient::Applicant => Some(&case.registration.account_id),
        Recipient::Agents | Recipient::Supervisor | Recipient::Ops => None,
    };
    if let Some(reader) = reader {
        change = change.effect(Effect::RecheckDa(reader.clone()));
    }
    if is_awaited(case, bounce) {
        return undeliverable(change).decided();
    }
    change.decided()
}

/// Whether the link that is waited for went, or goes, to the address that does not exist. An earlier mail to the same address says as
/// much as the newest: a resend comes back from there as well.
fn is_awaited(case: &Case<'_>, bounce: &Bounce) -> bool {
    let State::AwaitingEmail { link } = &case.registration.state else {
        return false;
    };
    let is_same = bounce.step == case.registration.step || bounce.address.as_ref() == Some(&link.address);
    bounce.kind == MailKind::Verification && is_same
}

/// The verification mail of the step was not sent: mail to the address comes back (D22, D23).
pub(super) fn not_sent(case: &Case<'_>, step: u32) -> Decided {
    if step == case.registration.step {
        undeliverable(case.change()).decided()
    } else {
        Decided::Ignored
    }
}

/// The verification mail does not arrive: the applicant corrects the address in their profile, and starts again (D22).
fn undeliverable(change: Change<'_>) -> Change<'_> {
    to_correction(change, vec![FieldErrorCode::EmailUndeliverable.into()])
        .mail(MailKind::CorrectionNeeded, Recipient::Applicant)
}
