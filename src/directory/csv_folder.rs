//! A directory file as a folder: `organizations.csv`, `accounts.csv`, `contracts.csv`, `devices.csv` and
//! `administrators.csv`, any of which may be missing. The header names the fields of the JSON form; the entries of a list
//! stand in one cell, separated by `;`, and an empty cell is an empty list, no value, or the default.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use csv::{ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::{
    file::{DirectoryFile, MAX_MIB},
    problem::{ImportError, Problems, quoted, suggestion},
    record::{Kind, Place, Section, Spot},
};

pub(super) fn read(folder: &Path, file: &mut DirectoryFile, problems: &mut Problems) -> Result<(), ImportError> {
    let failed = |source| ImportError::Read {
        path: folder.to_owned(),
        source,
    };
    let names = || Section::ALL.into_iter().map(file_name);
    let mut found = false;
    let mut bytes = 0;
    let mut misnamed = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if names().any(|known| known == name) {
            found = true;
            bytes += fs::metadata(entry.path()).map_err(failed)?.len();
        } else if Path::new(&name)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
        {
            misnamed.push(name);
        }
    }
    misnamed.sort();
    for name in misnamed {
        let known: Vec<String> = names().collect();
        let suggestion = suggestion(&name, known.iter().map(String::as_str));
        problems.add(format_args!("unknown file {}; {suggestion}", quoted(&name)));
        found = true;
    }
    if !found {
        let names: Vec<String> = names().collect();
        let message = format!("the folder holds none of {}", names.join(", "));
        return Err(ImportError::Syntax {
            path: folder.to_owned(),
            message,
        });
    }
    if bytes > MAX_MIB << 20 {
        return Err(ImportError::TooLarge {
            path: folder.to_owned(),
            max_mib: MAX_MIB,
        });
    }
    for section in Section::ALL {
        let path = folder.join(file_name(section));
        match File::open(&path) {
            Ok(opened) => {
                // No further than was there when it was measured.
                read_section(section, opened.take(MAX_MIB << 20), file, problems).map_err(|error| {
                    match error.into_kind() {
                        csv::ErrorKind::Io(source) => ImportError::Read { path, source },
                        kind => ImportError::Syntax {
                            path,
                            message: message(kind),
                        },
                    }
                })?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(ImportError::Read { path, source }),
        }
    }
    Ok(())
}

fn file_name(section: Section) -> String {
    format!("{}.csv", section.name())
}

fn message(kind: csv::ErrorKind) -> String {
    match kind {
        csv::ErrorKind::Utf8 { pos, .. } => {
            let line = pos.map_or(1, |position| position.line());
            format!("line {line} is not UTF-8; save the file as \"CSV UTF-8\"")
        }
        other => format!("{other:?}"),
    }
}

pub(super) fn read_section(
    section: Section,
    input: impl Read,
    file: &mut DirectoryFile,
    problems: &mut Problems,
) -> Result<(), csv::Error> {
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(input);
    let headers = reader.headers()?.clone();
    if headers.is_empty() {
        return Ok(());
    }
    if !headers_are_sound(section, &headers, problems) {
        return Ok(());
    }
    let mut row = StringRecord::new();
    while reader.read_record(&mut row)? {
        let line = row.position().map_or(0, csv::Position::line);
        let place = Place {
            section,
            spot: Spot::Line(line),
        };
        if row.len() != headers.len() {
            let (has, wanted) = (row.len(), headers.len());
            problems.add(format_args!("{place}: has {has} cells, but the header has {wanted}"));
            continue;
        }
        file.take(place, record(section, &headers, &row), problems);
    }
    Ok(())
}

fn headers_are_sound(section: Section, headers: &StringRecord, problems: &mut Problems) -> bool {
    let before = problems.total();
    let file = file_name(section);
    let known = section.column_names();
    for (at, header) in headers.iter().enumerate() {
        if !known.clone().any(|column| column == header) {
            // What a spreadsheet saves where the comma is the decimal sign.
            let suggestion = if header.contains(';') {
                "cells must be separated by commas".to_owned()
            } else {
                suggestion(header, known.clone())
            };
            problems.add(format_args!("{file}: unknown column {}; {suggestion}", quoted(header)));
        } else if headers.iter().take(at).any(|earlier| earlier == header) {
            problems.add(format_args!("{file}: the column {header} is there twice"));
        }
    }
    for (column, kind) in section.columns() {
        if *kind == Kind::Required && !headers.iter().any(|header| header == *column) {
            problems.add(format_args!("{file}: the column {column} is missing"));
        }
    }
    problems.total() == before
}

/// The row in the JSON form.
fn record(section: Section, headers: &StringRecord, row: &StringRecord) -> Value {
    let mut fields = Map::new();
    for (header, cell) in headers.iter().zip(row) {
        let kind = section.columns().iter().find(|(name, _)| *name == header);
        let value = match kind.map(|(_, kind)| *kind) {
            Some(Kind::Required) | None => Value::from(cell),
            Some(_) if cell.is_empty() => continue,
            Some(Kind::Flag) if cell.eq_ignore_ascii_case("true") => Value::Bool(true),
            Some(Kind::Flag) if cell.eq_ignore_ascii_case("false") => Value::Bool(false),
            Some(Kind::Optional | Kind::Flag) => Value::from(cell),
            Some(Kind::List) => cell
                .split(';')
                .map(str::trim)
                .filter(|entry| !entry.is_empty())
                .map(Value::from)
                .collect(),
        };
        fields.insert(header.to_owned(), value);
    }
    Value::Object(fields)
}
