//! What an import did.

use std::fmt;

use serde::Serialize;

/// How many records of one type were imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// That were not there before.
    pub added: u64,
    /// That replaced a stored one.
    pub changed: u64,
    /// That were stored already, the same.
    pub unchanged: u64,
}

impl Counts {
    /// All of them.
    pub fn total(self) -> u64 {
        self.added + self.changed + self.unchanged
    }

    pub(super) fn count(&mut self, change: Change) {
        match change {
            Change::Added => self.added += 1,
            Change::Changed => self.changed += 1,
            Change::Unchanged => self.unchanged += 1,
        }
    }
}

/// What one record does to the stored ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Changed,
    Unchanged,
}

/// What an import did, by type of record. `Display` is one line a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ImportSummary {
    /// Companies and sites.
    pub organizations: Counts,
    /// Profiles.
    pub accounts: Counts,
    /// Contracts.
    pub contracts: Counts,
    /// Devices.
    pub devices: Counts,
    /// Appointments as DA: added or unchanged, never changed or removed.
    pub administrators: Counts,
}

impl ImportSummary {
    /// The types by their name in the file.
    pub fn by_type(&self) -> [(&'static str, Counts); 5] {
        [
            ("organizations", self.organizations),
            ("accounts", self.accounts),
            ("contracts", self.contracts),
            ("devices", self.devices),
            ("administrators", self.administrators),
        ]
    }

    /// Whether anything was written.
    pub fn changed_anything(&self) -> bool {
        self.by_type()
            .iter()
            .any(|(_, counts)| counts.added + counts.changed > 0)
    }
}

impl fmt::Display for ImportSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, counts)) in self.by_type().into_iter().enumerate() {
            let Counts {
                added,
                changed,
                unchanged,
            } = counts;
            let line_break = if at == 0 { "" } else { "\n" };
            write!(
                f,
                "{line_break}{name}: {added} added, {changed} replaced, {unchanged} unchanged"
            )?;
        }
        Ok(())
    }
}
