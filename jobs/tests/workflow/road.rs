//! A small directory, and a registration that is led along its road event by event.

mod came_to;
mod everywhere;

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Duration, NaiveDate, TimeZone, Utc};
use enrolld_jobs::{
    cloud_event::{DaDecision, ReviewDecision},
    decide::{Decided, Decision, decide, submit},
    directory::{Account, AccountStatus, Administrator, ApplicantFacts, Contract, Organization, SiteFacts},
    event::{Chosen, EnteredNumbers, Event, Facts, Present},
    refusal::Refusal,
    registration::{FieldErrorCode, PendingSync, Registration, ReviewReason, State, StateName},
    rules::Rules,
    values::{AccountId, EmailAddress, Entered, OrganizationId, RegistrationId, Role},
};
use uuid::Uuid;

pub(crate) use self::{
    came_to::{acts, gives, mail, mails, wakes},
    everywhere::everywhere,
};

/// Reading the shipped list of personal domains once is enough.
static RULES: LazyLock<Arc<Rules>> = LazyLock::new(Arc::default);

/// The rules with so many of the targets `portal` and `reports`.
pub(crate) fn rules_with(targets: usize) -> Arc<Rules> {
    static WITH: LazyLock<[Arc<Rules>; 3]> = LazyLock::new(|| {
        [&[][..], &["portal"], &["portal", "reports"]].map(|names| {
            Arc::new(Rules {
                targets: names.iter().map(|&name| name.to_owned()).collect(),
                ..Rules::default()
            })
        })
    });
    Arc::clone(&WITH[targets])
}

pub(crate) fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, 9, 0, 0).single().expect("a moment")
}

pub(crate) fn account_id(id: &str) -> AccountId {
    AccountId::new(id).expect("an account id")
}

pub(crate) fn organization_id(id: &str) -> OrganizationId {
    OrganizationId::new(id).expect("an organization id")
}

pub(crate) fn numbers(contract: &str, serial: &str) -> EnteredNumbers {
    EnteredNumbers {
        contract: Entered::new(contract),
        serial: Entered::uppercase(serial),
    }
}

pub(crate) fn account(id: &str) -> Account {
    Account {
        id: account_id(id),
        name: format!("{id} of ACME"),
        email: Some(format!("{id}@acme.example")),
        status: AccountStatus::Active,
        locale: "en".to_owned(),
        flagged: false,
        contracts: vec!["93988396".to_owned()],
    }
}

pub(crate) fn organization(id: &str, parent: Option<&str>) -> Organization {
    Organization {
        id: organization_id(id),
        name: "ACME INC".to_owned(),
        address: vec![format!("1 {id} ST")],
        country: "US".to_owned(),
        parent_id: parent.map(organization_id),
        email_domains: Vec::new(),
        flagged: false,
    }
}

/// A reachable DA of an organization.
pub(crate) fn da(id: &str, of: &str) -> Administrator {
    Administrator {
        account_id: account_id(id),
        organization_id: organization_id(of),
        name: format!("{id} of ACME"),
        email: EmailAddress::new(format!("{id}@acme.example")).ok(),
        address: vec![format!("1 {of} ST")],
        reachable: true,
    }
}

/// Facts with nothing wrong: a site `site` below `root`, and these DAs.
pub(crate) fn good(administrators: Vec<Administrator>) -> Present {
    Present {
        applicant: ApplicantFacts {
            account: Some(account("newbie")),
            contract: Some(Contract {
                number: "93988396".to_owned(),
                kind: "smart_net_total_care".to_owned(),
                status: "active".to_owned(),
                ends_on: NaiveDate::from_ymd_opt(2027, 12, 31),
                organization_id: organization_id("site"),
                flagged: false,
            }),
            covered: true,
        },
        site: Some(SiteFacts {
            chain: vec![organization("root", None), organization("site", Some("root"))],
            administrators,
        }),
        holds_access: false,
        failed_attempts: 0,
        undeliverable: false,
        open_requests: Vec::new(),
    }
}

/// The facts about another company's only organization, which an agent may choose.
pub(crate) fn company(id: &str, administrators: Vec<Administrator>) -> SiteFacts {
    SiteFacts {
        chain: vec![organization(id, None)],
        administrators,
    }
}

/// [`good`] facts, changed.
pub(crate) fn good_but(administrators: Vec<Administrator>, change: impl FnOnce(&mut Present)) -> Present {
    let mut present = good(administrators);
    change(&mut present);
    present
}

/// [`good`] facts without DA, with another address in the profile.
pub(crate) fn with_email(email: Option<&str>) -> Present {
    good_but(vec![], |present| {
        present.applicant.account.as_mut().expect("a profile").email = email.map(str::to_owned);
    })
}

pub(crate) fn grant(by: &str) -> Event {
    Event::DaDecided {
        by: account_id(by),
        decision: DaDecision::Grant {
            role: Role::CustomerUser,
        },
        reason: None,
        via_link: false,
    }
}

pub(crate) fn deny(by: &str) -> Event {
    Event::DaDecided {
        by: account_id(by),
        decision: DaDecision::Deny,
        reason: Some("not one of ours".to_owned()),
        via_link: false,
    }
}

/// What the agent `smith` decides.
pub(crate) fn reviewed(decision: ReviewDecision) -> Event {
    Event::ReviewDecided {
        agent: "smith".to_owned(),
        decision,
        reason: None,
    }
}

pub(crate) fn appoint(of: &str) -> Event {
    reviewed(ReviewDecision::Appoint {
        organization_id: organization_id(of),
    })
}

pub(crate) fn route_to(organization: &str) -> Event {
    reviewed(ReviewDecision::Route {
        organization_id: organization_id(organization),
    })
}

pub(crate) fn question() -> Event {
    reviewed(ReviewDecision::Ask {
        question: "Which site?".to_owned(),
    })
}

pub(crate) fn answer() -> Event {
    Event::InformationProvided {
        answer: "San Jose".to_owned(),
    }
}

pub(crate) fn selected(organization: &str) -> Event {
    Event::OrganizationSelected(Some(organization_id(organization)))
}

/// A registration under way, and the clock beside it.
#[derive(Clone)]
pub(crate) struct Road {
    pub(crate) registration: Registration,
    pub(crate) now: DateTime<Utc>,
    pub(crate) rules: Arc<Rules>,
    /// What an agent may choose, besides the organizations of the present facts.
    pub(crate) companies: Vec<SiteFacts>,
}

impl Road {
    /// Submitted with the numbers of [`good`].
    pub(crate) fn submitted() -> Self {
        Self::submitted_with(numbers("93988396", "FOC1436Y3XK"))
    }

    pub(crate) fn submitted_with(numbers: EnteredNumbers) -> Self {
        let id = RegistrationId::new("reg-1").expect("an id");
        let event = Event::Submitted {
            account_id: account_id("newbie"),
            numbers,
        };
        let Decided::Decision(decision) = submit(&id, &event, start()) else {
            panic!("submitting was refused");
        };
        Self {
            registration: decision.registration,
            now: start(),
            rules: Arc::clone(&RULES),
            companies: Vec::new(),
        }
    }

    /// Verified and routed.
    pub(crate) fn routed(present: &Present) -> Self {
        let mut road = Self::submitted();
        road.verify(present);
        road.route(present);
        road
    }

    /// `awaiting_da`, on facts with DAs.
    pub(crate) fn awaiting_da(present: &Present) -> Self {
        let mut road = Self::routed(present);
        road.does(&Event::Confirmed, present);
        assert_eq!(road.state(), StateName::AwaitingDa);
        road
    }

    /// `awaiting_email` for the organization `root`, on facts without DA.
    pub(crate) fn awaiting_email() -> Self {
        let present = good(vec![]);
        let mut road = Self::routed(&present);
        road.does(&selected("root"), &present);
        assert_eq!(road.state(), StateName::AwaitingEmail);
        road
    }

    /// Access granted by the DA `boss`, to be set up at so many targets.
    pub(crate) fn granted(targets: usize) -> Self {
        let present = good(vec![da("boss", "root")]);
        let mut road = Self::awaiting_da(&present);
        road.rules = rules_with(targets);
        road.does(&grant("boss"), &present);
        road
    }

    /// Appointed DA of `root`, to be set up at so many targets.
    pub(crate) fn appointed(targets: usize) -> Self {
        let mut road = Self::awaiting_email();
        road.rules = rules_with(targets);
        road.does(&road.link_used(), &good(vec![]));
        road
    }

    /// What has not been confirmed yet.
    pub(crate) fn pending(&self) -> Vec<PendingSync> {
        let State::Provisioning { pending, .. } = &self.registration.state else {
            panic!("nothing is set up in {:?}", self.state());
        };
        pending.clone()
    }

    pub(crate) fn state(&self) -> StateName {
        self.registration.state.name()
    }

    pub(crate) fn after(&mut self, wait: Duration) -> &mut Self {
        self.now += wait;
        self
    }

    /// In review, after *None of the above*, on facts without DA.
    pub(crate) fn in_review() -> Self {
        let present = good(vec![]);
        let mut road = Self::routed(&present);
        road.does(&Event::OrganizationSelected(None), &present);
        assert_eq!(road.state(), StateName::InReview);
        road
    }

    /// Decides on these facts and, where it is asked for, on those of an organization that an agent chose.
    pub(crate) fn decide(&self, event: &Event, present: &Present) -> Decided {
        let mut facts = Facts {
            present: Some(present.clone()),
            chosen: None,
        };
        let decided = decide(&self.registration, event, &facts, self.now, &self.rules);
        let Decided::NeedsOrganization(id) = decided else {
            return decided;
        };
        facts.chosen = Some(self.chosen(&id, present).map_or(Chosen::Unknown, Chosen::Site));
        decide(&self.registration, event, &facts, self.now, &self.rules)
    }

    fn chosen(&self, id: &OrganizationId, present: &Present) -> Option<SiteFacts> {
        let mut known = present.site.iter().chain(&self.companies);
        known.find_map(|site| {
            let level = site.chain.iter().position(|o| o.id == *id)?;
            Some(SiteFacts {
                chain: site.chain[..=level].to_vec(),
                administrators: site.administrators_of(id),
            })
        })
    }

    /// The timer that is set goes off: at the deadline, or now if that is past.
    pub(crate) fn time_is_up(&mut self, present: &Present) -> Decision {
        self.now = self.now.max(self.deadline());
        let step = self.registration.step;
        self.does(&Event::TimeIsUp { step }, present)
    }

    pub(crate) fn deadline(&self) -> DateTime<Utc> {
        self.registration.deadline.expect("a deadline")
    }

    /// Who was asked so far; the last is asked now.
    pub(crate) fn asked(&self) -> Vec<&str> {
        let State::AwaitingDa { asked } = &self.registration.state else {
            panic!("nobody is asked in {:?}", self.state());
        };
        asked
            .iter()
            .map(|asked| asked.administrator.account_id.as_str())
            .collect()
    }

    pub(crate) fn review_reason(&self) -> ReviewReason {
        let State::InReview { reason, .. } = &self.registration.state else {
            panic!("no agent in {:?}", self.state());
        };
        *reason
    }

    /// What is decided must be a change; it is made.
    pub(crate) fn does(&mut self, event: &Event, present: &Present) -> Decision {
        match self.decide(event, present) {
            Decided::Decision(decision) => {
                self.registration = decision.registration.clone();
                *decision
            }
            other => panic!("{event:?} in {:?} came to {other:?}", self.state()),
        }
    }

    /// What is decided must be a refusal.
    pub(crate) fn refused(&self, event: &Event, present: &Present) -> Refusal {
        match self.decide(event, present) {
            Decided::Refusal(refusal) => refusal,
            other => panic!("{event:?} in {:?} came to {other:?}", self.state()),
        }
    }

    pub(crate) fn verify(&mut self, present: &Present) -> Decision {
        let step = self.registration.step;
        self.does(&Event::Verify { step }, present)
    }

    pub(crate) fn route(&mut self, present: &Present) -> Decision {
        let step = self.registration.step;
        self.does(&Event::Route { step }, present)
    }

    /// The link in the newest verification mail.
    pub(crate) fn link(&self) -> Uuid {
        let State::AwaitingEmail { link } = &self.registration.state else {
            panic!("no link in {:?}", self.state());
        };
        link.id
    }

    /// The event of the newest link being used.
    pub(crate) fn link_used(&self) -> Event {
        Event::EmailVerified {
            link: Some(self.link()),
        }
    }

    pub(crate) fn field_errors(&self) -> Vec<FieldErrorCode> {
        let State::NeedsCorrection { errors } = &self.registration.state else {
            panic!("no field errors in {:?}", self.state());
        };
        errors.iter().map(|error| error.code).collect()
    }
}

/// The field errors of a fresh registration on these facts.
pub(crate) fn errors_on(present: &Present) -> Vec<FieldErrorCode> {
    let mut road = Road::submitted();
    road.verify(present);
    road.field_errors()
}
