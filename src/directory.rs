//! The embedded directory: who people are, what they hold and how organizations hang together, in tables of the same
//! database (contract, section 4).
//!
//! - [`EmbeddedDirectory`] answers the workflow through the port `Directory`; its questions are the functions of
//!   [`read`], which also run inside a transaction of the caller's.
//! - [`import()`] takes a directory file in, all or nothing; [`export()`] writes one that gives the same tables again.
//!
//! Import checks structure, ids and references. What verification judges (e-mail, status, type) is kept as given.
//!
//! Invariants: references between the tables hold; trees of organizations have no cycle and at most
//! [`read::MAX_LEVELS`] levels; whoever changes a row here raises the epoch of every root in the same transaction, so that
//! a decision that rests on older facts is decided again (ARCHITECTURE, "Order, and happening once").

mod csv_folder;
mod embedded;
mod emptiness;
mod entity;
mod export;
mod field;
mod file;
mod import;
mod json_file;
pub(crate) mod probe;
mod problem;
pub mod read;
mod record;
mod references;
mod roots;
mod summary;
mod write;

pub use embedded::EmbeddedDirectory;
pub(crate) use emptiness::{NEEDED_TABLES, empty_tables};
pub use export::{ExportError, Exported, export};
pub use import::import;
pub use problem::{ImportError, Problems};
pub use summary::{Counts, ImportSummary};
