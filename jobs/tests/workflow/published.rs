//! The documents that are generated from the code: JSON Schemas, and the table and diagram of states. They are compared
//! with what stands in `docs/`, or written there when `UPDATE_DOCS` is set.

mod contract;
mod rules;
mod schemas;
mod states;

use std::{fs, path::PathBuf};

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Compares the generated document `name` with the one in `docs/`, or writes it there.
fn is_current(name: &str, generated: &str) {
    let path = docs().join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let folder = path.parent().expect("a folder");
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        fs::write(&path, generated).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == generated,
        "docs/{name} is not current: run `UPDATE_DOCS=1 cargo test -p enrolld-jobs --test workflow published`"
    );
}
