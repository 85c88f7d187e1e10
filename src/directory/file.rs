//! A directory file, read whole: its sound records, and which ids it brings.

use std::{collections::HashMap, fs, path::Path};

use enrolld_jobs::{
    directory::{Contract, Organization},
    values::{AccountId, ContractNumber, InvalidValue, OrganizationId, SerialNumber},
};
use serde_json::Value;

use super::{
    csv_folder,
    field::Fields,
    json_file,
    problem::{ImportError, Problems},
    record::{AccountRecord, AdministratorRecord, DeviceRecord, Place, Placed, Section, Spot},
};

/// Largest file, or folder of files.
pub(super) const MAX_MIB: u64 = 512;

/// The ids that a file brings, with the place of each. Also those of records that are otherwise wrong: a reference to
/// one of them is not a second problem.
type Ids<K = String> = HashMap<K, Spot>;

/// What a directory file holds.
#[derive(Debug, Default)]
pub(super) struct DirectoryFile {
    pub(super) organizations: Vec<Placed<Organization>>,
    pub(super) accounts: Vec<Placed<AccountRecord>>,
    pub(super) contracts: Vec<Placed<Contract>>,
    pub(super) devices: Vec<Placed<DeviceRecord>>,
    pub(super) administrators: Vec<Placed<AdministratorRecord>>,
    pub(super) organization_ids: Ids,
    pub(super) account_ids: Ids,
    pub(super) contract_numbers: Ids,
    serial_numbers: Ids,
    appointments: Ids<(String, String)>,
}

/// Reads a JSON file or a folder of CSV files.
pub(super) fn read(path: &Path) -> Result<(DirectoryFile, Problems), ImportError> {
    let failed = |source| ImportError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = DirectoryFile::default();
    let mut problems = Problems::default();
    if fs::metadata(path).map_err(failed)?.is_dir() {
        csv_folder::read(path, &mut file, &mut problems)?;
    } else {
        json_file::read(path, &mut file, &mut problems)?;
    }
    Ok((file, problems))
}

/// A contract number, trimmed (contract, section 3).
fn contract_number(text: String) -> Result<ContractNumber, InvalidValue> {
    ContractNumber::new(trimmed(text))
}

/// A serial number, trimmed and in upper case (contract, section 3).
fn serial_number(text: String) -> Result<SerialNumber, InvalidValue> {
    SerialNumber::new(trimmed(text))
}

fn trimmed(text: String) -> String {
    let inner = text.trim();
    if inner.len() == text.len() {
        text
    } else {
        inner.to_owned()
    }
}

impl DirectoryFile {
    /// Takes one record in, or notes what is wrong with it.
    pub(super) fn take(&mut self, place: Place, value: Value, problems: &mut Problems) {
        let Some(mut fields) = Fields::open(place, value, problems) else {
            return;
        };
        match place.section {
            Section::Organizations => self.organization(place, &mut fields),
            Section::Accounts => self.account(place, &mut fields),
            Section::Contracts => self.contract(place, &mut fields),
            Section::Devices => self.device(place, &mut fields),
            Section::Administrators => self.administrator(place, &mut fields),
        };
    }

    fn organization(&mut self, place: Place, fields: &mut Fields<'_>) -> Option<()> {
        let id = fields.valid("id", OrganizationId::new);
        if let Some(id) = &id {
            once(&mut self.organization_ids, id.to_string(), place, fields);
        }
        let name = fields.required("name");
        if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
            fields.note("name: must not be empty, applicants choose by it");
        }
        let address = fields.list("address");
        let country = fields.required("country");
        let parent_id = fields.valid_optional("parent_id", OrganizationId::new);
        let email_domains = fields.list("email_domains");
        let flagged = fields.flag("flagged");
        if fields.sound() {
            self.organizations.push(Placed {
                spot: place.spot,
                record: Organization {
                    id: id?,
                    name: name?,
                    address,
                    country: country?,
                    parent_id,
                    email_domains,
                    flagged,
                },
            });
        }
        Some(())
    }

    fn account(&mut self, place: Place, fields: &mut Fields<'_>) -> Option<()> {
        let id = fields.valid("id", AccountId::new);
        if let Some(id) = &id {
            once(&mut self.account_ids, id.to_string(), place, fields);
        }
        let name = fields.required("name");
        let email = fields.optional("email");
        let status = fields.required("status");
        let locale = fields.optional("locale").unwrap_or_else(|| "en".to_owned());
        let flagged = fields.flag("flagged");
        let contracts = fields.valid_list("contracts", contract_number);
        if fields.sound() {
            self.accounts.push(Placed {
                spot: place.spot,
                record: AccountRecord {
                    id: id?,
                    name: name?,
                    email,
                    status: status?,
                    locale,
                    flagged,
                    contracts,
                },
            });
        }
        Some(())
    }

    fn contract(&mut self, place: Place, fields: &mut Fields<'_>) -> Option<()> {
        let number = fields.valid("number", contract_number);
        if let Some(number) = &number {
            once(&mut self.contract_numbers, number.to_string(), place, fields);
        }
        let kind = fields.required("type");
        let status = fields.required("status");
        let ends_on = fields.day("ends_on");
        let organization_id = fields.valid("organization_id", OrganizationId::new);
        let flagged = fields.flag("flagged");
        if fields.sound() {
            self.contracts.push(Placed {
                spot: place.spot,
                record: Contract {
                    number: number?.into(),
                    kind: kind?,
                    status: status?,
                    ends_on,
                    organization_id: organization_id?,
                    flagged,
                },
            });
        }
        Some(())
    }

    fn device(&mut self, place: Place, fields: &mut Fields<'_>) -> Option<()> {
        let serial_number = fields.valid("serial_number", serial_number);
        if let Some(serial) = &serial_number {
            once(&mut self.serial_numbers, serial.as_str().to_owned(), place, fields);
        }
        let contract_number = fields.valid("contract_number", contract_number);
        if fields.sound() {
            self.devices.push(Placed {
                spot: place.spot,
                record: DeviceRecord {
                    serial_number: serial_number?,
                    contract_number: contract_number?,
                },
            });
        }
        Some(())
    }

    fn administrator(&mut self, place: Place, fields: &mut Fields<'_>) -> Option<()> {
        let account_id = fields.valid("account_id", AccountId::new);
        let organization_id = fields.valid("organization_id", OrganizationId::new);
        if let (Some(account), Some(organization)) = (&account_id, &organization_id) {
            let key = (account.to_string(), organization.to_string());
            once(&mut self.appointments, key, place, fields);
        }
        if fields.sound() {
            self.administrators.push(Placed {
                spot: place.spot,
                record: AdministratorRecord {
                    account_id: account_id?,
                    organization_id: organization_id?,
                },
            });
        }
        Some(())
    }
}

/// Notes a key that stood in the file before.
fn once<K: std::hash::Hash + Eq>(seen: &mut Ids<K>, key: K, place: Place, fields: &mut Fields<'_>) {
    match seen.entry(key) {
        std::collections::hash_map::Entry::Vacant(entry) => {
            entry.insert(place.spot);
        }
        std::collections::hash_map::Entry::Occupied(entry) => {
            let first = Place {
                spot: *entry.get(),
                ..place
            };
            fields.note(format_args!("is in the file twice, first at {first}; remove one"));
        }
    }
}
