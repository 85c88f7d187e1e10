//! The runbook's commands, to be run as they are written.

use std::process::Output;

use super::daemon::TestDaemon;

const RUNBOOK: &str = include_str!("../../docs/runbook.md");

/// The commands in the code blocks of the section with this heading, those of its sub-sections included, in their order: lines that
/// begin with `enrolld` or `sudo`.
pub(crate) fn commands(section: &str) -> Vec<&'static str> {
    let commands = commands_in(RUNBOOK, section);
    assert!(
        !commands.is_empty(),
        "the runbook has no command in a section {section:?}"
    );
    commands
}

fn commands_in<'a>(text: &'a str, section: &str) -> Vec<&'a str> {
    let mut level = None;
    let mut is_fenced = false;
    let mut commands = Vec::new();
    for line in text.lines() {
        let code = line.trim();
        if code.starts_with("```") {
            is_fenced = !is_fenced;
        } else if let Some((depth, heading)) = heading(line).filter(|_| !is_fenced) {
            if level.is_some_and(|level| depth <= level) {
                break;
            }
            if heading == section {
                level = Some(depth);
            }
        } else if level.is_some()
            && (is_fenced || line.starts_with("    "))
            && (code.starts_with("enrolld ") || code.starts_with("sudo "))
        {
            commands.push(code);
        }
    }
    commands
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches('#');
    let depth = line.len() - text.len();
    (depth > 0).then(|| (depth, text.trim()))
}

/// The command with `values` in the places of its placeholders, which are words in capitals (`ID`, `SEQ`). None may be left.
pub(crate) fn filled(command: &str, values: &[(&str, &str)]) -> String {
    // What the shell leaves out is not for the reader to fill in.
    let command = command.split("  #").next().unwrap_or(command).trim_end();
    let mut filled = String::new();
    for word in command.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))) {
        let name = word.trim_end_matches(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
        if let Some((_, value)) = values.iter().find(|(placeholder, _)| *placeholder == name) {
            filled.extend([*value, &word[name.len()..]]);
            continue;
        }
        let is_placeholder = name.len() > 1 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        assert!(!is_placeholder, "nothing fills {name} in {command:?}");
        filled.push_str(word);
    }
    filled
}

impl TestDaemon {
    /// Runs a line of the runbook in a shell, as who reads it does: `enrolld` has the daemon's settings, and it is the daemon's user
    /// already who types, so that `sudo -u enrolld` changes nothing.
    pub(crate) fn type_in(&self, line: &str) -> Output {
        let functions = "enrolld() { \"$PROGRAM\" \"$@\" --config enrolld.toml; }; sudo() { shift 2; \"$@\"; }";
        let mut shell = self.shell();
        shell.arg("-c").arg(format!("{functions}\n{line}"));
        shell.output().expect("there is a shell")
    }

    /// The same; it must succeed. Gives standard output.
    #[track_caller]
    pub(crate) fn typed(&self, line: &str) -> String {
        let output = self.type_in(line);
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{line}: {stdout}{stderr}");
        stdout.into_owned()
    }
}

#[test]
fn the_commands_of_a_section_are_found_and_filled() {
    let text = "# Book\n\n    enrolld no\n\n## Dead jobs\n\nRead `enrolld jobs list`:\n\n    enrolld jobs show ID    # the JOB\n    sqlite3 x\n\n\
                ### Then\n\n1. so\n\n   ```sh\n   sudo -u enrolld enrolld jobs requeue ID --reason \"as said\"\n   # a comment\n   ```\n\n## Next\n\n    enrolld no\n";
    let commands = commands_in(text, "Dead jobs");
    assert_eq!(
        commands,
        [
            "enrolld jobs show ID    # the JOB",
            "sudo -u enrolld enrolld jobs requeue ID --reason \"as said\""
        ]
    );
    assert_eq!(commands_in(text, "Then").len(), 1);
    assert_eq!(commands_in(text, "Nowhere"), [""; 0]);
    assert_eq!(filled(commands[0], &[("ID", "a-1")]), "enrolld jobs show a-1");
    assert_eq!(
        filled("enrolld a REG --b='REG' --c=x_REG reg", &[("REG", "r")]),
        "enrolld a r --b='r' --c=x_REG reg"
    );
}

#[test]
#[should_panic(expected = "nothing fills ID")]
fn a_placeholder_that_nothing_fills_is_an_error() {
    filled("enrolld jobs show ID", &[("SEQ", "1")]);
}
