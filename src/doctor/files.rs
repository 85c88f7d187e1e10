//! Folders and files: that we may write where we must, and that nobody else reads what is secret or personal.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::Finding;
use crate::settings::{DatabaseUrl, MailTransport, Settings, Source};

/// The bit of a mode that lets everybody read a file, or list a folder.
const OTHERS_READ: u32 = 0o004;
/// The bit of a mode that lets everybody reach what is in a folder.
const OTHERS_ENTER: u32 = 0o001;

/// What to do where we may not write.
const OWNER: &str = "run this as the daemon's user (`sudo -u enrolld enrolld doctor`), or give the folder to that user";

pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    let mut findings: Vec<Finding> = settings_files(settings);
    findings.push(data_dir(&settings.data_dir));
    if let DatabaseUrl::Sqlite(file) = &settings.database.url {
        findings.extend(database_file(file));
    }
    if let MailTransport::File { dir } = &settings.mail.transport {
        findings.push(mail_folder(dir));
    }
    findings
}

/// The file that secrets were read from.
fn settings_files(settings: &Settings) -> Vec<Finding> {
    let mut files: Vec<(&Path, bool)> = Vec::new();
    for setting in settings.describe() {
        let Source::File(path) = &setting.source else { continue };
        let is_secret = setting.value == "(set)" || setting.value.contains("***");
        match files.iter_mut().find(|(known, _)| known == path) {
            Some((_, has_secrets)) => *has_secrets |= is_secret,
            None => files.push((path, is_secret)),
        }
    }
    let finding = |(path, has_secrets): (&Path, bool)| {
        let shown = path.display();
        if has_secrets && is_open(path) {
            Finding::problem(
                "settings file",
                format!("{shown} holds secrets, and everybody on this machine may read it"),
                format!(
                    "chmod o-rwx {shown}, and see that the daemon's user can still read it (chgrp enrolld, chmod g+r)"
                ),
            )
        } else if has_secrets {
            Finding::ok(
                "settings file",
                format!("{shown} holds secrets, and is closed to others"),
            )
        } else {
            Finding::ok("settings file", format!("{shown} holds no secrets"))
        }
    };
    files.into_iter().map(finding).collect()
}

fn data_dir(folder: &Path) -> Finding {
    let shown = folder.display();
    match probe(folder) {
        Ok(()) => Finding::ok("data_dir", format!("{shown} is writable")),
        Err(error) if error.kind() == ErrorKind::NotFound => Finding::warning(
            "data_dir",
            format!("{shown} is not there yet"),
            "`enrolld migrate` makes it, and so does the start, where the daemon's user may; or make it for that user",
        ),
        Err(error) => Finding::problem("data_dir", format!("{shown} cannot be written to: {error}"), OWNER),
    }
}

/// A file that is not there is the business of the check of the database.
fn database_file(file: &Path) -> Option<Finding> {
    let shown = file.display();
    if is_open(file) {
        return Some(Finding::problem(
            "database file",
            format!(
                "everybody on this machine may read {shown}: names, addresses, and the key of links if it is kept there"
            ),
            format!(
                "chmod o-rwx {shown}*, or close the folder: chmod o-rwx {}",
                parent(file).display()
            ),
        ));
    }
    // It is not opened: to close it again would take the locks of SQLite from a daemon that looks at itself.
    let may = accessat(CWD, file, Access::READ_OK | Access::WRITE_OK, AtFlags::EACCESS);
    match may.map_err(io::Error::from) {
        Ok(()) => Some(Finding::ok(
            "database file",
            format!("{shown} is writable, and closed to others"),
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(Finding::problem(
            "database file",
            format!("{shown} cannot be written to: {error}"),
            OWNER,
        )),
    }
}

fn mail_folder(folder: &Path) -> Finding {
    let shown = folder.display();
    if is_open(folder) {
        return Finding::problem(
            "mail folder",
            format!("everybody on this machine may read the mails in {shown}, and open the links in them"),
            format!("chmod o-rwx {shown}"),
        );
    }
    match probe(folder) {
        Ok(()) => Finding::ok("mail folder", format!("{shown} is writable, and closed to others")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Finding::ok("mail folder", format!("{shown} is made with the first mail"))
        }
        Err(error) => Finding::problem("mail folder", format!("{shown} cannot be written to: {error}"), OWNER),
    }
}

/// Whether others may read it: its own mode lets them, and no folder above is closed.
fn is_open(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let lets = |path: &Path, bit| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & bit != 0);
    lets(&path, OTHERS_READ) && path.ancestors().skip(1).all(|folder| lets(folder, OTHERS_ENTER))
}

/// Writes a file, since modes tell nothing of drives that are full or only to be read.
fn probe(folder: &Path) -> io::Result<()> {
    let file = folder.join(format!(".enrolld-doctor-{}", std::process::id()));
    // One of a process that ended in between may be there, and have had the same number.
    match fs::remove_file(&file) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)?;
    fs::remove_file(&file)
}

fn parent(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
