//! Provisioning: the downstream tools and their timing (D11).

use std::str::FromStr;
use std::time::Duration;

use chrono_tz::Tz;
use cron::Schedule;
use secrecy::SecretString;
use url::Url;

use super::reader::Reader;
use super::shape::quoted;
use super::values::{self, ANY_WAIT};
use crate::schedule::Calendar;

/// Most targets.
const MOST_TARGETS: usize = 32;

/// `provisioning`.
#[derive(Debug, Clone)]
pub struct ProvisioningSettings {
    /// Past this an access that is not active everywhere goes to the agents.
    pub within: Duration,
    /// How often a target that accepted is asked again.
    pub poll: Duration,
    /// When grants and targets are compared.
    pub reconcile_at: Calendar,
    /// The downstream tools; with none, access is active as soon as it is granted.
    pub targets: Vec<ProvisioningTarget>,
}

/// One of `[[provisioning.targets]]`.
#[derive(Debug, Clone)]
pub struct ProvisioningTarget {
    /// 1–32 of `a-z 0-9 -`, unlike every other.
    pub name: String,
    /// Start of the addresses of its grants, without query.
    pub url: Url,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<SecretString>,
}

impl ProvisioningSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let cron = "write a cron expression with seconds, such as \"0 30 3 * * *\" (03:30, daily)";
        let zone = "write a name of the IANA time zone database, such as \"UTC\" or \"Europe/Amsterdam\"";
        Self {
            within: reader.duration("provisioning.within", &ANY_WAIT),
            poll: reader.duration(
                "provisioning.poll",
                &(Duration::from_millis(10)..=Duration::from_hours(24)),
            ),
            reconcile_at: Calendar {
                expression: reader.text("provisioning.reconcile_at", cron, |text| {
                    Schedule::from_str(text).map_err(|_| format!("{} is not a cron expression", quoted(text)))
                }),
                zone: reader.text("provisioning.reconcile_time_zone", zone, |text| {
                    Tz::from_str(text).map_err(|_| format!("{} is not a time zone", quoted(text)))
                }),
            },
            targets: targets(reader),
        }
    }

    /// The names of the targets, in their order.
    pub fn target_names(&self) -> Vec<String> {
        self.targets.iter().map(|target| target.name.clone()).collect()
    }
}

fn targets(reader: &mut Reader) -> Vec<ProvisioningTarget> {
    for key in ["name", "url", "token"] {
        reader.know(&format!("provisioning.targets[].{key}"));
    }
    let mut targets: Vec<ProvisioningTarget> = Vec::new();
    for index in 0..reader.tables("provisioning.targets", MOST_TARGETS) {
        let key = |name: &str| format!("provisioning.targets[{index}].{name}");
        let name_wanted = "write 1 to 32 of the characters a-z 0-9 -, unlike every other target's";
        let name = reader.optional_text(&key("name"), name_wanted, |text| {
            let fits = text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            if !fits || text.len() > 32 {
                Err(format!("{} has other characters, or is too long", quoted(text)))
            } else if targets.iter().any(|other| other.name == text) {
                Err(format!("{} is the name of another target", quoted(text)))
            } else {
                Ok(text.to_owned())
            }
        });
        let url_wanted = "write the target's address, such as \"https://tool.example/api\", without query, fragment, user or password; \
             the credential goes into token";
        let url = reader.optional_text(&key("url"), url_wanted, values::base_url);
        let token_wanted = "write the target's token as it stands: visible ASCII without spaces";
        let token = reader.secret(&key("token"), token_wanted, |text| values::token(text, 1));
        for (key, is_missing, wanted) in [
            (key("name"), name.is_none(), name_wanted),
            (key("url"), url.is_none(), url_wanted),
        ] {
            if is_missing && reader.is_sound(&key) {
                reader.problem(&key, "is not set", wanted);
            }
        }
        let (Some(name), Some(url)) = (name, url) else {
            continue;
        };
        if token.is_some() && url.scheme() == "http" && !values::is_loopback(&url) {
            reader.warn(format!(
                "provisioning.targets[{index}].url is {url}: the token crosses the network unencrypted; use https://"
            ));
        }
        targets.push(ProvisioningTarget { name, url, token });
    }
    targets
}
