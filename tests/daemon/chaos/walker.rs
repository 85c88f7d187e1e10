//! One registration, and what its people do: each answer is given once, and again only until it is accepted.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::events;
use crate::support::mail::Mail;

/// Where a registration's road is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Road {
    /// Its applicant becomes DA.
    Founding,
    /// Two people of a company at once: one becomes DA, and grants the other's request (D5).
    Rival,
    /// A DA grants.
    Granted,
    /// A DA grants, gives another role, and takes it back (R58).
    Delegated,
    /// A DA denies.
    Denied,
    /// The first DA does not answer; the second grants, by the link that comes then (D1).
    Passed,
    /// The mail to the first DA comes back; the second grants, by the link that comes then (D2).
    Bounced,
    /// The only DA does not answer, and an agent rejects.
    Silent,
    /// None of the organizations is theirs: an agent asks, and appoints them.
    Appointed,
    /// An agent asks, and nobody answers: it expires.
    Unanswered,
    /// None of the organizations is theirs: an agent rejects.
    Rejected,
    /// Its applicant withdraws.
    Withdrawn,
}

impl Road {
    const ALL: [Self; 12] = [
        Self::Founding,
        Self::Granted,
        Self::Rival,
        Self::Denied,
        Self::Passed,
        Self::Delegated,
        Self::Appointed,
        Self::Unanswered,
        Self::Rejected,
        Self::Silent,
        Self::Bounced,
        Self::Withdrawn,
    ];

    /// The road of company `n`.
    pub(super) const fn of(n: usize) -> Self {
        Self::ALL[n % Self::ALL.len()]
    }

    /// How many DAs its company has at first.
    pub(super) const fn administrators(self) -> usize {
        match self {
            Self::Founding | Self::Rival | Self::Appointed | Self::Unanswered | Self::Rejected => 0,
            Self::Granted | Self::Delegated | Self::Denied | Self::Silent | Self::Withdrawn => 1,
            Self::Passed | Self::Bounced => 2,
        }
    }
}

/// What somebody does next.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Upstream adds an event.
    Event(Value),
    /// Somebody presses the button of a link page, with these fields.
    Press {
        path: String,
        fields: Vec<(&'static str, &'static str)>,
    },
}

/// What has come by mail that is needed to go on, by registration, kind and recipient.
#[derive(Debug, Default)]
pub(super) struct Post(BTreeMap<(String, String, String), Letter>);

/// A mail, as far as somebody acts on it.
#[derive(Debug)]
struct Letter {
    message_id: String,
    link_path: Option<String>,
}

impl Post {
    pub(super) fn take(&mut self, mail: &Mail) {
        if !(mail.is("verification") || mail.is("access_request")) {
            return;
        }
        let letter = Letter {
            message_id: mail.header("Message-ID").unwrap_or_default().to_owned(),
            link_path: mail.link_path().map(str::to_owned),
        };
        let to = mail.to.concat();
        self.0
            .insert((mail.registration().to_owned(), mail.kind().to_owned(), to), letter);
    }

    fn find(&self, walker: &Walker, kind: &str, name: &str) -> Option<&Letter> {
        let to = address(walker.number, name);
        self.0.get(&(walker.id(), kind.to_owned(), to))
    }
}

/// One registration.
#[derive(Debug)]
pub(super) struct Walker {
    /// Its company.
    pub(super) number: usize,
    pub(super) road: Road,
    /// The name of who registers: `a`, or of two rivals `b`.
    applicant: &'static str,
    /// What its state asks for next, until that is accepted; it may be in another state by then, since an answer that was lost has had its effect.
    pub(super) next: Option<Step>,
    /// The turn that asks for it.
    asking: String,
    /// The turns that were answered.
    answered: Vec<String>,
    /// Whether a DA has decided by a link.
    pub(super) has_decided_by_link: bool,
    pub(super) state: String,
    /// When the last answer was accepted, or the state changed.
    moved: Instant,
}

impl Walker {
    pub(super) fn new(number: usize, applicant: &'static str, submitted: Value) -> Self {
        Self {
            number,
            road: Road::of(number),
            applicant,
            next: Some(Step::Event(submitted)),
            asking: String::new(),
            answered: Vec::new(),
            has_decided_by_link: false,
            state: String::new(),
            moved: Instant::now(),
        }
    }

    pub(super) fn id(&self) -> String {
        id(self.number, self.applicant)
    }

    /// The account of who registers.
    pub(super) fn account(&self) -> String {
        format!("c{}-{}", self.number, self.applicant)
    }

    /// The address of who registers.
    pub(super) fn address(&self) -> String {
        address(self.number, self.applicant)
    }

    fn end(&self) -> &'static str {
        match self.road {
            Road::Founding
            | Road::Rival
            | Road::Granted
            | Road::Delegated
            | Road::Passed
            | Road::Bounced
            | Road::Appointed => "active",
            Road::Denied => "denied",
            Road::Silent | Road::Rejected => "rejected",
            Road::Unanswered => "expired",
            Road::Withdrawn => "withdrawn",
        }
    }

    /// Every other lap people use links where there are some.
    const fn uses_links(&self) -> bool {
        (self.number / Road::ALL.len()) % 2 == 1
    }

    /// A state, and whether something was done in it before.
    fn turn(&self) -> String {
        let again = match (self.state.as_str(), self.road) {
            ("in_review", Road::Appointed) => self.has_answered("awaiting_information"),
            ("awaiting_da", Road::Bounced) => self.has_answered("awaiting_da"),
            ("active", Road::Delegated) => self.has_answered("active"),
            _ => false,
        };
        format!("{}{}", self.state, if again { ", again" } else { "" })
    }

    fn has_answered(&self, turn: &str) -> bool {
        self.answered.iter().any(|answered| answered == turn)
    }

    pub(super) fn is_done(&self) -> bool {
        let was_delegated = self.road != Road::Delegated || self.has_answered("active, again");
        self.state == self.end() && was_delegated
    }

    /// Takes notice of where it stands. Returns how long it took to get there, unless it is time that had to pass.
    pub(super) fn stands(&mut self, state: &str, post: &Post) -> Option<std::time::Duration> {
        let mut waited = None;
        if self.state != state {
            let waits = match self.state.as_str() {
                "awaiting_da" => matches!(self.road, Road::Silent | Road::Passed | Road::Bounced),
                "awaiting_information" => self.road == Road::Unanswered,
                _ => false,
            };
            waited = (!waits).then(|| self.moved.elapsed());
            state.clone_into(&mut self.state);
            self.moved = Instant::now();
        }
        let turn = self.turn();
        if self.next.is_none() && !self.has_answered(&turn) {
            self.next = self.step(post);
            self.asking = turn;
        }
        waited
    }

    /// What was to be done is accepted.
    pub(super) fn accepted(&mut self) {
        if let Some(Step::Press { path, .. }) = self.next.take() {
            self.has_decided_by_link |= path.starts_with("/decide/");
        }
        self.answered.push(std::mem::take(&mut self.asking));
        self.moved = Instant::now();
    }

    /// What its state asks for; `None` if it is somebody else's turn.
    fn step(&self, post: &Post) -> Option<Step> {
        let id = self.id();
        let n = self.number;
        let company = format!("c{n}");
        Some(Step::Event(match (self.state.as_str(), self.road) {
            ("needs_correction", _) => events::resubmitted(&id, &format!("5{n}"), &format!("DEV{n}")),
            ("awaiting_organization", Road::Appointed | Road::Unanswered | Road::Rejected) => {
                events::organization_selected(&id, None)
            }
            ("awaiting_organization", _) => events::organization_selected(&id, Some(&company)),
            ("awaiting_email", _) => {
                let path = post.find(self, "verification", self.applicant)?.link_path.clone()?;
                if self.uses_links() {
                    let fields = Vec::new();
                    return Some(Step::Press { path, fields });
                }
                events::email_verified(&id, path.rsplit('/').next()?)
            }
            ("awaiting_confirmation", Road::Withdrawn) => events::withdrawn(&id),
            ("awaiting_confirmation", _) => events::confirmed(&id),
            ("in_review", Road::Appointed) if self.has_answered("awaiting_information") => {
                events::appointed(&id, &company)
            }
            ("in_review", Road::Appointed | Road::Unanswered) => events::asked(&id, "Where?"),
            ("in_review", Road::Silent | Road::Rejected) => events::rejected(&id, "not one of ours"),
            ("awaiting_information", Road::Appointed) => events::information_provided(&id, "here"),
            ("awaiting_da", Road::Silent) => return None,
            ("awaiting_da", Road::Bounced) if !self.has_answered("awaiting_da") => {
                let data = json!({"kind": "hard", "detail": "550 no such user"});
                let letter = post.find(self, "access_request", "da")?;
                events::event("mail.bounced", &letter.message_id, &data)
            }
            // Servers were away for so long that it has gone to an agent; the DAs asked may decide all the same (D1).
            ("in_review", _) if !self.has_answered("awaiting_da") || self.road == Road::Bounced => self.decision(),
            ("awaiting_da", Road::Passed | Road::Bounced) => {
                return self.press(post, "da2");
            }
            ("awaiting_da", Road::Granted | Road::Denied) if self.uses_links() => return self.press(post, "da"),
            ("awaiting_da", _) => self.decision(),
            ("active", Road::Delegated) if self.has_answered("active") => self.role_event("role_removed"),
            ("active", Road::Delegated) => self.role_event("role_assigned"),
            _ => return None,
        }))
    }

    /// The DA who decides.
    fn da(&self) -> String {
        let name = match (self.road, self.applicant) {
            (Road::Passed | Road::Bounced, _) => "da2",
            (Road::Rival, "a") => "b",
            (Road::Rival, _) => "a",
            _ => "da",
        };
        format!("c{}-{name}", self.number)
    }

    fn decision(&self) -> Value {
        match self.road {
            Road::Denied => events::da_denied(&self.id(), &self.da(), "not one of ours"),
            _ => events::da_granted(&self.id(), &self.da(), "customer_user"),
        }
    }

    /// The same by the link that a DA has got, if it has come.
    fn press(&self, post: &Post, da: &str) -> Option<Step> {
        let path = post.find(self, "access_request", da)?.link_path.clone()?;
        let fields = match self.road {
            Road::Denied => vec![("decision", "deny"), ("reason", "not one of ours")],
            _ => vec![("decision", "grant"), ("role", "customer_user")],
        };
        Some(Step::Press { path, fields })
    }

    fn role_event(&self, kind: &str) -> Value {
        let data = json!({"by": self.da(), "organization_id": format!("c{}", self.number), "role": "api_developer"});
        events::event(&format!("delegation.{kind}"), &self.account(), &data)
    }
}

/// The registration of a company's applicant.
pub(super) fn id(number: usize, applicant: &str) -> String {
    match applicant {
        "a" => format!("reg-{number}"),
        other => format!("reg-{number}-{other}"),
    }
}

fn address(number: usize, name: &str) -> String {
    format!("{name}@c{number}.example")
}
