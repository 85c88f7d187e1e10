//! Registrations as earlier releases wrote them, in `tests/fixtures/<release>/registrations`: each is read, and goes on.
//!
//! A release adds its own with `WRITE_FIXTURES=1 cargo test -p enrolld-jobs --test workflow kept`. What is there is never changed:
//! it is what stands in the databases of those who run that release.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use chrono::Duration;
use enrolld_jobs::{
    decide::Decided,
    event::{Event, Present},
    registration::{Registration, StateName},
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::Value;

use super::{
    drawn::{drawn_or_superseded, wait},
    facts::any_facts,
    traveller,
};
use crate::road::Road;

/// Registrations of each state that a release leaves behind, each with other fields than the others.
const EACH: usize = 4;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// The release that this is, as far as what it stores may differ.
fn release() -> String {
    let version = env!("CARGO_PKG_VERSION");
    version
        .rsplit_once('.')
        .map_or(version, |(release, _)| release)
        .to_owned()
}

/// The fields that a value has, in depth; what varies from one registration to the next are not their names.
fn shape(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
    match value {
        Value::Null => {}
        Value::Array(items) => items.iter().for_each(|item| shape(item, path, fields)),
        Value::Object(members) => {
            for (name, member) in members {
                shape(member, &format!("{path}/{name}"), fields);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            fields.insert(path.to_owned());
        }
    }
}

/// Registrations of every state, on roads drawn at random: those that have fields which none before them had come first.
fn drawn_registrations() -> BTreeMap<&'static str, Vec<Value>> {
    let mut runner = TestRunner::deterministic();
    let happenings = prop::collection::vec((drawn_or_superseded(), any_facts(), wait()), 60);
    let mut shapes: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut found: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for number in 0..400 {
        let mut road = traveller(number % 3);
        for (drawn, present, seconds) in happenings.new_tree(&mut runner).expect("a case").current() {
            road.after(Duration::seconds(seconds));
            let event = drawn.event(&road.registration);
            happens(&mut road, &event, &present);
            let state = road.state().as_str();
            let row = serde_json::to_value(&road.registration).expect("a row");
            let mut fields = BTreeSet::new();
            shape(&row, "", &mut fields);
            let (known, rows) = (shapes.entry(state).or_default(), found.entry(state).or_default());
            if rows.len() < EACH && !fields.is_subset(known) {
                known.extend(fields);
                rows.push(row);
            }
        }
    }
    found
}

#[test]
fn registrations_of_earlier_releases_are_read_and_go_on() {
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        let folder = fixtures().join(release()).join("registrations");
        fs::create_dir_all(&folder).expect("the folder is writable");
        for (state, rows) in drawn_registrations() {
            for (number, row) in rows.iter().enumerate() {
                let file = folder.join(format!("{state}-{}.json", number + 1));
                if !file.exists() {
                    let text = serde_json::to_string_pretty(row).expect("JSON");
                    fs::write(file, text + "\n").expect("the folder is writable");
                }
            }
        }
    }
    let releases = fs::read_dir(fixtures()).expect("there are fixtures");
    let mut read = 0;
    for release in releases {
        let folder = release.expect("the folder is readable").path().join("registrations");
        let mut states = BTreeSet::new();
        for file in fs::read_dir(&folder).expect("each release has registrations") {
            let file = file.expect("the folder is readable").path();
            let text = fs::read_to_string(&file).expect("the file is readable");
            let registration: Registration =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            states.insert(registration.state.name().as_str());
            goes_on(&file, &registration);
            read += 1;
        }
        assert_eq!(
            states.len(),
            StateName::ALL.len(),
            "{}: of {states:?}",
            folder.display()
        );
    }
    assert!(read > 0);
}

/// The event happens, if it changes anything.
fn happens(road: &mut Road, event: &Event, present: &Present) {
    if let Decided::Decision(decision) = road.decide(event, present) {
        road.registration = decision.registration;
    }
}

/// Whatever happens to it next, it is decided upon; and something can happen, unless it is over.
fn goes_on(file: &Path, registration: &Registration) {
    let mut runner = TestRunner::deterministic();
    let happenings = prop::collection::vec((drawn_or_superseded(), any_facts(), wait()), 40);
    let mut changes = 0;
    for _ in 0..5 {
        let happenings = happenings.new_tree(&mut runner).expect("a case").current();
        let mut road = Road {
            registration: registration.clone(),
            now: registration.deadline.unwrap_or_default().max(registration.since),
            ..traveller(1)
        };
        for (drawn, present, seconds) in happenings {
            road.after(Duration::seconds(seconds));
            let event = drawn.event(&road.registration);
            happens(&mut road, &event, &present);
        }
        changes += road.registration.version - registration.version;
    }
    let is_over = registration.state.name().is_final();
    assert!(changes > 0 || is_over, "{}: nothing can happen", file.display());
}
