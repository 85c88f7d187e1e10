//! The text format of Prometheus, read.

use std::collections::{BTreeMap, BTreeSet};

use enrolld::metrics::names::{ALL, Family, Kind};

use crate::support::daemon::TestDaemon;

/// A line with a number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// What a scrape brought.
#[derive(Debug, Clone)]
pub(crate) struct Exposition {
    pub(crate) text: String,
    pub(crate) samples: Vec<Sample>,
}

/// Reads `/metrics`, without a token.
pub(crate) async fn scrape(daemon: &TestDaemon) -> Exposition {
    let answer = reqwest::get(daemon.at("/metrics")).await.expect("the daemon answers");
    assert_eq!(answer.status().as_u16(), 200);
    let format = answer.headers()["content-type"].to_str().map(str::to_owned);
    assert!(format.is_ok_and(|format| format.starts_with("text/plain; version=0.0.4")));
    let text = answer.text().await.expect("the answer has a body");
    let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let samples = samples.map(sample).collect();
    Exposition { text, samples }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a name and a number");
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.trim_end_matches('}')),
        None => (series, ""),
    };
    // No value of a label has a comma or a quote.
    let label = |pair: &str| {
        let (label, value) = pair.split_once('=').expect("a label and its value");
        (label.to_owned(), value.trim_matches('"').to_owned())
    };
    Sample {
        name: name.to_owned(),
        labels: labels.split(',').filter(|pair| !pair.is_empty()).map(label).collect(),
        value: value.parse().expect("a number"),
    }
}

impl Exposition {
    /// The one sample of this name whose labels are these.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: BTreeMap<_, _> = labels
            .iter()
            .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
            .collect();
        let mut found = self.samples.iter();
        found
            .find(|sample| sample.name == name && sample.labels == wanted)
            .map(|sample| sample.value)
    }

    /// Every family of the list is there with its labels, its kind and its words, and no other.
    pub(crate) fn is_as_listed(&self) {
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            let family = ALL.iter().find(|family| is_of(&sample.name, family));
            let family = family.unwrap_or_else(|| panic!("{} is not on the list", sample.name));
            let labels: BTreeSet<_> = sample
                .labels
                .keys()
                .map(String::as_str)
                .filter(|label| *label != "le")
                .collect();
            let listed: BTreeSet<_> = family.labels.iter().copied().collect();
            assert_eq!(labels, listed, "{}", sample.name);
            seen.insert(family.name);
        }
        for family in ALL {
            assert!(
                seen.contains(family.name),
                "{} is not there:\n{}",
                family.name,
                self.text
            );
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            for line in [
                format!("# TYPE {} {kind}", family.name),
                format!("# HELP {} {}", family.name, family.help),
            ] {
                assert!(self.text.lines().any(|found| found == line), "{line}\n{}", self.text);
            }
        }
    }
}

fn is_of(sample: &str, family: &Family) -> bool {
    let suffixes: &[&str] = match family.kind {
        Kind::Counter | Kind::Gauge => &[""],
        Kind::Histogram(_) => &["_bucket", "_sum", "_count"],
    };
    suffixes
        .iter()
        .any(|suffix| sample.strip_suffix(suffix) == Some(family.name))
}
