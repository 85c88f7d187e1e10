//! A directory file in JSON. Records are read one at a time: the file is never in memory as a whole.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read},
    path::Path,
};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{
    file::{DirectoryFile, MAX_MIB},
    problem::{ImportError, Problems, quoted, suggestion},
    record::{Place, Section, Spot},
};

/// Windows programs put it before the text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) fn read(path: &Path, file: &mut DirectoryFile, problems: &mut Problems) -> Result<(), ImportError> {
    let failed = |source| ImportError::Read {
        path: path.to_owned(),
        source,
    };
    let opened = File::open(path).map_err(failed)?;
    // A pipe has no length: what is read counts, too.
    let max_bytes = MAX_MIB << 20;
    let too_large = || ImportError::TooLarge {
        path: path.to_owned(),
        max_mib: MAX_MIB,
    };
    if opened.metadata().map_err(failed)?.len() > max_bytes {
        return Err(too_large());
    }
    let mut input = BufReader::with_capacity(1 << 16, opened.take(max_bytes + 1));
    if input.fill_buf().map_err(failed)?.starts_with(BYTE_ORDER_MARK) {
        input.consume(BYTE_ORDER_MARK.len());
    }
    let result = parse(&mut input, file, problems);
    let spent = input.get_ref().limit() == 0;
    match result {
        Ok(()) => Ok(()),
        Err(_) if spent => Err(too_large()),
        Err(error) if error.is_io() => Err(failed(error.into())),
        Err(error) => Err(ImportError::Syntax {
            path: path.to_owned(),
            message: error.to_string(),
        }),
    }
}

/// Reads the whole text.
pub(super) fn parse(input: impl Read, file: &mut DirectoryFile, problems: &mut Problems) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_reader(input);
    deserializer
        .deserialize_map(Sections { file, problems })
        .and_then(|()| deserializer.end())
}

struct Sections<'a> {
    file: &'a mut DirectoryFile,
    problems: &'a mut Problems,
}

impl<'de> Visitor<'de> for Sections<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with organizations, accounts, contracts, devices and administrators")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let Some(section) = Section::from_name(&key) else {
                let known = Section::ALL.into_iter().map(Section::name);
                self.problems.add(format_args!(
                    "unknown key {}; {}",
                    quoted(&key),
                    suggestion(&key, known)
                ));
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen.contains(&key) {
                self.problems
                    .add(format_args!("{key} is in the file twice; join the lists"));
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            seen.push(key);
            map.next_value_seed(Records {
                section,
                file: &mut *self.file,
                problems: &mut *self.problems,
            })?;
        }
        Ok(())
    }
}

struct Records<'a> {
    section: Section,
    file: &'a mut DirectoryFile,
    problems: &'a mut Problems,
}

impl<'de> DeserializeSeed<'de> for Records<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the list of {}", self.section.name())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let section = self.section;
        let mut index = 0;
        while let Some(value) = list.next_element::<Value>()? {
            let place = Place {
                section,
                spot: Spot::Index(index),
            };
            self.file.take(place, value, self.problems);
            index += 1;
        }
        Ok(())
    }
}
