//! What is wrong with a directory file, all of it in one go.

use std::{fmt, io, path::PathBuf};

use sea_orm::DbErr;

/// How many problems are told one by one.
const SHOWN: usize = 50;

/// Everything that is wrong with the records of a file; the first 50 of them word for word.
#[derive(Debug, Default)]
pub struct Problems {
    shown: Vec<String>,
    total: usize,
}

impl Problems {
    pub(super) fn add(&mut self, problem: impl fmt::Display) {
        self.total += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(problem.to_string());
        }
    }

    /// How many there are, those not shown included.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The first of them, each naming record and field.
    pub fn shown(&self) -> &[String] {
        &self.shown
    }

    /// `Err` when there is one.
    pub(super) fn into_result(self) -> Result<(), ImportError> {
        if self.total == 0 {
            return Ok(());
        }
        Err(ImportError::Problems(self))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = match self.total {
            1 => "1 problem".to_owned(),
            n => format!("{n} problems"),
        };
        write!(f, "nothing was imported: the file has {count}")?;
        for problem in &self.shown {
            write!(f, "\n  {problem}")?;
        }
        match self.total - self.shown.len() {
            0 => Ok(()),
            more => write!(f, "\n  … and {more} more"),
        }
    }
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than is read at once.
    #[error("{} is larger than {max_mib} MiB; split it: records of one file may refer to those of one imported before", path.display())]
    TooLarge {
        /// Which file or folder.
        path: PathBuf,
        /// The limit, in MiB.
        max_mib: u64,
    },
    /// The file is not JSON or CSV, or not of the form of the contract's section 4.
    #[error("{} cannot be understood: {message}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// Records are wrong.
    #[error("{0}")]
    Problems(Problems),
    /// The database failed; it is as it was before.
    #[error("nothing was imported: the database failed: {0}; try again once it answers")]
    Database(#[from] DbErr),
}

/// `; did you mean "email"?`, or else the names to choose from.
pub(super) fn suggestion<'a>(given: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known
        .clone()
        .map(|name| (strsim::normalized_damerau_levenshtein(given, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, name)) if likeness >= 0.6 => format!("did you mean {name:?}?"),
        _ => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// `text` in quotes, cut where it would fill the terminal.
pub(super) fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 64;
    if text.chars().count() <= MAX_CHARS {
        return format!("{text:?}");
    }
    let kept: String = text.chars().take(MAX_CHARS).collect();
    format!("{:?}", kept + "…")
}
