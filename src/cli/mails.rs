//! `enrolld mails`: the records of mails, and what each kind looks like. No token and no text of a mail is kept.

use anyhow::{Context as _, anyhow, bail};
use clap::{
    Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use enrolld_jobs::{
    effect::{Mail, MailKind, Recipient},
    values::{EmailAddress, Locale},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    database,
    listing::{Listing, Shown},
    moments::{exact_ms, relative_ms, rfc3339},
    order::Reason,
    output::{self, Format, Screen},
    table::{self, Column, table},
};
use crate::{
    daemon::executor_of_a_command,
    environment::{Environment as _, System},
    executor::resending::Resent,
    mail::{Portal, render, sample},
    settings::Settings,
    store::{entities::mail, interventions::Order, mails::Filter},
};

/// The states of mail records.
const STATES: [&str; 4] = ["waiting", "sent", "skipped", "failed"];

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List mails, newest first
    #[command(after_help = "The table masks addresses; JSON and `mails show` have them in full.

Examples:
  enrolld mails list --registration reg-1
  enrolld mails list --state failed --output json")]
    List {
        /// Only those of this registration
        #[arg(long, value_name = "ID")]
        registration: Option<String>,
        /// Only those in this state
        #[arg(long, value_parser = PossibleValuesParser::new(STATES))]
        state: Option<String>,
        /// How many, and in which form.
        #[command(flatten)]
        listing: Listing,
    },
    /// Have mail sent again to an address that mail came back from
    #[command(
        after_help = "After a hard bounce nothing more is sent to an address, and its owner cannot
register. Do this once the address works again.

Example:
  enrolld mails unsuppress newbie@acme.example"
    )]
    Unsuppress {
        /// The address
        #[arg(value_parser = |text: &str| EmailAddress::new(text))]
        address: EmailAddress,
    },
    /// Send mails again: the same ones, to where their readers are reached now
    #[command(
        after_help = "A mail that is sent again keeps its Message-ID and its link: whoever has it already
may see it once. It is not sent when it no longer makes sense, when its link is
void, or when mail to the address comes back. Each mail at most 5 times a day,
a minute apart.

Example:
  enrolld mails resend 6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90 --reason \"lost by the mail server\""
    )]
    Resend {
        /// The mails' ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<Uuid>,
        /// Why.
        #[command(flatten)]
        reason: Reason,
    },
    /// Show the record of a mail
    #[command(
        after_help = "The job of the same id sends the mail: `enrolld jobs show ID` has its attempts.

Example:
  enrolld mails show 6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90"
    )]
    Show {
        /// The mail's id
        id: String,
        /// In which form.
        #[command(flatten)]
        shown: Shown,
    },
    /// Show what a kind of mail looks like, filled with sample data; nothing is connected to or sent
    #[command(
        after_help = "Name and pages of the portal are those of the settings; everything else is made up,
and the links open nothing.

Examples:
  enrolld mails preview access_request
  enrolld mails preview verification --locale nl --html > preview.html"
    )]
    Preview {
        /// Which mail
        #[arg(value_name = "KIND", value_parser = kinds())]
        kind: MailKind,
        /// In which language
        #[arg(long, value_name = "LANGUAGE", value_parser = locales(), default_value = Locale::En.as_str())]
        locale: Locale,
        /// Print the HTML document instead of subject and text
        #[arg(long)]
        html: bool,
    },
}

/// Every kind of mail, by its name in the contract.
fn kinds() -> impl TypedValueParser<Value = MailKind> {
    let names = MailKind::ALL.iter().map(|kind| kind.as_str());
    PossibleValuesParser::new(names).try_map(|name| MailKind::from_name(&name).ok_or("not a kind of mail"))
}

/// The languages of mails (D17).
fn locales() -> impl TypedValueParser<Value = Locale> {
    PossibleValuesParser::new([Locale::En, Locale::Nl].map(Locale::as_str)).map(|tag| Locale::from_tag(&tag))
}

/// Carries the verb out.
pub(super) async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    match command {
        Command::Preview { kind, locale, html } => preview(kind, locale, html, settings),
        Command::List {
            registration,
            state,
            listing,
        } => {
            let filter = Filter {
                registration_id: registration,
                state,
                limit: listing.asked(),
            };
            let mails = database::open(settings).await?.mails(&filter).await?;
            listing.write("mails", &mails, as_json, |mails| list(Screen::stdout(), mails))
        }
        Command::Unsuppress { address } => {
            if database::open(settings).await?.unsuppress(&address).await? {
                output::remark("mail is sent to this address again");
                Ok(())
            } else {
                bail!("no mail came back from this address, so nothing keeps mail from it")
            }
        }
        Command::Resend { ids, reason } => resend(&ids, &reason.order(), settings).await,
        Command::Show { id, shown } => {
            let store = database::open(settings).await?;
            let unknown = || anyhow!("no mail has the id {id:?}; `enrolld mails list` shows those there are");
            let uuid = Uuid::parse_str(&id).map_err(|_| unknown())?;
            let mail = store.mail(uuid).await?.with_context(unknown)?;
            match shown.output {
                Format::Json => output::json(&as_json(&mail)),
                Format::Table => output::text(&card(Screen::stdout(), mail)),
            }
        }
    }
}

async fn resend(ids: &[Uuid], order: &Order, settings: &Settings) -> anyhow::Result<()> {
    let store = database::open(settings).await?;
    let executor = executor_of_a_command(settings, &store).await?;
    let mut left = Vec::new();
    for id in ids {
        match Box::pin(executor.resend(*id, order)).await? {
            Resent::Queued => output::text(&id.to_string())?,
            Resent::Left(why) => left.push(format!("{id}: {why}")),
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    bail!("not sent again:\n  {}", left.join("\n  "))
}

fn preview(kind: MailKind, locale: Locale, html: bool, settings: &Settings) -> anyhow::Result<()> {
    let mail = render(kind, locale, &sample(kind, locale, Portal::from(&settings.portal)))?;
    if html {
        output::text(&mail.html)
    } else {
        output::text(&format!("Subject: {}\n\n{}", mail.subject, mail.text))
    }
}

fn list(screen: Screen, mails: &[mail::Model]) -> String {
    let now = System.now();
    let columns = [
        Column::new("ID", 0),
        Column::new("KIND", 1),
        Column::new("STATE", 0).state(),
        Column::new("REGISTRATION", 2),
        Column::new("CREATED", 4),
        Column::new("SENT", 5),
        Column::new("ADDRESS", 3).wrapped(),
    ];
    let rows = mails.iter().map(|mail| {
        [
            mail.id.clone(),
            mail.kind.clone(),
            mail.state.clone(),
            registration(mail),
            relative_ms(now, mail.created_ms),
            mail.sent_ms.map(|ms| relative_ms(now, ms)).unwrap_or_default(),
            mail.address.as_deref().map(masked).unwrap_or_default(),
        ]
    });
    table(screen, columns, rows)
}

fn card(screen: Screen, mail: mail::Model) -> String {
    let now = System.now();
    let (to, registration) = (recipient(&mail), registration(&mail));
    let mut lines = vec![
        ("Mail", mail.id),
        ("Kind", mail.kind),
        ("State", mail.state),
        ("Registration", registration),
    ];
    let mut line = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    line("To", to);
    line("Address", mail.address);
    line("Language", mail.locale);
    line("Subject", mail.subject);
    line("Created", Some(exact_ms(now, mail.created_ms)));
    line("Sent", mail.sent_ms.map(|ms| exact_ms(now, ms)));
    line("Note", mail.note);
    table::card(screen, lines)
}

fn as_json(mail: &mail::Model) -> Value {
    json!({
        "id": mail.id,
        "kind": mail.kind,
        "state": mail.state,
        "registration_id": mail.registration_id,
        "to": recipient(mail),
        "address": mail.address,
        "locale": mail.locale,
        "subject": mail.subject,
        "note": mail.note,
        "created_at": rfc3339(mail.created_ms),
        "sent_at": mail.sent_ms.map(rfc3339),
    })
}

/// The registration that the mail belongs to; `-` where it is about an account, or an alert.
fn registration(mail: &mail::Model) -> String {
    mail.registration_id.clone().unwrap_or_else(|| "-".to_owned())
}

/// Whom the mail goes to: `applicant`, `agents`, or the account of a DA. `None` when a later release wrote it.
fn recipient(mail: &mail::Model) -> Option<String> {
    let mail: Mail = serde_json::from_str(&mail.recipient).ok()?;
    Some(match mail.to {
        Recipient::Applicant => "applicant".to_owned(),
        Recipient::Account(id) => format!("account {id}"),
        Recipient::Agents => "agents".to_owned(),
        Recipient::Supervisor => "supervisor".to_owned(),
        Recipient::Ops => "ops".to_owned(),
    })
}

/// `n…@acme.example`
fn masked(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{}…@{domain}", local.chars().take(1).collect::<String>()),
        None => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_the_first_letter_and_the_domain_are_shown() {
        assert_eq!(masked("newbie@acme.example"), "n…@acme.example");
        assert_eq!(masked("\"a@b\"@acme.example"), "\"…@acme.example");
        assert_eq!(masked("nobody"), "…");
    }
}
