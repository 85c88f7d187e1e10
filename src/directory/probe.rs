//! What holds of a directory file, whatever is in it; see [`crate::probes`].

use super::{csv_folder, file::DirectoryFile, json_file, problem::Problems, record::Section};

/// A file in JSON is read to its end, or its problems are told.
pub fn directory_json(bytes: &[u8]) {
    let (mut file, mut problems) = (DirectoryFile::default(), Problems::default());
    let result = json_file::parse(bytes, &mut file, &mut problems);
    told(&file, &problems);
    if let Err(error) = result {
        assert!(!error.to_string().is_empty());
    }
}

/// So is a file in CSV; the first byte tells which of the five it is.
pub fn directory_csv(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let section = Section::ALL[usize::from(*first) % Section::ALL.len()];
    let (mut file, mut problems) = (DirectoryFile::default(), Problems::default());
    if csv_folder::read_section(section, bytes, &mut file, &mut problems).is_ok() {
        told(&file, &problems);
    }
}

/// What is wrong is told, and what is sound has what it needs.
fn told(file: &DirectoryFile, problems: &Problems) {
    assert!(problems.total() == 0 || !problems.to_string().is_empty());
    let names = file.organizations.iter().map(|placed| placed.record.name.as_str());
    let places = file.accounts.iter().map(|placed| placed.record.name.as_str());
    assert!(
        !names.chain(places).any(|text| text.contains('\0')),
        "PostgreSQL cannot keep it"
    );
}
