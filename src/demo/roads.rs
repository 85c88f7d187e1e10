//! The roads that the demo walks, as data.

use std::fmt;

use serde_json::{Value, json};

/// One registration's way, or a few that meet.
pub(super) struct Road {
    /// What it shows.
    pub(super) title: &'static str,
    /// What happens, in order.
    pub(super) steps: Vec<Step>,
}

/// Something that somebody does, or waits for.
pub(super) enum Step {
    /// The portal adds an event to the intake.
    Send {
        /// The event's type.
        kind: &'static str,
        /// The registration.
        subject: &'static str,
        /// The data.
        data: Value,
    },
    /// A careless sender adds something else.
    SendBroken(&'static str),
    /// The portal sees the registration reach a state.
    Await {
        /// The registration.
        subject: &'static str,
        /// The state.
        state: &'static str,
    },
    /// A person waits for a mail, opens its link, and presses the page's button.
    OpenLink {
        /// Who.
        address: &'static str,
        /// The mail's subject.
        mail: &'static str,
    },
    /// A person waits for a mail.
    Mail {
        /// Who.
        address: &'static str,
        /// How the mail's subject begins.
        mail: &'static str,
    },
    /// The portal sees so many refused events.
    Refused(usize),
}

impl Road {
    /// The registrations that it is about, in the order in which they come up.
    pub(super) fn registrations(&self) -> Vec<&'static str> {
        let mut ids = Vec::new();
        for step in &self.steps {
            if let Step::Send { subject, .. } | Step::Await { subject, .. } = step
                && !ids.contains(subject)
            {
                ids.push(*subject);
            }
        }
        ids
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { kind, subject, .. } => write!(f, "{subject}: {kind}"),
            Self::SendBroken(_) => f.write_str("a broken entry"),
            Self::Await { subject, state } => write!(f, "{subject}: {state}"),
            Self::OpenLink { address, .. } => write!(f, "{address} opens the link"),
            Self::Mail { address, mail } => write!(f, "{address} reads “{mail}”"),
            Self::Refused(number) => write!(f, "{number} refused"),
        }
    }
}

/// All roads, in the order in which they are walked.
pub(super) fn all() -> Vec<Road> {
    vec![
        becoming_the_da(),
        overtaken(),
        granted(),
        denied(),
        none_of_the_above(),
        wrong_data(),
        personal_address(),
        refused(),
    ]
}

fn submitted(subject: &'static str, account: &str, contract: &str, serial: &str) -> Step {
    let data = json!({"account_id": account, "contract_number": contract, "serial_number": serial});
    Step::Send {
        kind: "registration.submitted",
        subject,
        data,
    }
}

fn send(kind: &'static str, subject: &'static str) -> Step {
    Step::Send {
        kind,
        subject,
        data: json!({}),
    }
}

fn selected(subject: &'static str, organization: &str) -> Step {
    Step::Send {
        kind: "registration.organization_selected",
        subject,
        data: json!({"organization_id": organization}),
    }
}

const VERIFY: &str = "Verify your e-mail address";

fn becoming_the_da() -> Road {
    let newbie = "newbie@acme.example";
    Road {
        title: "Becoming the DA, after a typing error in the serial number",
        steps: vec![
            submitted("newbie-1", "newbie", "93988396", "FOC1436Y3XX"),
            Step::Await {
                subject: "newbie-1",
                state: "needs_correction",
            },
            Step::Send {
                kind: "registration.resubmitted",
                subject: "newbie-1",
                data: json!({"contract_number": "93988396", "serial_number": "FOC1436Y3XK"}),
            },
            Step::Await {
                subject: "newbie-1",
                state: "awaiting_organization",
            },
            // A colleague is as far; only one of them can be first.
            submitted("colleague-1", "colleague", "93988396", "FOC1436Y3XK"),
            Step::Await {
                subject: "colleague-1",
                state: "awaiting_organization",
            },
            selected("newbie-1", "acme"),
            selected("colleague-1", "acme"),
            Step::OpenLink {
                address: newbie,
                mail: VERIFY,
            },
            Step::Await {
                subject: "newbie-1",
                state: "active",
            },
            Step::Mail {
                address: newbie,
                mail: "Welcome to the portal",
            },
            Step::Mail {
                address: newbie,
                mail: "Portal access as Customer Administrator",
            },
            Step::Mail {
                address: newbie,
                mail: "Accept the Delegated Administrator terms and conditions",
            },
        ],
    }
}

fn overtaken() -> Road {
    let casey = "casey@acme.example";
    Road {
        title: "Overtaken: somebody else became DA first, and now decides",
        steps: vec![
            Step::OpenLink {
                address: casey,
                mail: VERIFY,
            },
            Step::Await {
                subject: "colleague-1",
                state: "awaiting_da",
            },
            Step::Mail {
                address: casey,
                mail: "Your request was forwarded to your Delegated Administrator",
            },
            Step::Mail {
                address: "newbie@acme.example",
                mail: "Access request from Casey Colleague",
            },
            Step::Send {
                kind: "registration.da_decided",
                subject: "colleague-1",
                data: json!({"da_account_id": "newbie", "decision": "grant", "role": "customer_user"}),
            },
            Step::Await {
                subject: "colleague-1",
                state: "active",
            },
            Step::Mail {
                address: casey,
                mail: "Your access has been approved",
            },
        ],
    }
}

fn granted() -> Road {
    Road {
        title: "Joining a company that has two DAs, in Dutch",
        steps: vec![
            submitted("joost-1", "joost", "70020001", "FDO2107A0LL"),
            Step::Await {
                subject: "joost-1",
                state: "awaiting_confirmation",
            },
            send("registration.confirmed", "joost-1"),
            Step::Mail {
                address: "bram@lagelanden.example",
                mail: "For your information",
            },
            Step::Send {
                kind: "registration.da_decided",
                subject: "joost-1",
                data: json!({"da_account_id": "wilma", "decision": "grant", "role": "api_developer"}),
            },
            Step::Await {
                subject: "joost-1",
                state: "active",
            },
        ],
    }
}

fn denied() -> Road {
    Road {
        title: "Joining, and being denied",
        steps: vec![
            submitted("emma-1", "emma", "70020001", "fdo2107a0ll"),
            Step::Await {
                subject: "emma-1",
                state: "awaiting_confirmation",
            },
            send("registration.confirmed", "emma-1"),
            Step::Send {
                kind: "registration.da_decided",
                subject: "emma-1",
                data: json!({"da_account_id": "wilma", "decision": "deny", "reason": "Please ask for access through your team lead."}),
            },
            Step::Await {
                subject: "emma-1",
                state: "denied",
            },
            Step::Mail {
                address: "emma@lagelanden.example",
                mail: "Your access request was denied",
            },
        ],
    }
}

fn none_of_the_above() -> Road {
    Road {
        title: "None of the organizations offered is the right one: an agent takes over",
        steps: vec![
            submitted("sam-1", "sam", "93988398", "FOC1436Y3XM"),
            Step::Await {
                subject: "sam-1",
                state: "awaiting_organization",
            },
            Step::Send {
                kind: "registration.organization_selected",
                subject: "sam-1",
                data: json!({"organization_id": null}),
            },
            Step::Await {
                subject: "sam-1",
                state: "in_review",
            },
            Step::Mail {
                address: super::AGENTS,
                mail: "Review: sam-1",
            },
        ],
    }
}

fn wrong_data() -> Road {
    Road {
        title: "A contract that has ended and a serial number that is none; the applicant gives up",
        steps: vec![
            submitted("lapsed-1", "lapsed", "93988397", "?"),
            Step::Await {
                subject: "lapsed-1",
                state: "needs_correction",
            },
            send("registration.withdrawn", "lapsed-1"),
            Step::Await {
                subject: "lapsed-1",
                state: "withdrawn",
            },
        ],
    }
}

fn personal_address() -> Road {
    Road {
        title: "A personal e-mail address",
        steps: vec![
            submitted("private-1", "private", "93988396", "FOC1436Y3XK"),
            Step::Await {
                subject: "private-1",
                state: "needs_correction",
            },
        ],
    }
}

fn refused() -> Road {
    Road {
        title: "Refused: a broken entry, and a decision by somebody who may not decide",
        steps: vec![
            Step::SendBroken("this is not a CloudEvent"),
            Step::Send {
                kind: "registration.da_decided",
                subject: "private-1",
                data: json!({"da_account_id": "joost", "decision": "grant", "role": "customer_user"}),
            },
            Step::Refused(2),
        ],
    }
}
