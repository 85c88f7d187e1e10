//! Settings that systemd hands over as credentials (`LoadCredential=`): a file in `$CREDENTIALS_DIRECTORY`, named after its key, as
//! `database.url` or `provisioning.targets.0.token`. So a secret stands in no environment and in no file that the daemon's account may
//! read.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::problem::SettingsError;

/// Largest credential that is a setting, in bytes.
const LARGEST: u64 = 64 * 1024;

/// A file of the folder.
pub(super) struct Credential {
    pub(super) name: String,
    /// What it holds; the error says what is wrong with it.
    pub(super) text: Result<SecretString, String>,
}

/// The credentials, sorted by whether they are settings.
#[derive(Default)]
pub(super) struct Credentials {
    /// Their names begin with one of our sections.
    pub(super) settings: Vec<Credential>,
    /// Names of the others: a service may have credentials for other purposes, such as a certificate.
    pub(super) others: Vec<String>,
}

/// The folder of this process's credentials, if systemd has given it one.
pub fn credentials_dir() -> Option<PathBuf> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty());
    folder.map(PathBuf::from)
}

impl Credentials {
    /// Reads the folder; `is_section` tells whether a name is one of our sections.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub(super) fn read(folder: &Path, is_section: impl Fn(&str) -> bool) -> Result<Self, SettingsError> {
        let unreadable = |error: &std::io::Error| {
            let remedy = "CREDENTIALS_DIRECTORY is for systemd to set: leave it out, or name a folder that can be read";
            SettingsError::of_file(
                &folder.display().to_string(),
                format!("cannot be read: {error}"),
                remedy.to_owned(),
            )
        };
        let mut credentials = Self::default();
        for entry in fs::read_dir(folder).map_err(|error| unreadable(&error))? {
            let entry = entry.map_err(|error| unreadable(&error))?;
            // What is not UTF-8 is no key.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name.split_once('.').is_some_and(|(section, _)| is_section(section)) {
                let text = text_of(&entry.path());
                credentials.settings.push(Credential { name, text });
            } else {
                credentials.others.push(name);
            }
        }
        credentials.settings.sort_by(|a, b| a.name.cmp(&b.name));
        credentials.others.sort();
        Ok(credentials)
    }
}

/// The content, without the line end that editors and `echo` leave.
fn text_of(file: &Path) -> Result<SecretString, String> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err("is larger than 64 KiB".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not valid UTF-8".to_owned())?;
    Ok(text.trim_end_matches(['\n', '\r']).into())
}
