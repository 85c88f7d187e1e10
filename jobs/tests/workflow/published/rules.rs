//! `docs/rules.md`, written by hand: every rule has a row, whose links lead to code that names the rule and to tests that bear it in
//! their names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::docs;

/// The rules of the guide that ask something of the daemon. What is missing here is missing there.
const RULES: [std::ops::RangeInclusive<u32>; 6] = [1..=5, 7..=8, 10..=11, 19..=20, 22..=45, 49..=69];

/// The decisions where the guide is silent.
const DECISIONS: std::ops::RangeInclusive<u32> = 1..=24;

/// `R1` to `D24`.
fn expected() -> BTreeSet<String> {
    let rules = RULES.into_iter().flatten().map(|number| format!("R{number}"));
    rules.chain(DECISIONS.map(|number| format!("D{number}"))).collect()
}

/// A row of the table.
struct Row {
    number: String,
    code: Vec<Reference>,
    tests: Vec<Reference>,
}

/// A linked file, and the names that follow the link.
struct Reference {
    /// As it is linked, from `docs/`.
    file: String,
    names: Vec<String>,
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(docs().join("rules.md")).expect("docs/rules.md");
    let mut rows = Vec::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, number, rule, code, tests, _] = cells[..] else {
            continue;
        };
        if !is_number(number, 'R') && !is_number(number, 'D') {
            continue;
        }
        assert!(rule.len() > 10, "{number} does not say its rule");
        rows.push(Row {
            number: number.to_owned(),
            code: references(code),
            tests: references(tests),
        });
    }
    rows
}

/// `R31`, of the letter `R`.
fn is_number(text: &str, letter: char) -> bool {
    let digits = text.strip_prefix(letter).unwrap_or_default();
    !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
}

/// ``[`label`](file) `name`, `name`; [`label`](file) …``
fn references(cell: &str) -> Vec<Reference> {
    let after_labels = cell.split("](").skip(1);
    after_labels
        .map(|rest| {
            let (file, rest) = rest.split_once(')').expect("the link ends");
            // What follows may be the label of the next link.
            let names = rest.split('[').next().unwrap_or_default();
            Reference {
                file: file.to_owned(),
                names: names.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
            }
        })
        .collect()
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect()
}

/// The numbers that a function's name bears: `r31_d4_…` is of R31 and D4. None unless it begins with one.
fn borne_by(name: &str) -> Vec<String> {
    let numbers: Vec<_> = name
        .split('_')
        .map(|part| {
            let part = part.to_ascii_uppercase();
            (is_number(&part, 'R') || is_number(&part, 'D')).then_some(part)
        })
        .collect();
    match numbers.first() {
        Some(Some(_)) => numbers.into_iter().flatten().collect(),
        Some(None) | None => Vec::new(),
    }
}

/// The names of the functions in a source file.
fn functions(source: &str) -> Vec<&str> {
    let after = source.split("fn ").skip(1);
    after
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
        .map(Option::unwrap_or_default)
        .collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_rule_has_a_row() {
    let mut seen = BTreeMap::new();
    for row in rows() {
        *seen.entry(row.number).or_insert(0) += 1;
    }
    let expected: BTreeMap<_, _> = expected().into_iter().map(|number| (number, 1)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn every_row_leads_to_code_and_tests_of_its_rule() {
    let mut problems = Vec::new();
    for Row { number, code, tests } in rows() {
        for (what, list) in [("code", &code), ("test", &tests)] {
            if list.is_empty() || list.iter().any(|reference| reference.names.is_empty()) {
                problems.push(format!("{number}: its {what} is not named"));
            }
        }
        for Reference { file, names } in &code {
            let source = fs::read_to_string(docs().join(file)).unwrap_or_default();
            let words = words(&source);
            for wanted in names.iter().chain([&number]) {
                if !words.contains(wanted.as_str()) {
                    problems.push(format!("{number}: {file} does not name {wanted}"));
                }
            }
        }
        for Reference { file, names } in &tests {
            let source = fs::read_to_string(docs().join(file)).unwrap_or_default();
            let functions = functions(&source);
            for name in names {
                if !functions.contains(&name.as_str()) {
                    problems.push(format!("{number}: {file} has no test {name}"));
                }
                if !borne_by(name).contains(&number) {
                    problems.push(format!("{number} is not in the name of {name}"));
                }
            }
        }
    }
    assert!(problems.is_empty(), "docs/rules.md:\n{}", problems.join("\n"));
}

#[test]
fn no_test_bears_a_number_that_is_no_rule() {
    let root = docs().join("..");
    let mut files = Vec::new();
    for folder in ["jobs/src", "jobs/tests", "src", "tests"] {
        sources(&root.join(folder), &mut files);
    }
    let expected = expected();
    let mut seen = 0;
    for file in files {
        let source = fs::read_to_string(&file).expect("the source is readable");
        for name in functions(&source) {
            for number in borne_by(name) {
                assert!(expected.contains(&number), "{}: {name} is of no rule", file.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "only {seen} tests bear a rule's number");
}
