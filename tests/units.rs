//! The units as they stand in `systemd/`: sound, hardened, and the same for one daemon and for several. Run under a real systemd they are
//! by `make systemd-test`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const UNITS: [&str; 4] = [
    "enrolld.service",
    "enrolld-migrate.service",
    "enrolld@.service",
    "enrolld-migrate@.service",
];

/// The worst rating allowed, in tenths.
const WORST: u32 = 15;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

fn unit(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The lines that say something, in their order.
fn directives(name: &str) -> Vec<String> {
    let text = unit(name);
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// `None` where there is no `systemd-analyze`, which is told.
fn analyze(arguments: &[&str]) -> Option<Output> {
    match Command::new("systemd-analyze").args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            #[expect(
                clippy::print_stderr,
                reason = "whoever runs the tests is to know what was not tested"
            )]
            {
                eprintln!("skipped: systemd-analyze cannot be run here ({error})");
            }
            None
        }
    }
}

#[test]
fn units_are_rated_as_hardened() {
    for name in UNITS {
        let path = folder().join(name);
        let Some(output) = analyze(&["security", "--offline=true", "--no-pager", &path.to_string_lossy()]) else {
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let rating = text.lines().find_map(|line| line.split_once("exposure level for "));
        let (_, rating) = rating.unwrap_or_else(|| panic!("{name} is not rated: {output:?}"));
        let number = rating.split(": ").nth(1).and_then(|rest| rest.split(' ').next());
        let tenths = number.and_then(|number| number.replace('.', "").parse::<u32>().ok());
        assert!(tenths.is_some_and(|tenths| tenths <= WORST), "{name}: {rating}");
    }
}

#[test]
fn systemd_understands_the_units() {
    let copies = tempfile::tempdir().expect("the temporary folder is writable");
    for name in UNITS {
        // As if the program were installed.
        let text = unit(name).replace("/usr/bin/enrolld", env!("CARGO_BIN_EXE_enrolld"));
        fs::write(copies.path().join(name), text).expect("the folder is writable");
    }
    for name in UNITS {
        let path = copies.path().join(name.replace('@', "@one"));
        if name.contains('@') {
            fs::copy(copies.path().join(name), &path).expect("the folder is writable");
        }
        let Some(output) = analyze(&["verify", "--man=no", &path.to_string_lossy()]) else {
            return;
        };
        let text = String::from_utf8_lossy(&output.stderr);
        // systemd 254 and later know these two, and what else is installed here is not ours.
        let remarks: Vec<_> = text
            .lines()
            .filter(|line| line.contains("enrolld"))
            .filter(|line| !line.contains("'RestartSteps'") && !line.contains("'RestartMaxDelaySec'"))
            .collect();
        assert_eq!(remarks, [""; 0], "{name}");
    }
}

/// What differs is the name, and with it settings, folder and credentials.
#[test]
fn an_instance_is_what_the_one_daemon_is() {
    for name in ["enrolld", "enrolld-migrate"] {
        let as_one = |line: String| {
            line.replace("/etc/enrolld/%i.toml", "/etc/enrolld/enrolld.toml")
                .replace("/%i", "")
                .replace("@%i", "")
                .replace(" (%i)", "")
        };
        let instance: Vec<_> = directives(&format!("{name}@.service"))
            .into_iter()
            .map(as_one)
            .collect();
        assert_eq!(instance, directives(&format!("{name}.service")));
    }
}

#[test]
fn migrations_are_given_what_the_daemon_is_given() {
    let credentials = |name: &str| -> BTreeSet<String> {
        let lines = directives(name).into_iter();
        lines.filter(|line| line.starts_with("LoadCredential=")).collect()
    };
    assert_eq!(credentials("enrolld-migrate.service"), credentials("enrolld.service"));
    assert_eq!(credentials("enrolld.service").len(), 6);
}

#[test]
fn no_unit_brings_a_secret_into_environment_or_command_line() {
    for name in UNITS {
        for line in directives(name) {
            let is_environment = line.starts_with("Environment") || line.starts_with("PassEnvironment");
            assert!(!is_environment, "{name}: {line}");
            assert!(
                !line.starts_with("Exec") || !line.contains("CREDENTIALS"),
                "{name}: {line}"
            );
        }
    }
}
