//! What holds whatever happens, in whatever order, on whatever facts.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use enrolld_jobs::{
    cloud_event::{DaDecision, ReviewDecision, UpstreamEvent},
    da_routing::{Appointment, administrators},
    decide::{Decided, Decision, allowed},
    directory::{Account, AccountStatus, Administrator, ApplicantFacts, Contract, Organization, SiteFacts},
    effect::{Effect, MailKind, effect_id},
    event::{Event, Present},
    job::JobKind,
    registration::{Registration, State, StateName},
    values::{AccountId, OrganizationId, Role},
    verification::verify,
    view::{RegistrationChanged, RegistrationView},
};
use proptest::{prelude::*, sample::select};
use uuid::Uuid;

use crate::road::{Road, account, account_id, da, good, numbers, organization, organization_id, start};

/// An event as it is drawn: what names the registration's own step, link or organizations is filled in when it happens.
#[derive(Debug, Clone)]
enum Drawn {
    /// What a road that goes well has next.
    Onward {
        grant: bool,
    },
    Submitted,
    Resubmitted(&'static str, &'static str),
    Confirmed,
    Selected(Option<&'static str>),
    Resend,
    LinkUsed(DrawnLink),
    Decided(&'static str, bool),
    Review,
    Information,
    Withdrawn,
    Verify {
        behind: u32,
    },
    Route {
        behind: u32,
    },
}

#[derive(Debug, Clone, Copy)]
enum DrawnLink {
    Newest,
    UsedBefore,
    OfAnother,
    Unknown,
}

impl Drawn {
    fn event(&self, registration: &Registration) -> Event {
        match self {
            Self::Onward { grant } => onward(registration, *grant).event(registration),
            Self::Submitted => Event::Submitted {
                account_id: account_id("newbie"),
                numbers: numbers("1", "ABC"),
            },
            Self::Resubmitted(contract, serial) => Event::Resubmitted(numbers(contract, serial)),
            Self::Confirmed => Event::Confirmed,
            Self::Selected(choice) => Event::OrganizationSelected(choice.map(organization_id)),
            Self::Resend => Event::ResendRequested,
            Self::LinkUsed(which) => Event::EmailVerified {
                link: match (which, &registration.state) {
                    (DrawnLink::Newest, State::AwaitingEmail { link }) => Some(link.id),
                    (DrawnLink::Newest | DrawnLink::UsedBefore, _) => {
                        registration.verified_email.as_ref().map(|verified| verified.link)
                    }
                    (DrawnLink::OfAnother, _) => Some(Uuid::from_u128(1)),
                    (DrawnLink::Unknown, _) => None,
                },
            },
            Self::Decided(by, grant) => Event::DaDecided {
                by: account_id(by),
                decision: if *grant {
                    DaDecision::Grant {
                        role: Role::PartnerUser,
                    }
                } else {
                    DaDecision::Deny
                },
                reason: None,
            },
            Self::Review => Event::ReviewDecided {
                agent: "smith".to_owned(),
                decision: ReviewDecision::Reject,
                reason: None,
            },
            Self::Information => Event::InformationProvided {
                answer: "yes".to_owned(),
            },
            Self::Withdrawn => Event::Withdrawn,
            Self::Verify { behind } => Event::Verify {
                step: registration.step.saturating_sub(*behind),
            },
            Self::Route { behind } => Event::Route {
                step: registration.step.saturating_sub(*behind),
            },
        }
    }
}

fn onward(registration: &Registration, grant: bool) -> Drawn {
    match registration.state.name() {
        StateName::Verifying => Drawn::Verify { behind: 0 },
        StateName::NeedsCorrection => Drawn::Resubmitted("93988396", "FOC1436Y3XK"),
        StateName::Routing => Drawn::Route { behind: 0 },
        StateName::AwaitingConfirmation => Drawn::Confirmed,
        StateName::AwaitingOrganization => Drawn::Selected(Some("root")),
        StateName::AwaitingEmail => Drawn::LinkUsed(DrawnLink::Newest),
        StateName::AwaitingDa => Drawn::Decided("boss", grant),
        StateName::InReview
        | StateName::AwaitingInformation
        | StateName::Provisioning
        | StateName::Active
        | StateName::Denied
        | StateName::Rejected
        | StateName::Withdrawn
        | StateName::Expired => Drawn::Withdrawn,
    }
}

/// Weighted so that roads are also walked to their ends.
fn drawn() -> impl Strategy<Value = Drawn> {
    prop_oneof![
        20 => any::<bool>().prop_map(|grant| Drawn::Onward { grant }),
        1 => Just(Drawn::Submitted),
        1 => select(vec![("93988396", "FOC1436Y3XK"), ("", "FOC1436Y3XK"), ("93988396", "_")])
            .prop_map(|(contract, serial)| Drawn::Resubmitted(contract, serial)),
        4 => Just(Drawn::Confirmed),
        6 => select(vec![Some("root"), Some("site"), Some("site"), Some("elsewhere"), None]).prop_map(Drawn::Selected),
        1 => Just(Drawn::Resend),
        6 => select(vec![
            DrawnLink::Newest,
            DrawnLink::Newest,
            DrawnLink::Newest,
            DrawnLink::UsedBefore,
            DrawnLink::OfAnother,
            DrawnLink::Unknown
        ])
        .prop_map(Drawn::LinkUsed),
        5 => (select(vec!["boss", "second", "newbie", "rival", "stranger"]), any::<bool>())
            .prop_map(|(by, grant)| Drawn::Decided(by, grant)),
        1 => Just(Drawn::Review),
        1 => Just(Drawn::Information),
        1 => Just(Drawn::Withdrawn),
        6 => select(vec![0, 0, 0, 1, 2]).prop_map(|behind| Drawn::Verify { behind }),
        6 => select(vec![0, 0, 0, 1, 2]).prop_map(|behind| Drawn::Route { behind }),
    ]
}

/// Facts that need not agree with what was said before, mostly good.
fn any_facts() -> impl Strategy<Value = Present> {
    let administrators = prop::collection::vec(
        (
            select(vec!["boss", "second", "newbie"]),
            select(vec!["root", "site"]),
            prop::bool::weighted(0.7),
        ),
        0..3,
    );
    let email = select(vec![
        Some("newbie@acme.example"),
        Some("newbie@acme.example"),
        Some("other@acme.example"),
        Some("newbie@gmail.com"),
        None,
    ]);
    let rarely = || prop::bool::weighted(0.06);
    let site = select(vec!["site", "site", "site", "other-site"]);
    (
        administrators,
        email,
        site,
        [rarely(), rarely(), rarely(), rarely(), rarely(), rarely(), rarely()],
    )
        .prop_map(
            |(
                administrators,
                email,
                site,
                [
                    no_account,
                    no_contract,
                    uncovered,
                    no_site,
                    holds_access,
                    flagged,
                    ended,
                ],
            )| {
                let administrators = administrators
                    .into_iter()
                    .map(|(id, of, reachable)| Administrator {
                        reachable,
                        ..da(id, of)
                    })
                    .collect();
                let mut present = good(administrators);
                let applicant = &mut present.applicant;
                if let Some(account) = &mut applicant.account {
                    account.email = email.map(str::to_owned);
                    account.flagged = flagged;
                }
                if let Some(contract) = &mut applicant.contract
                    && ended
                {
                    contract.status = "ended".to_owned();
                }
                if no_account {
                    applicant.account = None;
                }
                if no_contract {
                    applicant.contract = None;
                }
                applicant.covered = !uncovered && applicant.contract.is_some();
                if let Some(facts) = &mut present.site {
                    facts.chain[1] = organization(site, Some("root"));
                }
                if no_site {
                    present.site = None;
                }
                present.holds_access = holds_access;
                present
            },
        )
}

/// Checks one decision against every invariant, and makes it.
fn step(road: &mut Road, event: &Event, present: &Present) -> Option<Decision> {
    let before = road.registration.clone();
    let from = before.state.name();
    let upstream = UpstreamEvent::TYPES.contains(&event.name());
    let listed = allowed(from).contains(&event.name());
    match road.decide(event, present) {
        Decided::NeedsPresentFacts => panic!("{event:?} in {from:?} asks for facts that it was given"),
        Decided::Ignored => {
            assert!(
                !upstream,
                "{event:?} in {from:?}: nothing of upstream is silently ignored"
            );
            None
        }
        Decided::Refusal(refusal) => {
            assert!(upstream, "{event:?} in {from:?}: a job's answer is not refused");
            assert!(
                !listed || refusal.code() != "wrong_state",
                "{event:?} in {from:?}: listed as allowed"
            );
            assert!(!refusal.code().is_empty());
            None
        }
        Decided::Decision(decision) => {
            assert!(!from.is_final(), "{event:?} changed the final state {from:?}");
            assert!(!upstream || listed, "{event:?} is taken in {from:?} and not listed");
            check_change(&before, event, present, &decision, road);
            road.registration = decision.registration.clone();
            Some(*decision)
        }
    }
}

fn check_change(before: &Registration, event: &Event, present: &Present, decision: &Decision, road: &Road) {
    let after = &decision.registration;
    let (from, to) = (before.state.name(), after.state.name());
    let change = format!("{event:?} led from {from:?} to {to:?}");
    assert_eq!(after.version, before.version + 1, "{change}");
    assert!(after.step == before.step || after.step == before.step + 1, "{change}");
    assert!(
        from == to || after.step > before.step,
        "{change}: another wait is another step"
    );
    assert_eq!(
        (&after.id, &after.account_id, after.created_at),
        (&before.id, &before.account_id, before.created_at)
    );
    assert_eq!(decision.entry.detail["to"], to.as_str());

    let gives_access = |effect: &Effect| matches!(effect, Effect::Appoint { .. } | Effect::Grant { .. });
    let today = road.now.date_naive();
    if decision.effects.iter().any(gives_access) {
        assert!(
            verify(before, present, &road.rules.personal_domains, today).is_empty(),
            "{change}: D21"
        );
        assert!(
            matches!(after.state, State::Provisioning { .. } | State::Active { .. }),
            "{change}"
        );
        assert!(decision.rests_on_tree, "{change}");
    } else {
        assert_ne!(to, StateName::Active, "{change}: active without access");
    }

    let mailed = |kind| {
        decision
            .effects
            .iter()
            .any(|e| matches!(e, Effect::Mail(mail) if mail.kind == kind))
    };
    if mailed(MailKind::AccessRequest) || mailed(MailKind::AccessRequestNotice) {
        let confirmed = *event == Event::Confirmed || mailed(MailKind::Rerouted);
        assert!(confirmed, "{change}: R34");
    }

    // Somebody or something holds every wait.
    let runs = |kind| decision.effects.contains(&Effect::Run(kind));
    assert_eq!(to == StateName::Verifying, runs(JobKind::Verification), "{change}");
    assert_eq!(to == StateName::Routing, runs(JobKind::DaRouting), "{change}");
    match &after.state {
        State::NeedsCorrection { errors } => assert!(!errors.is_empty(), "{change}"),
        State::AwaitingConfirmation => assert!(after.delegated_administrator().is_some(), "{change}"),
        State::AwaitingEmail { link } if after.step != before.step => {
            let made = |(index, effect): (usize, &Effect)| match effect {
                Effect::IssueLink { address, valid_until } => {
                    effect_id(&after.id, after.version, index) == link.id
                        && *address == link.address
                        && *valid_until == link.valid_until
                }
                _ => false,
            };
            assert!(decision.effects.iter().enumerate().any(made), "{change}: no link");
            assert!(mailed(MailKind::Verification), "{change}: no mail");
        }
        State::AwaitingDa { asked } => {
            let asked = &asked.last().expect("somebody is asked").administrator;
            assert!(asked.reachable && asked.account_id != after.account_id, "{change}");
            assert!(mailed(MailKind::AccessRequest), "{change}: nobody was asked");
        }
        State::InReview { .. } => assert!(mailed(MailKind::ReviewCase), "{change}: no agent was told"),
        _ => {}
    }

    // It can be shown, and stored.
    let view = serde_json::to_value(RegistrationView::new(after, vec![])).expect("a view");
    assert_eq!(view["state"], to.as_str());
    serde_json::to_string(&RegistrationChanged::new(after)).expect("a change");
    let stored = serde_json::to_value(after).expect("a row");
    assert_eq!(
        &serde_json::from_value::<Registration>(stored).expect("a registration"),
        after
    );
}

/// One tree with two sites, shared by the registrations of two people: what they do changes the other's facts.
struct World {
    organizations: BTreeMap<OrganizationId, Organization>,
    profiles: BTreeMap<AccountId, Account>,
    appointments: Vec<Appointment>,
    access: BTreeSet<(AccountId, OrganizationId)>,
    contract_active: bool,
}

impl World {
    fn new(with_da: bool) -> Self {
        let organizations = [organization("root", None), organization("site", Some("root"))];
        let profiles = ["newbie", "rival", "boss"].map(|id| (account_id(id), account(id)));
        let appointments = with_da.then(|| appointment(&profiles[2].1, "site", start(), 0));
        Self {
            organizations: organizations.into_iter().map(|o| (o.id.clone(), o)).collect(),
            profiles: profiles.into_iter().collect(),
            appointments: appointments.into_iter().collect(),
            access: BTreeSet::new(),
            contract_active: true,
        }
    }

    /// The facts as they are, for one who has contract 93988396 for `site`.
    fn present(&self, registration: &Registration) -> Present {
        let account = self.profiles.get(&registration.account_id).cloned();
        let contract = (registration.contract_number.as_str() == "93988396").then(|| Contract {
            status: if self.contract_active { "active" } else { "ended" }.to_owned(),
            ..good(vec![]).applicant.contract.expect("a contract")
        });
        let chain: Vec<_> = ["root", "site"]
            .iter()
            .map(|id| self.organizations[&organization_id(id)].clone())
            .collect();
        let holds = |o: &Organization| self.access.contains(&(registration.account_id.clone(), o.id.clone()));
        Present {
            holds_access: chain.iter().any(holds),
            applicant: ApplicantFacts {
                account,
                covered: contract.is_some() && registration.serial_number.as_str() == "FOC1436Y3XK",
                contract,
            },
            site: Some(SiteFacts {
                administrators: administrators(&chain, self.current_appointments()),
                chain,
            }),
        }
    }

    /// Appointments with their accounts as they are now.
    fn current_appointments(&self) -> Vec<Appointment> {
        let now = |appointment: &Appointment| Appointment {
            account: self.profiles[&appointment.account.id].clone(),
            ..appointment.clone()
        };
        self.appointments.iter().map(now).collect()
    }

    /// Carries out what a decision wants; the first DA of an organization must be the only one to become it so.
    fn carry_out(&mut self, decision: &Decision, at: DateTime<Utc>) {
        for effect in &decision.effects {
            match effect {
                Effect::Appoint {
                    account_id,
                    organization_id,
                } => {
                    let covers =
                        |a: &Appointment| a.organization_id == *organization_id || a.organization_id.as_str() == "root";
                    assert!(
                        !self.appointments.iter().any(covers),
                        "D5: {organization_id} had a DA already"
                    );
                    let position = i64::try_from(self.appointments.len()).expect("few");
                    let account = &self.profiles[account_id];
                    self.appointments
                        .push(appointment(account, organization_id.as_str(), at, position));
                }
                Effect::Grant {
                    account_id,
                    organization_id,
                    ..
                } => {
                    self.access.insert((account_id.clone(), organization_id.clone()));
                }
                Effect::Run(_) | Effect::Mail(_) | Effect::IssueLink { .. } => {}
            }
        }
    }

    fn changes(&mut self, change: &WorldChange) {
        match change {
            WorldChange::None => {}
            WorldChange::Contract(active) => self.contract_active = *active,
            WorldChange::Email(id, email) => {
                self.profiles.get_mut(&account_id(id)).expect("a profile").email = Some((*email).to_owned());
            }
            WorldChange::Status(id, status) => {
                self.profiles.get_mut(&account_id(id)).expect("a profile").status = *status;
            }
        }
    }
}

fn appointment(account: &Account, of: &str, since: DateTime<Utc>, position: i64) -> Appointment {
    Appointment {
        account: account.clone(),
        organization_id: organization_id(of),
        since,
        position,
    }
}

#[derive(Debug, Clone)]
enum WorldChange {
    None,
    Contract(bool),
    Email(&'static str, &'static str),
    Status(&'static str, AccountStatus),
}

fn world_change() -> impl Strategy<Value = WorldChange> {
    let who = || select(vec!["newbie", "rival", "boss"]);
    prop_oneof![
        20 => Just(WorldChange::None),
        1 => prop::bool::weighted(0.8).prop_map(WorldChange::Contract),
        1 => (who(), select(vec!["a@acme.example", "b@acme.example", "c@yahoo.de"]))
            .prop_map(|(id, email)| WorldChange::Email(id, email)),
        1 => (who(), select(vec![AccountStatus::Active, AccountStatus::Active, AccountStatus::Inactive]))
            .prop_map(|(id, status)| WorldChange::Status(id, status)),
    ]
}

/// The two people's registrations, both submitted.
fn two_roads() -> [Road; 2] {
    let mut rival = Road::submitted();
    rival.registration.account_id = account_id("rival");
    rival.registration.id = enrolld_jobs::values::RegistrationId::new("reg-2").expect("an id");
    [Road::submitted(), rival]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_on_whatever_facts_the_invariants_hold(
        happenings in prop::collection::vec((drawn(), any_facts(), 0..4_000i64), 1..60),
    ) {
        let mut road = Road::submitted();
        for (drawn, present, seconds) in happenings {
            road.after(Duration::seconds(seconds));
            let event = drawn.event(&road.registration);
            step(&mut road, &event, &present);
        }
    }

    #[test]
    fn d5_on_honest_facts_no_organization_gets_two_founding_das(
        with_da in prop::bool::weighted(0.2),
        happenings in prop::collection::vec((0..2usize, drawn(), world_change(), 0..4_000i64), 1..80),
    ) {
        let mut world = World::new(with_da);
        let mut roads = two_roads();
        let mut now = start();
        for (who, drawn, change, seconds) in happenings {
            now += Duration::seconds(seconds);
            world.changes(&change);
            let road = &mut roads[who];
            road.now = now;
            let present = world.present(&road.registration);
            let event = drawn.event(&road.registration);
            if let Some(decision) = step(road, &event, &present) {
                world.carry_out(&decision, now);
            }
        }
    }
}

/// The properties above say something only if roads drawn like this reach their ends.
#[test]
fn drawn_roads_reach_every_state_of_this_release() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let happenings = prop::collection::vec((drawn(), any_facts(), 0..4_000i64), 60);
    let mut reached = BTreeSet::new();
    for _ in 0..400 {
        let mut road = Road::submitted();
        for (drawn, present, seconds) in happenings.new_tree(&mut runner).expect("a case").current() {
            road.after(Duration::seconds(seconds));
            let event = drawn.event(&road.registration);
            step(&mut road, &event, &present);
            reached.insert(road.state().as_str());
        }
    }
    let later = ["awaiting_information", "provisioning", "rejected", "expired"];
    let expected: BTreeSet<_> = StateName::ALL
        .iter()
        .map(|state| state.as_str())
        .filter(|s| !later.contains(s))
        .collect();
    assert_eq!(reached, expected);
}
