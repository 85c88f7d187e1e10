//! The pages of a DA's link: who asks for what, and what became of it (contract, section 6).

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use enrolld_jobs::values::Role;
use serde::Serialize;

use crate::mail::{Person, Place};

/// A page of a DA's link. The DA is shown the applicant's address, by which they know whom they let in; their mail has
/// it, too.
#[derive(Serialize)]
#[serde(untagged)]
pub(in crate::http) enum DecisionPage {
    /// The form.
    Ask {
        /// Who asks.
        applicant: Person,
        /// The contract number entered.
        contract_number: String,
        /// The serial number entered.
        serial_number: String,
        /// Where access would hold (D20).
        site: Option<Place>,
        /// Since when the request waits for a decision.
        since: DateTime<Utc>,
        /// The roles offered.
        roles: [Role; 5],
        /// Longest reason, in characters.
        max_reason: usize,
        /// What was entered before, if something was wrong with it.
        entered: Entered,
        /// Everything that was wrong.
        wrong: Vec<Wrong>,
    },
    /// The reader has granted access (R37).
    Granted {
        /// Who got it.
        applicant: String,
        /// In which role.
        role: Role,
        /// Where it holds.
        site: Option<Place>,
    },
    /// The reader has denied access.
    Denied {
        /// Whose request it was.
        applicant: String,
    },
    /// Something is wrong with the request by now: nothing was granted (D21).
    Correction {
        /// Whose request it is.
        applicant: String,
    },
    /// The contract belongs elsewhere by now: nothing was granted, and others may have to be asked.
    Moved {
        /// Whose request it is.
        applicant: String,
    },
    /// It has been decided before.
    Decided {
        /// Whose request it was.
        applicant: String,
        /// Who decided; `None` if the reader did.
        by: Option<String>,
        /// The role granted; `None` if access was denied.
        role: Option<Role>,
        /// When.
        at: DateTime<Utc>,
    },
    /// It waits for no DA's decision any more, or not now.
    Over {
        /// Whose request it is.
        applicant: String,
        /// Why.
        why: Over,
    },
    /// The reader may not decide on it, and is told nothing of it (D3).
    NotEntitled,
    /// Decisions are made in the portal (`decisions.by_link`).
    InPortal,
    /// There is no such link.
    Unknown,
}

/// What was entered, to be shown again.
#[derive(Default, Serialize)]
pub(in crate::http) struct Entered {
    /// `grant`, `deny`, or nothing of the kind.
    pub(in crate::http) decision: String,
    /// The name of a role, or nothing of the kind.
    pub(in crate::http) role: String,
    /// Any text.
    pub(in crate::http) reason: String,
}

/// Something that is wrong with what was entered.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Wrong {
    /// What was sent could not be read at all.
    Form,
    /// Neither grant nor deny.
    Decision,
    /// No role to grant.
    Role,
    /// The reason is too long.
    Reason,
}

/// Why a request waits for no DA's decision.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Over {
    /// The applicant has taken it back (R19).
    Withdrawn,
    /// The applicant did not go on with it (D12).
    Expired,
    /// An agent decides, or has decided (D10).
    Agent,
    /// The applicant has to correct or complete it first (D21).
    Applicant,
}

impl DecisionPage {
    /// The template's name, and the status that the page is sent with.
    pub(super) const fn kind(&self) -> (&'static str, StatusCode) {
        match self {
            Self::Ask { wrong, .. } if wrong.is_empty() => ("decide_ask", StatusCode::OK),
            Self::Ask { .. } => ("decide_ask", StatusCode::UNPROCESSABLE_ENTITY),
            Self::Granted { .. } => ("decide_granted", StatusCode::OK),
            Self::Denied { .. } => ("decide_denied", StatusCode::OK),
            Self::Correction { .. } => ("decide_correction", StatusCode::OK),
            Self::Moved { .. } => ("decide_moved", StatusCode::OK),
            Self::Decided { .. } => ("decide_decided", StatusCode::OK),
            Self::Over { .. } => ("decide_over", StatusCode::GONE),
            Self::NotEntitled => ("decide_not_entitled", StatusCode::GONE),
            Self::InPortal => ("decide_in_portal", StatusCode::GONE),
            Self::Unknown => ("decide_unknown", StatusCode::NOT_FOUND),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every page of a DA's link, with names that try to break out.
    pub(in crate::http::pages) fn pages() -> Vec<DecisionPage> {
        let applicant = || "<B><script>".to_owned();
        let ask = |entered, wrong| DecisionPage::Ask {
            applicant: Person {
                name: applicant(),
                email: None,
            },
            contract_number: "1".to_owned(),
            serial_number: "S-1".to_owned(),
            site: None,
            since: DateTime::default(),
            roles: Role::ALL,
            max_reason: 2_000,
            entered,
            wrong,
        };
        let entered = Entered {
            decision: "\"><script>".to_owned(),
            role: "\"><script>".to_owned(),
            reason: "</textarea><script>".to_owned(),
        };
        let wrong = vec![Wrong::Form, Wrong::Decision, Wrong::Role, Wrong::Reason];
        let over = [Over::Withdrawn, Over::Expired, Over::Agent, Over::Applicant].map(|why| DecisionPage::Over {
            applicant: applicant(),
            why,
        });
        let decided = [
            (None, None),
            (Some("<B>"), None),
            (None, Some(())),
            (Some("<B>"), Some(())),
        ]
        .map(|(by, role)| DecisionPage::Decided {
            applicant: applicant(),
            by: by.map(str::to_owned),
            role: role.map(|()| Role::ApiDeveloper),
            at: DateTime::default(),
        });
        let others = [
            ask(Entered::default(), Vec::new()),
            ask(entered, wrong),
            DecisionPage::Granted {
                applicant: applicant(),
                role: Role::CustomerUser,
                site: None,
            },
            DecisionPage::Denied { applicant: applicant() },
            DecisionPage::Correction { applicant: applicant() },
            DecisionPage::Moved { applicant: applicant() },
            DecisionPage::NotEntitled,
            DecisionPage::InPortal,
            DecisionPage::Unknown,
        ];
        others.into_iter().chain(over).chain(decided).collect()
    }
}
