//! What the applicant reads at every state and error, in English and Dutch (D17).
//!
//! Said here: access may take 24 hours (R5, R38, R60), and is "being set up" meanwhile (R39); whose profile is wrong corrects it there
//! (R23); which device to take (R26); who should not become DA (R30); who decides on a submitted request, and answers questions (R35,
//! R36); what the organizations of the list mean (R42, R49); where to look for the verification mail
//! (R53); that one is DA now (R57) and what that means (R59); that an agent looks (R63), with news within 24 hours (R64).

use crate::{
    registration::{FieldErrorCode as Code, Registration, State},
    values::Locale,
};

/// Headline and message of the registration's state.
pub(super) fn state(registration: &Registration, locale: Locale) -> (String, String) {
    let da = registration.delegated_administrator().map_or("", |da| da.name.as_str());
    let address = match &registration.state {
        State::AwaitingEmail { link } => link.address.expose(),
        _ => "",
    };
    let (title, message) = match locale {
        Locale::En => english(&registration.state),
        Locale::Nl => dutch(&registration.state),
    };
    (
        title.to_owned(),
        message.replace("{da}", da).replace("{address}", address),
    )
}

fn english(state: &State) -> (&'static str, &'static str) {
    match state {
        State::Verifying => (
            "Your details are being checked",
            "We are checking your account, contract and serial number. This takes a moment.",
        ),
        State::NeedsCorrection { .. } => (
            "Please correct your details",
            "Something is not right yet; see each field. Correct it and submit again. If your name or e-mail address is wrong, correct your profile first. Tip: take a device installed at the site that best represents your scope of authority.",
        ),
        State::Routing => (
            "Your details are correct",
            "We are finding out who decides on access for your company. This takes a moment.",
        ),
        State::AwaitingConfirmation => (
            "Confirm your request",
            "Your company has a Delegated Administrator: {da}. Nothing has been sent yet. Confirm, and your request goes to them; or go back and try another contract and serial number.",
        ),
        State::AwaitingOrganization => (
            "Select your organization",
            "Your company has no Delegated Administrator yet, so you can become it. Select the organization that best represents your scope of authority: the first has full authority, the last the least. If someone else manages access for your company, withdraw, and have that person register.",
        ),
        State::AwaitingEmail { .. } => (
            "Verify your e-mail address",
            "We have sent a mail to {address}. Open the link in it to go on. No mail? Look in your spam folder, or have it sent again.",
        ),
        State::AwaitingDa { .. } => (
            "Your request has been submitted",
            "{da} is responsible for granting or denying it. With questions, turn to them. You get a mail when they have decided.",
        ),
        State::InReview { .. } => (
            "An agent is reviewing your request",
            "An agent will be reviewing your request and may reach out to you. You get a mail with the status within 24 hours.",
        ),
        State::AwaitingInformation { .. } => (
            "An agent has a question",
            "An agent needs more information from you to go on. Please answer the question.",
        ),
        State::Provisioning { .. } => (
            "Your account is being set up",
            "Your access is granted. It can take up to 24 hours until it is active everywhere.",
        ),
        State::Active { granted } if granted.appointed => (
            "You are now a Delegated Administrator",
            "Registration is complete. You manage the users of your organization, and you are its Customer Administrator. Portal access can take up to 24 hours.",
        ),
        State::Active { .. } => (
            "Your access has been approved",
            "Registration is complete. It can take up to 24 hours until your access is active everywhere.",
        ),
        State::Denied { .. } => (
            "Your request was denied",
            "Your Delegated Administrator has denied your request. With questions, turn to them.",
        ),
        State::Rejected { .. } => (
            "Your registration was rejected",
            "An agent has rejected your registration.",
        ),
        State::Withdrawn => (
            "You have withdrawn your registration",
            "Nothing more happens. You can register again at any time.",
        ),
        State::Expired => (
            "Your registration has expired",
            "We have not heard from you. You can register again at any time.",
        ),
    }
}

fn dutch(state: &State) -> (&'static str, &'static str) {
    match state {
        State::Verifying => (
            "Uw gegevens worden gecontroleerd",
            "Wij controleren uw account, contract en serienummer. Dit duurt even.",
        ),
        State::NeedsCorrection { .. } => (
            "Verbeter uw gegevens",
            "Er klopt nog iets niet; zie elk veld. Verbeter het en dien opnieuw in. Zijn uw naam of e-mailadres onjuist, verbeter dan eerst uw profiel. Tip: neem een apparaat op de locatie die uw bevoegdheid het best weergeeft.",
        ),
        State::Routing => (
            "Uw gegevens kloppen",
            "Wij zoeken uit wie over toegang voor uw bedrijf beslist. Dit duurt even.",
        ),
        State::AwaitingConfirmation => (
            "Bevestig uw aanvraag",
            "Uw bedrijf heeft een Delegated Administrator: {da}. Er is nog niets verstuurd. Bevestig, en uw aanvraag gaat naar deze persoon; of ga terug en probeer een ander contract en serienummer.",
        ),
        State::AwaitingOrganization => (
            "Kies uw organisatie",
            "Uw bedrijf heeft nog geen Delegated Administrator (de persoon die de gebruikers van een bedrijf beheert); u kunt het worden. Kies de organisatie die uw bevoegdheid het best weergeeft: de eerste heeft volledige bevoegdheid, de laatste de minste. Beheert iemand anders de toegang voor uw bedrijf, trek dan terug en laat die persoon zich registreren.",
        ),
        State::AwaitingEmail { .. } => (
            "Bevestig uw e-mailadres",
            "Wij hebben een e-mail gestuurd naar {address}. Open de link daarin om verder te gaan. Geen e-mail? Kijk in uw map met ongewenste e-mail, of laat hem opnieuw sturen.",
        ),
        State::AwaitingDa { .. } => (
            "Uw aanvraag is ingediend",
            "{da} beslist over uw aanvraag. Met vragen kunt u bij deze persoon terecht. U krijgt een e-mail zodra er is beslist.",
        ),
        State::InReview { .. } => (
            "Een medewerker beoordeelt uw aanvraag",
            "Een medewerker beoordeelt uw aanvraag en neemt mogelijk contact met u op. Binnen 24 uur krijgt u een e-mail over de stand van zaken.",
        ),
        State::AwaitingInformation { .. } => (
            "Een medewerker heeft een vraag",
            "Een medewerker heeft meer informatie van u nodig om verder te gaan. Beantwoord de vraag.",
        ),
        State::Provisioning { .. } => (
            "Uw account wordt ingericht",
            "Uw toegang is verleend. Het kan tot 24 uur duren voordat die overal actief is.",
        ),
        State::Active { granted } if granted.appointed => (
            "U bent nu Delegated Administrator",
            "De registratie is voltooid. U beheert de gebruikers van uw organisatie en bent er Customer Administrator. Toegang tot het portaal kan tot 24 uur duren.",
        ),
        State::Active { .. } => (
            "Uw toegang is goedgekeurd",
            "De registratie is voltooid. Het kan tot 24 uur duren voordat uw toegang overal actief is.",
        ),
        State::Denied { .. } => (
            "Uw aanvraag is afgewezen",
            "Uw Delegated Administrator heeft uw aanvraag afgewezen. Met vragen kunt u bij deze persoon terecht.",
        ),
        State::Rejected { .. } => (
            "Uw registratie is afgewezen",
            "Een medewerker heeft uw registratie afgewezen.",
        ),
        State::Withdrawn => (
            "U hebt uw registratie ingetrokken",
            "Er gebeurt niets meer. U kunt zich altijd opnieuw registreren.",
        ),
        State::Expired => (
            "Uw registratie is verlopen",
            "Wij hebben niets van u gehoord. U kunt zich altijd opnieuw registreren.",
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
