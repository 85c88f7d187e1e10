//! `enrolld report`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand, ValueEnum};
use enrolld_jobs::sla::Step;
use serde_json::{Value, json};

use super::{
    database, moments,
    output::{self, Screen},
    table::{Column, table},
};
use crate::{
    daemon::rules,
    environment::{Environment as _, System},
    report::{About, By, Report, Row},
    settings::Settings,
};

/// What is reported on where nothing else is asked for.
const DAYS: TimeDelta = TimeDelta::days(30);

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell how long each step took, and how many were within their deadline
    #[command(
        after_help = "Counts the steps that ended in the time asked for, of registrations of every
outcome; `whole` is from the request to its end. Each DA who is asked has a step of
their own; a case of the agents is one step, in which only their own time counts.
Deadlines are those of the present settings: da_response.timeout, review.sla,
review.answer_within, provisioning.within and applicant.expiry. Steps that are not
over are in `enrolld status`; registrations that were erased are not counted.

MEDIAN and P95 are the times that half, and 95 in 100, did not exceed.

Examples:
  enrolld report sla
  enrolld report sla --since 2026-11-01 --until 2026-12-01 --by da
  enrolld report sla --by agent --output csv > agents.csv"
    )]
    Sla(Options),
}

/// What is reported on, and how.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// From when on: 2026-11-22, "2026-11-22 09:00" (UTC) or "7d ago" [default: 30 days before the end]
    #[arg(long, value_name = "MOMENT", value_parser = |text: &str| moments::parse(text, System.now()))]
    since: Option<DateTime<Utc>>,
    /// Until when [default: now]
    #[arg(long, value_name = "MOMENT", value_parser = |text: &str| moments::parse(text, System.now()))]
    until: Option<DateTime<Utc>>,
    /// For each of whom, instead of for each step
    #[arg(long, value_enum)]
    by: Option<Person>,
    /// Most rows shown, of people those who had most to do
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// Form of the output: a table fits the terminal, JSON and CSV are in seconds
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Form::Table)]
    output: Form,
}

/// `--by`.
// The variants have no doc comments: clap would make paragraphs of them in every help text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Person {
    Da,
    Agent,
}

/// `--output` of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Json,
    Csv,
}

/// Carries the verb out.
pub(super) async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    let Command::Sla(options) = command;
    let until = options.until.unwrap_or_else(|| System.now());
    let since = options.since.unwrap_or(until - DAYS);
    if since >= until {
        bail!("the report would end before it begins; see that --since is before --until");
    }
    let by = match options.by {
        None => By::Step,
        Some(Person::Da) => By::Da,
        Some(Person::Agent) => By::Agent,
    };
    let store = database::open(settings).await?;
    let rules = rules(settings);
    let mut report = Report::new(by, since, until, &rules);
    report.read(&store).await?;
    let mut rows = report.rows();
    let all = rows.len();
    rows.truncate(usize::try_from(options.limit).unwrap_or(usize::MAX));
    match options.output {
        Form::Json => output::json(&json!({
            "since": moments::rfc3339(since.timestamp_millis()),
            "until": moments::rfc3339(until.timestamp_millis()),
            "by": by_name(by),
            "rows": rows.iter().map(|row| as_json(by, row)).collect::<Vec<_>>(),
        }))?,
        Form::Csv => output::text(&csv(by, &rows)?)?,
        Form::Table if rows.is_empty() => {}
        Form::Table => output::text(&list(Screen::stdout(), by, &rows))?,
    }
    if rows.is_empty() {
        output::remark("no step ended in this time");
    } else if all > rows.len() {
        output::remark(&format!(
            "there are {all} rows: see more than these {} with --limit",
            rows.len()
        ));
    }
    Ok(())
}

const fn by_name(by: By) -> &'static str {
    match by {
        By::Step => "step",
        By::Da => "da",
        By::Agent => "agent",
    }
}

/// What the row is about, and the outcome where it has one.
fn about(row: &Row) -> (&str, &str) {
    match &row.about {
        About::Step(step @ Step::Whole(outcome)) => (step.as_str(), outcome.as_str()),
        About::Step(step @ Step::State(_)) => (step.as_str(), ""),
        About::Person(name) => (name, ""),
    }
}

fn list(screen: Screen, by: By, rows: &[Row]) -> String {
    let name = match by {
        By::Step => "STEP",
        By::Da => "DA",
        By::Agent => "AGENT",
    };
    let columns = [
        Column::new(name, 0),
        Column::new("OUTCOME", 1).state(),
        Column::new("COUNT", 0).number(),
        Column::new("ANSWERED", 3).number(),
        Column::new("MEDIAN", 0).number(),
        Column::new("P95", 0).number(),
        Column::new("DEADLINE", 2).number(),
        Column::new("IN TIME", 0).number(),
    ];
    let rows = rows.iter().map(|row| {
        let (about, outcome) = about(row);
        [
            about.to_owned(),
            outcome.to_owned(),
            row.count.to_string(),
            if by == By::Da {
                row.answered.to_string()
            } else {
                String::new()
            },
            span(row.median),
            span(row.p95),
            row.deadline.map(span).unwrap_or_default(),
            row.share().map(percent).unwrap_or_default(),
        ]
    });
    table(screen, columns, rows)
}

/// In its two largest units.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit} {small}{small_unit}"),
    };
    match seconds {
        0..60 => format!("{}.{}s", seconds, span.subsec_millis() / 100),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..172_800 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// Rounded down: 100 % is all.
fn percent(share: f64) -> String {
    format!("{:.1}%", (share * 1_000.0).floor() / 10.0)
}

fn as_json(by: By, row: &Row) -> Value {
    let (about, outcome) = about(row);
    let mut value = json!({
        "count": row.count,
        "median_seconds": row.median.as_secs_f64(),
        "p95_seconds": row.p95.as_secs_f64(),
        "deadline_seconds": row.deadline.map(|deadline| deadline.as_secs_f64()),
        "in_time": row.in_time,
        "in_time_share": row.share(),
    });
    match by {
        By::Step => {
            value["step"] = about.into();
            value["outcome"] = if outcome.is_empty() {
                Value::Null
            } else {
                outcome.into()
            };
        }
        By::Da => {
            value["da_account_id"] = about.into();
            value["answered"] = row.answered.into();
        }
        By::Agent => value["agent"] = about.into(),
    }
    value
}

fn csv(by: By, rows: &[Row]) -> anyhow::Result<String> {
    let (name, second) = match by {
        By::Step => ("step", "outcome"),
        By::Da => ("da_account_id", "answered"),
        By::Agent => ("agent", "answered"),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        name,
        second,
        "count",
        "median_seconds",
        "p95_seconds",
        "deadline_seconds",
        "in_time",
        "in_time_share",
    ])?;
    for row in rows {
        let (about, outcome) = about(row);
        writer.write_record([
            inert(about),
            if by == By::Step {
                outcome.to_owned()
            } else {
                row.answered.to_string()
            },
            row.count.to_string(),
            row.median.as_secs_f64().to_string(),
            row.p95.as_secs_f64().to_string(),
            row.deadline
                .map(|deadline| deadline.as_secs_f64().to_string())
                .unwrap_or_default(),
            row.in_time.map(|in_time| in_time.to_string()).unwrap_or_default(),
            row.share().map(|share| format!("{share:.4}")).unwrap_or_default(),
        ])?;
    }
    let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error);
    String::from_utf8(bytes.context("the rows cannot be written")?).context("names are text")
}

/// A name that no spreadsheet takes for a formula: agents' names come from outside.
fn inert(name: &str) -> String {
    let is_formula = name.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if is_formula {
        format!("'{name}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use enrolld_jobs::registration::StateName;

    use super::*;

    #[test]
    fn spans_and_shares_are_told_short() {
        for (millis, text) in [
            (0, "0.0s"),
            (4_280, "4.2s"),
            (60_000, "1m"),
            (125_000, "2m 5s"),
            (86_400_000, "24h"),
            (95_000_000, "26h 23m"),
            (30 * 86_400_000, "30d"),
            (268_000_000, "3d 2h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
        assert_eq!(
            (percent(1.0), percent(0.9999)),
            ("100.0%".to_owned(), "99.9%".to_owned())
        );
    }

    #[test]
    fn the_table_fits_a_narrow_terminal() {
        let row = |step, count, seconds: u64| Row {
            about: About::Step(step),
            count,
            answered: 0,
            median: Duration::from_secs(seconds),
            p95: Duration::from_secs(seconds * 30),
            deadline: matches!(step, Step::State(_)).then(|| Duration::from_hours(24)),
            in_time: matches!(step, Step::State(_)).then_some(count - 1),
        };
        let rows = [
            row(Step::State(StateName::InReview), 1_204, 9_000),
            row(Step::Whole(StateName::Denied), 7, 40),
        ];
        let screen = Screen {
            width: 80,
            colours: false,
        };
        let expected = "\
STEP       OUTCOME  COUNT   MEDIAN     P95  DEADLINE  IN TIME
in_review            1204  2h 30m   3d 3h       24h    99.9%
whole      denied       7      40.0s     20m";
        let shown = list(screen, By::Step, &rows);
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&shown), words(expected), "{shown}");
        assert!(shown.lines().all(|line| line.len() <= 80), "{shown}");
    }

    #[test]
    fn a_name_is_no_formula() {
        let row = |name: &str| Row {
            about: About::Person(name.to_owned()),
            count: 3,
            answered: 2,
            median: Duration::from_millis(1_500),
            p95: Duration::from_secs(90),
            deadline: Some(Duration::from_mins(1)),
            in_time: Some(2),
        };
        assert_eq!(
            csv(By::Agent, &[row("=cmd|' /C calc'!A0"), row("Ann, \"A\"")]).expect("rows"),
            "agent,answered,count,median_seconds,p95_seconds,deadline_seconds,in_time,in_time_share\n\
             '=cmd|' /C calc'!A0,2,3,1.5,90,60,2,0.6667\n\
             \"Ann, \"\"A\"\"\",2,3,1.5,90,60,2,0.6667\n"
        );
    }
}
