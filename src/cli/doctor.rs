//! `enrolld doctor`.

use std::sync::Arc;

use anyhow::bail;
use clap::Args;

use super::{
    output::{self, Format, Screen},
    table::{Column, table},
};
use crate::{
    doctor::{self, Finding, Verdict},
    environment::System,
    settings::Settings,
};

/// Options of the verb.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Options {
    /// Form of the output: a table for people, or JSON
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Format::Table)]
    output: Format,
}

/// Looks at everything, and tells it; an error when there is any problem.
pub(super) async fn run(options: Options, settings: &Settings) -> anyhow::Result<()> {
    let findings = doctor::examine(settings, Arc::new(System)).await;
    match options.output {
        Format::Json => output::json(&findings)?,
        Format::Table => output::text(&report(Screen::stdout(), &findings))?,
    }
    let number = |verdict| findings.iter().filter(|finding| finding.result == verdict).count();
    let told = match (number(Verdict::Problem), number(Verdict::Warning)) {
        (0, 0) => "all is well".to_owned(),
        (0, warnings) => format!("no problem, {}", counted(warnings, "warning")),
        (problems, warnings) => bail!("{}, {}", counted(problems, "problem"), counted(warnings, "warning")),
    };
    output::remark(&told);
    Ok(())
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// A row for what was seen, and one below it for what to do.
fn report(screen: Screen, findings: &[Finding]) -> String {
    let columns = [
        Column::new("CHECK", 0),
        Column::new("RESULT", 0).state(),
        Column::new("SEEN, AND WHAT TO DO", 0).wrapped(),
    ];
    let rows = findings.iter().flat_map(|finding| {
        let seen = [finding.check.clone(), finding.result.to_string(), finding.seen.clone()];
        let remedy = finding
            .remedy
            .iter()
            .map(|remedy| [String::new(), String::new(), format!("-> {remedy}")]);
        [seen].into_iter().chain(remedy)
    });
    table(screen, columns, rows)
}
