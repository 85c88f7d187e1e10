//! `enrolld directory`: the embedded directory in and out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;

use super::{
    database,
    listing::Shown,
    output::{self, Format, Screen, Stdout},
    table::{Column, table},
};
use crate::{
    directory::{self, Exported, ImportSummary},
    environment::{Environment as _, System},
    settings::Settings,
    store::Store,
};

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Take in a directory file, all of it or nothing
    #[command(
        after_help = "A record replaces the stored one of the same id whole; administrators are only added.
A running daemon sees the change at once.

Examples:
  enrolld directory import directory.json
  enrolld directory import folder/          (accounts.csv, contracts.csv, …)"
    )]
    Import {
        /// A JSON file, or a folder with CSV files
        path: PathBuf,
        /// How to show what was done.
        #[command(flatten)]
        shown: Shown,
    },
    /// Write the directory as a JSON file that `import` takes
    #[command(after_help = "Examples:
  enrolld directory export > directory.json
  enrolld directory export directory.json")]
    Export {
        /// File to write; `-` is standard output
        #[arg(default_value = "-")]
        file: PathBuf,
        /// Form of what is told about a file that was written: how many records of each type
        #[arg(long, value_enum, value_name = "FORM", default_value_t = Format::Table)]
        output: Format,
    },
}

/// Carries the verb out.
pub(super) async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    let store = database::open(settings).await?;
    match command {
        Command::Import { path, shown } => {
            let summary = directory::import(store.writer().unbounded(), &path, System.now()).await?;
            match shown.output {
                Format::Json => output::json(&summary),
                Format::Table => output::text(&summary_table(Screen::stdout(), &summary)),
            }
        }
        Command::Export { file, .. } if file == Path::new("-") => {
            directory::export(store.reader().unbounded(), BufWriter::new(Stdout::new())).await?;
            Ok(())
        }
        Command::Export { file, output: form } => {
            let exported = to_file(&store, &file).await?;
            match form {
                Format::Json => output::json(&exported.into_iter().collect::<BTreeMap<_, _>>()),
                Format::Table => output::text(&exported_table(Screen::stdout(), &exported)),
            }
        }
    }
}

fn exported_table(screen: Screen, exported: &Exported) -> String {
    let columns = [Column::new("RECORDS", 0), Column::new("WRITTEN", 0).number()];
    let rows = exported
        .iter()
        .map(|(name, count)| [(*name).to_owned(), count.to_string()]);
    table(screen, columns, rows)
}

fn summary_table(screen: Screen, summary: &ImportSummary) -> String {
    let columns = [
        Column::new("RECORDS", 0),
        Column::new("ADDED", 0).number(),
        Column::new("REPLACED", 0).number(),
        Column::new("UNCHANGED", 0).number(),
    ];
    let rows = summary.by_type().map(|(name, counts)| {
        [
            name.to_owned(),
            counts.added.to_string(),
            counts.changed.to_string(),
            counts.unchanged.to_string(),
        ]
    });
    table(screen, columns, rows)
}

/// The file is there whole or not at all: it is written beside its place, and then moved there.
async fn to_file(store: &Store, file: &Path) -> anyhow::Result<Exported> {
    // Not a pipe or device: those stay what they are.
    if fs::metadata(file).is_ok_and(|found| !found.is_file()) {
        return Ok(directory::export(store.reader().unbounded(), open(file)?).await?);
    }
    let beside = file.with_added_extension("partial");
    let result = async {
        let mut writer = open(&beside)?;
        let exported = directory::export(store.reader().unbounded(), &mut writer).await?;
        writer.flush()?;
        writer.get_ref().sync_all()?;
        fs::rename(&beside, file)?;
        Ok(exported)
    };
    result
        .await
        .inspect_err(|_: &anyhow::Error| drop(fs::remove_file(&beside)))
        .with_context(|| {
            format!(
                "{} could not be written; what was there before is still there",
                file.display()
            )
        })
}

fn open(file: &Path) -> anyhow::Result<BufWriter<File>> {
    let opened = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(BufWriter::new(opened))
}
