//! Which jobs a command is about.

use chrono::{DateTime, Utc};
use clap::Args;
use enrolld_jobs::job::JobKind;
use uuid::Uuid;

use crate::{
    cli::{moments, queues::kinds},
    environment::{Environment as _, System},
    store::jobs::Filter,
};

/// Options that narrow a listing, or what is done with many.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Narrow {
    /// Only those of this kind
    #[arg(long, value_parser = kinds())]
    kind: Option<JobKind>,
    /// Only those whose last error is of this class, such as smtp_refused
    #[arg(long, value_name = "CLASS")]
    error: Option<String>,
    /// Only those that ended (or, while they have not, were made) at this moment or later
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Only those that ended (or, while they have not, were made) before this moment
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<DateTime<Utc>>,
    /// Only those of this registration
    #[arg(long, value_name = "ID")]
    registration: Option<String>,
}

/// The names of the options above, for what may not go with them.
pub(super) const NARROWING: [&str; 5] = ["kind", "error", "since", "until", "registration"];

fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    moments::parse(text, System.now())
}

impl Narrow {
    /// What it asks for, of one state, at most `limit`.
    pub(super) fn filter(&self, state: Option<&str>, limit: u64) -> Filter {
        Filter {
            kind: self.kind,
            state: state.map(str::to_owned),
            registration_id: self.registration.clone(),
            error_class: self.error.clone(),
            since: self.since,
            until: self.until,
            limit,
        }
    }

    /// The kind, if it asks for one.
    pub(super) fn kind(&self) -> Option<JobKind> {
        self.kind
    }

    /// The class of error, if it asks for one.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

/// What something is to be done with.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// These.
    These(Vec<Uuid>),
    /// All that one of the filters lets through; each is of another state.
    All(Vec<Filter>),
}

impl Wanted {
    /// The ids where some are given, else what `narrow` lets through in one of `states`.
    pub(super) fn new(ids: Vec<Uuid>, narrow: &Narrow, states: &[&str]) -> Self {
        if ids.is_empty() {
            let filters = states
                .iter()
                .map(|state| narrow.filter(Some(state), super::many::CHUNK));
            Self::All(filters.collect())
        } else {
            Self::These(ids)
        }
    }
}
