//! What packages bring along: completions and man pages.

use std::process::Command;

use super::{Ended, Enrolld};

/// What bash offers for the last of `words`.
fn offered(enrolld: &Enrolld, words: &[&str]) -> Vec<String> {
    let script = r#"
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_enrolld enrolld "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    bash.args(["--noprofile", "--norc", "-c", script, "bash"])
        .arg(enrolld.path("completions"))
        .args(words);
    let told = Ended::of(bash.output().expect("bash can be run")).succeeds();
    told.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_options_and_names() {
    let enrolld = Enrolld::new("");
    enrolld.write("completions", enrolld.run(&["completions", "bash"]).succeeds());
    let verbs = offered(&enrolld, &["enrolld", "re"]);
    assert!(verbs.contains(&"registrations".to_owned()), "{verbs:?}");
    assert_eq!(offered(&enrolld, &["enrolld", "registrations", "sh"]), ["show"]);
    let options = offered(&enrolld, &["enrolld", "jobs", "list", "--st"]);
    assert_eq!(options, ["--state"]);
    let states = offered(&enrolld, &["enrolld", "jobs", "list", "--state", "de"]);
    assert_eq!(states, ["dead"]);
    for shell in ["zsh", "fish"] {
        let script = enrolld.run(&["completions", shell]).succeeds();
        assert!(script.contains("registrations"), "{script}");
    }
}

/// The verbs that the help of `words` lists.
fn verbs(enrolld: &Enrolld, words: &[&str]) -> Vec<String> {
    let help = enrolld.run(&[words, &["--help"]].concat()).succeeds();
    let Some((_, listed)) = help.split_once("\nCommands:\n") else {
        return Vec::new();
    };
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let verbs = lines.filter_map(|line| {
        line.strip_prefix("  ")?
            .split(' ')
            .next()
            .filter(|verb| !verb.is_empty())
    });
    verbs.filter(|verb| *verb != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_man_page() {
    let enrolld = Enrolld::new("");
    // Made when it is missing.
    enrolld.run(&["man", "share/man1"]).succeeds();
    let mut expected = vec!["enrolld.1".to_owned()];
    for group in verbs(&enrolld, &[]) {
        expected.push(format!("enrolld-{group}.1"));
        for verb in verbs(&enrolld, &[&group]) {
            expected.push(format!("enrolld-{group}-{verb}.1"));
        }
    }
    let pages = std::fs::read_dir(enrolld.path("share/man1")).expect("the folder is there");
    let mut pages: Vec<_> = pages
        .map(|page| page.expect("it can be read").file_name().into_string().expect("UTF-8"))
        .collect();
    expected.sort();
    pages.sort();
    assert_eq!(pages, expected);
    assert!(pages.len() > 20, "{pages:?}");

    let page = std::fs::read_to_string(enrolld.path("share/man1/enrolld-registrations-list.1")).expect("it is text");
    let page = page.replace(env!("CARGO_PKG_VERSION"), "[version]");
    insta::assert_snapshot!("man_registrations_list", page);

    enrolld.write("in-the-way", "");
    let said = enrolld.run(&["man", "in-the-way/man1"]).fails();
    assert!(said.contains("cannot write man pages into in-the-way/man1"), "{said}");
}
