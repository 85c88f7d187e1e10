//! The alert rules and the dashboard of `config/monitoring`: they name what there is, and Prometheus takes them.

use std::collections::BTreeSet;
use std::path::Path;

use enrolld::metrics::names::{ALL, Family, Kind};
use enrolld_jobs::effect::AlertCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::promtool::promtool;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/monitoring");
const RULES: &str = include_str!("../../../config/monitoring/alerts.yml");
const RULE_TESTS: &str = include_str!("../../../config/monitoring/alerts.test.yml");
const DASHBOARD: &str = include_str!("../../../config/monitoring/dashboard.json");
const RUNBOOK: &str = include_str!("../../../docs/runbook.md");

/// Labels that Prometheus gives by itself.
const GIVEN: [&str; 3] = ["job", "instance", "le"];

/// The alerts: each name, and the lines below it up to the next.
fn alerts() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut alerts: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in RULES.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            alerts.push((name, Vec::new()));
        } else if let Some((_, lines)) = alerts.last_mut() {
            lines.push(line);
        }
    }
    alerts
}

/// Every metric of ours that a text names, with the labels that it selects by.
fn metrics(text: &str) -> Vec<(String, Vec<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (start, _) in text.match_indices("enrolld_") {
        let rest = &text[start..];
        let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
        let selector = rest[name.len()..]
            .strip_prefix('{')
            .and_then(|rest| rest.split('}').next());
        let labels = selector.into_iter().flat_map(|selector| selector.split(','));
        let label = |matcher: &str| matcher.trim().chars().take_while(|c| is_name(*c)).collect();
        found.push((name, labels.map(label).collect()));
    }
    found
}

fn family_of(name: &str) -> Option<&'static Family> {
    ALL.iter().find(|family| match family.kind {
        Kind::Counter | Kind::Gauge => family.name == name,
        Kind::Histogram(_) => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|suffix| name.strip_suffix(suffix) == Some(family.name)),
    })
}

/// The queries of the dashboard, with their panels' titles.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let mut queries = Vec::new();
    for panel in panels {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            queries.push((text(&panel["title"]), text(&target["expr"])));
        }
    }
    queries
}

#[test]
fn rules_and_dashboard_name_metrics_and_labels_that_there_are() {
    let queries: String = queries().into_iter().map(|(_, query)| query + "\n").collect();
    let mut used = BTreeSet::new();
    for (file, text) in [
        ("alerts.yml", RULES),
        ("alerts.test.yml", RULE_TESTS),
        ("dashboard.json", &queries),
    ] {
        for (name, labels) in metrics(text) {
            let family = family_of(&name);
            let family = family.unwrap_or_else(|| panic!("{file}: there is no {name}"));
            for label in labels {
                let known = family.labels.iter().chain(&GIVEN);
                assert!(
                    known.clone().any(|known| *known == label),
                    "{file}: {name} has no label {label}"
                );
            }
            if file == "dashboard.json" {
                used.insert(family.name);
            }
        }
    }
    let unseen: Vec<_> = ALL
        .iter()
        .map(|family| family.name)
        .filter(|name| !used.contains(name))
        .collect();
    assert_eq!(unseen, [""; 0], "the dashboard shows everything");
}

#[test]
fn prometheus_takes_the_rules_and_they_do_what_they_are_tested_for() {
    promtool(&["check", "rules", "alerts.yml"], Path::new(FOLDER), "");
    promtool(&["test", "rules", "alerts.test.yml"], Path::new(FOLDER), "");
}

/// As rules, since `promtool` reads no dashboards.
#[test]
fn prometheus_takes_the_queries_of_the_dashboard() {
    use std::fmt::Write as _;

    let folder = TempDir::with_prefix("enrolld-dashboard-").expect("the temporary folder is writable");
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (number, (title, query)) in queries().iter().enumerate() {
        let query = query.replace("$__rate_interval", "5m");
        let query = serde_json::to_string(&query).expect("a text");
        write!(
            rules,
            "      - record: query_{number}\n        expr: {query} # {title}\n"
        )
        .expect("a String takes any text");
    }
    std::fs::write(folder.path().join("rules.yml"), rules).expect("the folder is writable");
    promtool(&["check", "rules", "rules.yml"], folder.path(), "");
}

/// Whether the runbook has a section that a link leads to, such as `#dead-jobs`.
fn has_section(link: &str) -> bool {
    let anchor = |heading: &str| {
        heading
            .trim_start_matches('#')
            .trim()
            .to_lowercase()
            .replace(' ', "-")
            .replace(['\'', '(', ')'], "")
    };
    let mut headings = RUNBOOK.lines().filter(|line| line.starts_with("##"));
    headings.any(|heading| link.strip_prefix('#') == Some(anchor(heading).as_str()))
}

#[test]
fn every_link_within_the_runbook_leads_to_a_section() {
    let links = RUNBOOK.split("](#").skip(1).filter_map(|rest| rest.split_once(')'));
    let nowhere: Vec<_> = links
        .map(|(to, _)| format!("#{to}"))
        .filter(|to| !has_section(to))
        .collect();
    assert!(nowhere.is_empty(), "{nowhere:?}");
}

#[test]
fn every_alert_of_the_daemon_itself_has_its_row_in_the_runbook() {
    for code in AlertCode::ALL.map(AlertCode::as_str) {
        let start = format!("| `{code}` | [");
        let is_there = RUNBOOK.lines().any(|line| line.starts_with(&start));
        assert!(is_there, "{code} leads to no page");
    }
}

#[test]
fn every_alert_has_its_words_its_test_and_its_section_of_the_runbook() {
    let alerts = alerts();
    assert!(alerts.len() > 10, "{alerts:?}");
    for (name, lines) in &alerts {
        for annotation in ["summary: ", "description: ", "runbook: "] {
            let is_there = lines
                .iter()
                .any(|line| line.strip_prefix(annotation).is_some_and(|text| !text.is_empty()));
            assert!(is_there, "{name} has no {annotation}");
        }
        let severities = ["labels: {severity: critical}", "labels: {severity: warning}"];
        assert!(
            lines.iter().any(|line| severities.contains(line)),
            "{name} has a severity"
        );
        let anchor = format!("runbook: docs/runbook.md#{}", name.to_lowercase());
        assert!(lines.contains(&anchor.as_str()), "{name}: {anchor}");
        let heading = format!("### {name}");
        assert!(
            RUNBOOK.lines().any(|line| line == heading),
            "the runbook has no section {name}"
        );
        let here = format!("alertname: {name}\n");
        let raised = RULE_TESTS.split(&here).skip(1);
        let raised = raised.filter(|after| after.trim_start().starts_with("exp_alerts:"));
        assert!(raised.count() > 0, "no test raises {name}");
        let quiet = format!("{{eval_time: 45m, alertname: {name}}}");
        assert!(RULE_TESTS.contains(&quiet), "no test has {name} keep quiet");
    }
    let sections = RUNBOOK.lines().filter_map(|line| line.strip_prefix("### Enrolld"));
    let named: BTreeSet<_> = alerts
        .iter()
        .filter_map(|(name, _)| name.strip_prefix("Enrolld"))
        .collect();
    for section in sections {
        assert!(named.contains(section), "there is no alert Enrolld{section}");
    }
}
