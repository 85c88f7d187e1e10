//! What the applicant reads at every state and error, in English and Dutch (D17): where it stands, who holds it, and what happens next.
//! Moments are told by the view's fields `since`, `deadline` and `link_valid_until`.
//!
//! Said here: access may take 24 hours (R5, R38, R60), is "being set up" meanwhile (R39), and what to do if that lasts (R40); whose profile
//! is wrong corrects it there (R23); which device to take (R26); who should not become DA (R30); who decides on a submitted request,
//! and answers questions (R35, R36); what the list of organizations means, and what if one's own is not there (R42, R43, R44, R49); where to
//! look for the verification mail (R53); that one is DA now (R57) and what that means (R59); that an agent looks (R63), with news within
//! 24 hours (R64).

use crate::{
    registration::{FieldErrorCode as Code, Registration, ReviewReason, State},
    values::Locale,
};

/// A headline, and the sentences of a message.
type Text = (&'static str, Vec<&'static str>);

/// Headline and message of the registration's state.
pub(super) fn state(registration: &Registration, locale: Locale) -> (String, String) {
    let da = registration.delegated_administrator().map_or("", |da| da.name.as_str());
    let address = match &registration.state {
        State::AwaitingEmail { link } => link.address.expose(),
        _ => "",
    };
    let reason = match &registration.state {
        State::Denied { reason, .. } | State::Rejected { reason } => reason.as_deref(),
        _ => None,
    };
    let newer = registration.superseded_by.as_ref().map_or("", |id| id.as_str());
    let (title, mut sentences) = match locale {
        Locale::En => english(registration),
        Locale::Nl => dutch(registration),
    };
    if reason.is_some() {
        sentences.push(pick(
            locale,
            "The reason given: {reason}",
            "De opgegeven reden: {reason}",
        ));
    }
    if !registration.state.name().is_final() && !registration.dead_jobs.is_empty() {
        sentences.push(pick(
            locale,
            "We have a technical problem of our own and are looking into it; about that there is nothing for you to do.",
            "Wij hebben zelf een technisch probleem en zoeken het uit; daaraan hoeft u niets te doen.",
        ));
    }
    let message = sentences.join(" ").replace("{da}", da).replace("{address}", address);
    // What a person wrote comes last, so that nothing in it is filled in.
    let message = message
        .replace("{newer}", newer)
        .replace("{reason}", reason.unwrap_or_default());
    (title.to_owned(), message)
}

const fn pick(locale: Locale, english: &'static str, dutch: &'static str) -> &'static str {
    match locale {
        Locale::En => english,
        Locale::Nl => dutch,
    }
}

/// Where the applicant is waited for (D12).
const WAITING: &str = "We wait for you: after a while you get a reminder, and in the end the registration expires.";
const WAITING_DUTCH: &str =
    "Wij wachten op u: na een tijd krijgt u een herinnering, en uiteindelijk verloopt de registratie.";

#[expect(clippy::too_many_lines, reason = "one text after the other")]
fn english(registration: &Registration) -> Text {
    match &registration.state {
        State::Verifying => (
            "Your details are being checked",
            vec![
                "We are checking your account, contract and serial number. This takes a moment; then you see here how it goes on.",
            ],
        ),
        State::NeedsCorrection { .. } => (
            "Please correct your details",
            vec![
                "Something is not right yet; see each field. Correct it and submit again. If your name or e-mail address is wrong, correct your profile first. Tip: take a device installed at the site that best represents your scope of authority.",
                WAITING,
            ],
        ),
        State::Routing => (
            "Your details are correct",
            vec![
                "We are finding out who decides on access for your company. This takes a moment; then you see here how it goes on.",
            ],
        ),
        State::AwaitingConfirmation => (
            "Confirm your request",
            vec![
                "Your company has a Delegated Administrator: {da}. Nothing has been sent yet. Confirm, and your request goes to them; or go back and try another contract and serial number.",
                WAITING,
            ],
        ),
        State::AwaitingOrganization => (
            "Select your organization",
            vec![
                "Your company has no Delegated Administrator yet, so you can become it. Select the organization that best represents your scope of authority: the first has full authority, the last the least. Is yours not listed? Go back and try another contract and serial number, or choose none of them, and an agent takes over. If someone else manages access for your company, withdraw, and have that person register.",
                WAITING,
            ],
        ),
        State::AwaitingEmail { .. } => (
            "Verify your e-mail address",
            vec![
                "We have sent a mail to {address}. Open the link in it to go on; it can be used once, and only for a limited time. No mail? Look in your spam folder, or have it sent again.",
                WAITING,
            ],
        ),
        State::AwaitingDa { .. } => (
            "Your request has been submitted",
            vec![
                "{da} is responsible for granting or denying it. With questions, turn to them. If they do not answer, they are reminded; then another Delegated Administrator is asked, or an agent takes over. You get a mail when it is decided.",
            ],
        ),
        State::InReview { reason, .. } => {
            let mut sentences = vec![
                "An agent will be reviewing your request and may reach out to you. You get a mail with the status within 24 hours, and another when it is decided.",
            ];
            if *reason == ReviewReason::DaUnresponsive {
                sentences.push("The Delegated Administrators who were asked may still decide as well.");
            }
            ("An agent is reviewing your request", sentences)
        }
        State::AwaitingInformation { .. } => (
            "An agent has a question",
            vec![
                "An agent needs more information from you to go on. Please answer the question; then the agent decides, and you get a mail. Without an answer in time the registration expires.",
            ],
        ),
        State::Provisioning { case, .. } => {
            let message = match case.map(|case| case.reason) {
                None => {
                    "Your access is granted. It can take up to 24 hours until it is active everywhere. You get a mail when it is."
                }
                Some(ReviewReason::ProvisioningOverdue) => {
                    "Your access is granted, but setting it up is taking longer than 24 hours. Agents look into it, and it goes on meanwhile. You get a mail when it is active. If this persists, ask the support community."
                }
                Some(_) => {
                    "Your access is granted, but one of the tools has not accepted it. Agents look into it. You get a mail when it is active, or if it cannot be."
                }
            };
            ("Your account is being set up", vec![message])
        }
        State::Active { granted } if granted.appointed => (
            "You are now a Delegated Administrator",
            vec![
                "Registration is complete. You manage the users of your organization, and you are its Customer Administrator. Portal access can take up to 24 hours. Mails tell you what to do next, such as accepting the terms and conditions.",
            ],
        ),
        State::Active { .. } => (
            "Your access has been approved",
            vec!["Registration is complete. It can take up to 24 hours until your access is active everywhere."],
        ),
        State::Denied { .. } => (
            "Your request was denied",
            vec![
                "Your Delegated Administrator has denied your request.",
                "With questions, turn to them. Nothing more happens; you can register again at any time.",
            ],
        ),
        State::Rejected { .. } => (
            "Your registration was rejected",
            vec![
                "An agent has rejected your registration.",
                "Nothing more happens; you can register again at any time.",
            ],
        ),
        State::Withdrawn if registration.superseded_by.is_some() => (
            "A newer registration took its place",
            vec![
                "A newer registration of yours for the same company, {newer}, took the place of this one. Look there for how it goes on; here nothing more happens.",
            ],
        ),
        State::Withdrawn => (
            "You have withdrawn your registration",
            vec!["Nothing more happens. You can register again at any time."],
        ),
        State::Expired => (
            "Your registration has expired",
            vec!["We have not heard from you. You can register again at any time."],
        ),
    }
}

#[expect(clippy::too_many_lines, reason = "one text after the other")]
fn dutch(registration: &Registration) -> Text {
    match &registration.state {
        State::Verifying => (
            "Uw gegevens worden gecontroleerd",
            vec![
                "Wij controleren uw account, contract en serienummer. Dit duurt even; daarna ziet u hier hoe het verdergaat.",
            ],
        ),
        State::NeedsCorrection { .. } => (
            "Verbeter uw gegevens",
            vec![
                "Er klopt nog iets niet; zie elk veld. Verbeter het en dien opnieuw in. Zijn uw naam of e-mailadres onjuist, verbeter dan eerst uw profiel. Tip: neem een apparaat op de locatie die uw bevoegdheid het best weergeeft.",
                WAITING_DUTCH,
            ],
        ),
        State::Routing => (
            "Uw gegevens kloppen",
            vec![
                "Wij zoeken uit wie over toegang voor uw bedrijf beslist. Dit duurt even; daarna ziet u hier hoe het verdergaat.",
            ],
        ),
        State::AwaitingConfirmation => (
            "Bevestig uw aanvraag",
            vec![
                "Uw bedrijf heeft een Delegated Administrator: {da}. Er is nog niets verstuurd. Bevestig, en uw aanvraag gaat naar deze persoon; of ga terug en probeer een ander contract en serienummer.",
                WAITING_DUTCH,
            ],
        ),
        State::AwaitingOrganization => (
            "Kies uw organisatie",
            vec![
                "Uw bedrijf heeft nog geen Delegated Administrator (de persoon die de gebruikers van een bedrijf beheert); u kunt het worden. Kies de organisatie die uw bevoegdheid het best weergeeft: de eerste heeft volledige bevoegdheid, de laatste de minste. Staat de uwe er niet bij? Ga terug en probeer een ander contract en serienummer, of kies er geen, en een medewerker neemt het over. Beheert iemand anders de toegang voor uw bedrijf, trek dan terug en laat die persoon zich registreren.",
                WAITING_DUTCH,
            ],
        ),
        State::AwaitingEmail { .. } => (
            "Bevestig uw e-mailadres",
            vec![
                "Wij hebben een e-mail gestuurd naar {address}. Open de link daarin om verder te gaan; hij werkt één keer, en maar een beperkte tijd. Geen e-mail? Kijk in uw map met ongewenste e-mail, of laat hem opnieuw sturen.",
                WAITING_DUTCH,
            ],
        ),
        State::AwaitingDa { .. } => (
            "Uw aanvraag is ingediend",
            vec![
                "{da} beslist over uw aanvraag. Met vragen kunt u bij deze persoon terecht. Komt er geen antwoord, dan volgt een herinnering; daarna wordt een andere Delegated Administrator gevraagd, of neemt een medewerker het over. U krijgt een e-mail zodra er is beslist.",
            ],
        ),
        State::InReview { reason, .. } => {
            let mut sentences = vec![
                "Een medewerker beoordeelt uw aanvraag en neemt mogelijk contact met u op. Binnen 24 uur krijgt u een e-mail over de stand van zaken, en nog een zodra er is beslist.",
            ];
            if *reason == ReviewReason::DaUnresponsive {
                sentences.push("Ook de Delegated Administrators aan wie het is gevraagd, kunnen nog beslissen.");
            }
            ("Een medewerker beoordeelt uw aanvraag", sentences)
        }
        State::AwaitingInformation { .. } => (
            "Een medewerker heeft een vraag",
            vec![
                "Een medewerker heeft meer informatie van u nodig om verder te gaan. Beantwoord de vraag; daarna beslist de medewerker, en u krijgt een e-mail. Zonder tijdig antwoord verloopt de registratie.",
            ],
        ),
        State::Provisioning { case, .. } => {
            let message = match case.map(|case| case.reason) {
                None => {
                    "Uw toegang is verleend. Het kan tot 24 uur duren voordat die overal actief is. U krijgt een e-mail zodra het zover is."
                }
                Some(ReviewReason::ProvisioningOverdue) => {
                    "Uw toegang is verleend, maar het inrichten duurt langer dan 24 uur. Medewerkers zoeken het uit, en intussen gaat het door. U krijgt een e-mail zodra uw toegang actief is. Blijft dit zo, vraag het dan de supportcommunity."
                }
                Some(_) => {
                    "Uw toegang is verleend, maar een van de systemen heeft die niet geaccepteerd. Medewerkers zoeken het uit. U krijgt een e-mail zodra uw toegang actief is, of als het niet kan."
                }
            };
            ("Uw account wordt ingericht", vec![message])
        }
        State::Active { granted } if granted.appointed => (
            "U bent nu Delegated Administrator",
            vec![
                "De registratie is voltooid. U beheert de gebruikers van uw organisatie en bent er Customer Administrator. Toegang tot het portaal kan tot 24 uur duren. In e-mails leest u wat u verder moet doen, zoals de voorwaarden accepteren.",
            ],
        ),
        State::Active { .. } => (
            "Uw toegang is goedgekeurd",
            vec!["De registratie is voltooid. Het kan tot 24 uur duren voordat uw toegang overal actief is."],
        ),
        State::Denied { .. } => (
            "Uw aanvraag is afgewezen",
            vec![
                "Uw Delegated Administrator heeft uw aanvraag afgewezen.",
                "Met vragen kunt u bij deze persoon terecht. Er gebeurt niets meer; u kunt zich altijd opnieuw registreren.",
            ],
        ),
        State::Rejected { .. } => (
            "Uw registratie is afgewezen",
            vec![
                "Een medewerker heeft uw registratie afgewezen.",
                "Er gebeurt niets meer; u kunt zich altijd opnieuw registreren.",
            ],
        ),
        State::Withdrawn if registration.superseded_by.is_some() => (
            "Een nieuwere registratie kwam ervoor in de plaats",
            vec![
                "Een nieuwere registratie van u voor hetzelfde bedrijf, {newer}, is in de plaats gekomen van deze. Kijk daar hoe het verdergaat; hier gebeurt niets meer.",
            ],
        ),
        State::Withdrawn => (
            "U hebt uw registratie ingetrokken",
            vec!["Er gebeurt niets meer. U kunt zich altijd opnieuw registreren."],
        ),
        State::Expired => (
            "Uw registratie is verlopen",
            vec!["Wij hebben niets van u gehoord. U kunt zich altijd opnieuw registreren."],
        ),
    }
}

/// What is wrong with a field.
pub(super) fn field_error(code: Code, locale: Locale) -> &'static str {
    let (english, dutch) = match code {
        Code::AccountNotFound => ("There is no such account.", "Dit account bestaat niet."),
        Code::AccountInactive => ("Your account is not active.", "Uw account is niet actief."),
        Code::AccountIncomplete => (
            "Your profile is not complete. Complete it, then restart the registration.",
            "Uw profiel is niet volledig. Vul het aan en begin de registratie opnieuw.",
        ),
        Code::EmailMissing => (
            "Your profile has no e-mail address. Add it, then restart the registration.",
            "Uw profiel heeft geen e-mailadres. Voeg het toe en begin de registratie opnieuw.",
        ),
        Code::EmailInvalid => (
            "The e-mail address in your profile is not valid. Correct it, then restart the registration.",
            "Het e-mailadres in uw profiel is ongeldig. Verbeter het en begin de registratie opnieuw.",
        ),
        Code::EmailPersonalDomain => (
            "Personal e-mail addresses are not accepted. Put your business address into your profile, then restart the registration.",
            "Persoonlijke e-mailadressen worden niet geaccepteerd. Zet uw zakelijke adres in uw profiel en begin de registratie opnieuw.",
        ),
        Code::EmailUndeliverable => (
            "Mail to the address in your profile came back. Correct it, then restart the registration.",
            "E-mail aan het adres in uw profiel kwam terug. Verbeter het en begin de registratie opnieuw.",
        ),
        Code::ContractRequired => ("Enter a contract number.", "Vul een contractnummer in."),
        Code::ContractMalformed => (
            "A contract number has 1 to 20 digits.",
            "Een contractnummer heeft 1 tot 20 cijfers.",
        ),
        Code::ContractNotAssociated => (
            "This contract is not associated with your profile.",
            "Dit contract is niet aan uw profiel gekoppeld.",
        ),
        Code::ContractNotEntitled => (
            "This contract does not give access to the portal.",
            "Dit contract geeft geen toegang tot het portaal.",
        ),
        Code::ContractInactive => ("This contract is not active.", "Dit contract is niet actief."),
        Code::SerialRequired => ("Enter a serial number.", "Vul een serienummer in."),
        Code::SerialMalformed => (
            "A serial number has 3 to 40 letters, digits and hyphens.",
            "Een serienummer heeft 3 tot 40 letters, cijfers en streepjes.",
        ),
        Code::SerialNotCovered => (
            "This serial number is not covered by this contract.",
            "Dit serienummer valt niet onder dit contract.",
        ),
        Code::AlreadyRegistered => (
            "You already have access for this site.",
            "U hebt al toegang voor deze locatie.",
        ),
        Code::AlreadyRequested => (
            "You already have an open request for this company.",
            "U hebt al een lopende aanvraag voor dit bedrijf.",
        ),
    };
    match locale {
        Locale::En => english,
        Locale::Nl => dutch,
    }
}
