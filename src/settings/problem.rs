//! What is wrong with a configuration: every problem, each with its key and its remedy.

use std::fmt;
use std::path::PathBuf;

/// Longest key for which a suggestion is looked up; the search is quadratic in its length.
const LONGEST_SUGGESTED: usize = 80;
/// Problems written out by [`SettingsError`]'s `Display`; the rest is only counted.
const MOST_SHOWN: usize = 100;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The embedded `config/default.toml`, or built in for optional keys.
    Default,
    /// The settings file.
    File(PathBuf),
    /// A file named after the key, handed over by systemd (`LoadCredential=`).
    Credential,
    /// A variable `ENROLLD__SECTION__KEY`.
    Environment,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Credential => f.write_str("credential"),
            Self::Environment => f.write_str("environment"),
        }
    }
}

/// One thing to put right before the daemon can start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key, `da_response.timeout`; or the path of the file, when the file itself is at fault.
    pub key: String,
    /// What is wrong. Never holds the value of a secret or of a URL that may carry a password.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// Where the value was given; `Default` when it was given nowhere.
    pub source: Source,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)?;
        match &self.source {
            Source::Default => {}
            Source::File(path) => write!(f, " (in {})", path.display())?,
            Source::Credential => write!(f, " (in the credential {})", credential(&self.key))?,
            Source::Environment => write!(f, " (in the environment: {})", variable(&self.key))?,
        }
        write!(f, "\n    {}", self.remedy)
    }
}

/// The settings cannot be used. Holds all problems found, in the order of the default file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// Never empty.
    pub problems: Vec<Problem>,
}

impl SettingsError {
    /// A problem of the file itself, which leaves nothing else to judge.
    pub(super) fn of_file(path: &str, what: String, remedy: String) -> Self {
        let key = path.to_owned();
        Self {
            problems: vec![Problem {
                key,
                what,
                remedy,
                source: Source::Default,
            }],
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => f.write_str("1 problem in the settings")?,
            n => write!(f, "{n} problems in the settings")?,
        }
        for problem in self.problems.iter().take(MOST_SHOWN) {
            write!(f, "\n  {}", problem.to_string().replace('\n', "\n  "))?;
        }
        match self.problems.len().saturating_sub(MOST_SHOWN) {
            0 => Ok(()),
            rest => write!(f, "\n  and {rest} more"),
        }
    }
}

impl std::error::Error for SettingsError {}

/// The environment variable for `key`: `da_response.timeout` is `ENROLLD__DA_RESPONSE__TIMEOUT`.
pub(super) fn variable(key: &str) -> String {
    let path = key.replace('[', ".").replace(']', "").replace('.', "__");
    format!("{}{}", super::layers::PREFIX, path.to_uppercase())
}

/// The name of the credential for `key`: `provisioning.targets.0.token` for `provisioning.targets[0].token`.
fn credential(key: &str) -> String {
    key.replace('[', ".").replace(']', "")
}

/// The key that is most like the unknown key `key`, if it is alike enough to be meant.
pub(super) fn alike<'k>(key: &str, known: impl Iterator<Item = &'k String>) -> Option<&'k String> {
    if key.len() > LONGEST_SUGGESTED {
        return None;
    }
    let by_likeness = known
        .map(|candidate| (strsim::normalized_damerau_levenshtein(key, candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    by_likeness
        .filter(|(likeness, _)| *likeness >= 0.7)
        .map(|(_, candidate)| candidate)
}

/// The remedy for the unknown key `key`, from the keys there are.
pub(super) fn did_you_mean<'k>(key: &str, known: impl Iterator<Item = &'k String> + Clone) -> String {
    if let Some(candidate) = alike(key, known.clone()) {
        return format!("did you mean {candidate}?");
    }
    if key.len() <= LONGEST_SUGGESTED {
        // The right name in the wrong section, where there is only one of that name.
        let leaf = key.rsplit('.').next().unwrap_or(key);
        let mut namesakes = known
            .clone()
            .filter(|candidate| candidate.rsplit('.').next() == Some(leaf));
        if let (Some(elsewhere), None) = (namesakes.next(), namesakes.next()) {
            return format!("did you mean {elsewhere}?");
        }
    }
    let section = key.split('.').next().unwrap_or(key);
    let siblings: Vec<&str> = known
        .filter(|candidate| candidate.split('.').next() == Some(section))
        .map(String::as_str)
        .collect();
    if siblings.is_empty() {
        "remove it; `enrolld config show` lists every key".to_owned()
    } else {
        format!("remove it; the keys of [{section}] are {}", siblings.join(", "))
    }
}
