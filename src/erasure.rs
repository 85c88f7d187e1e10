//! Takes a closed registration's person out of everything that enrolld keeps (D24): mail files, the streams of results and refused
//! events, and the database, in this order. The database comes last, since it says what there is: an erasure that was interrupted is
//! carried out again.
//!
//! Outside are what others have taken from the streams, mails that went out, backups, and the log, which holds ids only.

use std::{path::Path, time::Duration};

use enrolld_jobs::{registration::Registration, values::RegistrationId};
use redis::Value;
use serde_json::Value as Json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    environment::Environment,
    notices,
    queue::Redis,
    store::{Store, erasure::Erased, error::StoreError},
};

/// Entries of a stream looked at in one go.
const CHUNK: usize = 500;

/// How long what is under way about a registration is waited for, and how often it is looked.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);

/// For how long nobody tells upstream anything while a registration is erased that upstream was still to be told of: longer than it takes.
const TELLING_RESTS: Duration = Duration::from_secs(10);

/// What an erasure has taken out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows of the database.
    pub rows: Erased,
    /// Entries of the streams of results and of refused events.
    pub entries: usize,
    /// Files of mails.
    pub files: usize,
}

/// Why nothing, or not all, was erased.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// There is no such registration, or it was erased before.
    #[error("no registration has the id {0:?}; it may have been erased before")]
    Unknown(RegistrationId),
    /// Only what is closed can be erased.
    #[error("registration {id} is open ({state}); withdraw it first, or wait until it is closed")]
    Open {
        /// Which.
        id: RegistrationId,
        /// Its state's name.
        state: &'static str,
    },
    /// An event about it, or a mail, is being worked on, or upstream is just being told of it.
    #[error("registration {0} is being worked on at this moment; try again")]
    Busy(RegistrationId),
    /// A mail's file could not be removed.
    #[error("{0} could not be removed: {1}; nothing in the database was erased yet")]
    File(String, std::io::Error),
    /// Redis is away.
    #[error("the streams could not be erased: {0}; nothing in the database was erased yet")]
    Redis(#[from] crate::queue::Error),
    /// The database is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Erases the registration `id`. `mail_dir` is the folder of mails, where they go to files.
///
/// # Errors
/// See [`ErasureError`]; it may be called again.
pub async fn erase(
    store: &Store,
    redis: &Redis,
    prefix: &str,
    mail_dir: Option<&Path>,
    environment: &dyn Environment,
    id: &RegistrationId,
) -> Result<Done, ErasureError> {
    let holder = format!("erasure-{}", environment.random_id());
    let registration = closed(store, id).await?;
    let erased = async {
        settled(store, environment, id, &holder).await?;
        erase_settled(store, redis, prefix, mail_dir, environment, &registration).await
    };
    let erased = Box::pin(erased).await;
    if let Err(error) = store.give_leases_back(&holder).await {
        tracing::debug!(%error, "the lease of an erasure ends by itself");
    }
    erased
}

async fn erase_settled(
    store: &Store,
    redis: &Redis,
    prefix: &str,
    mail_dir: Option<&Path>,
    environment: &dyn Environment,
    registration: &Registration,
) -> Result<Done, ErasureError> {
    let id = &registration.id;
    let mails = store.mail_ids(id).await?;
    let files = match mail_dir {
        Some(dir) => remove_files(dir, &mails)?,
        None => 0,
    };
    let mut entries = 0;
    for stream in ["events", "rejected"] {
        entries += remove_entries(redis, &format!("{prefix}:{stream}"), id, &mails).await?;
    }
    let pseudonym = environment.random_id().to_string();
    let rows = store
        .erase(id, registration.version, &pseudonym, environment.now())
        .await?
        .ok_or_else(|| ErasureError::Busy(id.clone()))?;
    Ok(Done { rows, entries, files })
}

/// The registration, if it can be erased.
async fn closed(store: &Store, id: &RegistrationId) -> Result<Registration, ErasureError> {
    let found = store.registration(id).await?;
    let registration = found.ok_or_else(|| ErasureError::Unknown(id.clone()))?;
    let state = registration.state.name();
    if !state.is_final() {
        return Err(ErasureError::Open {
            id: id.clone(),
            state: state.as_str(),
        });
    }
    if store.is_event_waiting(id).await? {
        return Err(ErasureError::Busy(id.clone()));
    }
    Ok(registration)
}

/// Waits until nothing about the registration is under way that would leave traces behind: no mail is just being sent, and what upstream is
/// still to be told is told, or nobody else will tell it for a while (`holder` has the lease).
async fn settled(
    store: &Store,
    environment: &dyn Environment,
    id: &RegistrationId,
    holder: &str,
) -> Result<(), ErasureError> {
    let start = Instant::now();
    loop {
        let now = environment.now();
        let under_way = store.under_way(id, now).await?;
        let is_told = !under_way.news
            || store
                .hold_lease(notices::LEASE, holder, now, TELLING_RESTS)
                .await?
                .is_some();
        if is_told && !under_way.mail {
            return Ok(());
        }
        if start.elapsed() >= SETTLES_WITHIN {
            return Err(ErasureError::Busy(id.clone()));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Removes the files of these mails, and tells how many there were. They are named `TIME-ID.eml`.
pub(crate) fn remove_files(dir: &Path, mails: &[Uuid]) -> Result<usize, ErasureError> {
    let listed = match std::fs::read_dir(dir) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(ErasureError::File(dir.display().to_string(), error)),
    };
    let mut removed = 0;
    for file in listed.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if mails.iter().any(|mail| name.ends_with(&format!("-{mail}.eml"))) {
            std::fs::remove_file(file.path())
                .map_err(|error| ErasureError::File(file.path().display().to_string(), error))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes the entries whose event is about the registration or one of its mails.
async fn remove_entries(
    redis: &Redis,
    stream: &str,
    id: &RegistrationId,
    mails: &[Uuid],
) -> Result<usize, crate::queue::Error> {
    let mut removed = 0;
    let mut from = "-".to_owned();
    loop {
        let mut range = redis::cmd("XRANGE");
        range.arg(stream).arg(&from).arg("+").arg("COUNT").arg(CHUNK);
        let entries: Vec<(String, Vec<Value>)> = redis.query(&range).await?;
        let Some((last, _)) = entries.last() else {
            return Ok(removed);
        };
        from = format!("({last}");
        let theirs: Vec<&str> = entries
            .iter()
            .filter(|(_, fields)| event_of(fields).is_some_and(|event| is_about(&event, id, mails)))
            .map(|(entry, _)| entry.as_str())
            .collect();
        if !theirs.is_empty() {
            removed += redis
                .query::<usize>(redis::cmd("XDEL").arg(stream).arg(&theirs))
                .await?;
        }
    }
}

/// The field `event` of an entry.
fn event_of(fields: &[Value]) -> Option<String> {
    let mut pairs = fields.chunks_exact(2);
    pairs.find_map(|pair| match pair {
        [Value::BulkString(name), Value::BulkString(event)] if name == b"event" => {
            Some(String::from_utf8_lossy(event).into_owned())
        }
        _ => None,
    })
}

fn is_about(event: &str, id: &RegistrationId, mails: &[Uuid]) -> bool {
    match serde_json::from_str::<Json>(event) {
        Ok(event) => event["subject"].as_str().is_some_and(|subject| {
            let kind = event["type"].as_str().unwrap_or_default();
            let is_registration = subject == id.as_str() && !kind.starts_with("delegation.");
            is_registration || mails.iter().any(|mail| subject.contains(&mail.to_string()))
        }),
        // Broken as it is, it may still name the person.
        Err(_) => event.contains(&format!("\"{id}\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d24_events_about_the_registration_and_its_mails_are_found() {
        let id = RegistrationId::new("reg-1").expect("an id");
        let mail = Uuid::from_u128(7);
        let about = |event: &str| is_about(event, &id, &[mail]);
        assert!(about(r#"{"type":"registration.changed","subject":"reg-1"}"#));
        assert!(about(r#"{"type":"ops.alert","subject":"reg-1"}"#));
        assert!(about(&format!(
            r#"{{"type":"mail.bounced","subject":"<{mail}@portal.example>"}}"#
        )));
        assert!(about(r#"{"subject":"reg-1", broken"#));
        assert!(!about(r#"{"type":"registration.changed","subject":"reg-10"}"#));
        // An account may have the same name as a registration.
        assert!(!about(r#"{"type":"delegation.role_assigned","subject":"reg-1"}"#));
    }
}
