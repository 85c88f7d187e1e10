//! The command line: one module a verb group (contract, section 5).
//!
//! Results go to standard output, everything else to standard error. Exit status: 0 done, 1 failed, 2 wrong usage. Whoever
//! closes standard output early (`| head`) has what they wanted: that is no failure.

mod config;
mod database;
mod directory;
mod doctor;
mod hand_in;
mod intake;
mod jobs;
mod listing;
mod mails;
mod migrate;
mod moments;
mod order;
mod output;
mod packaged;
mod queues;
mod refusals;
mod registrations;
mod report;
mod review;
mod schedules;
mod status;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};

use self::output::{Closed, Stdout};
use crate::{
    daemon::{self, Reload},
    demo, logging,
    settings::{Settings, SettingsError, credentials_dir, environment},
};

/// How long what still runs in the background may take to end once the command is done.
const END_WITHIN: Duration = Duration::from_secs(1);

/// Carries registrations for a support portal from request to access
///
/// Requests come in on a Redis stream; the daemon verifies them, asks administrators or agents, gives access, and mails
/// everybody concerned.
#[derive(Debug, Parser)]
#[command(
    name = "enrolld",
    version,
    after_help = "Settings come from --config FILE, or else /etc/enrolld/enrolld.toml, then from
credentials of systemd named after their keys, then from the environment:
ENROLLD__DATABASE__URL is database.url. `enrolld config show` lists them all.

Exit status: 0 done, 1 failed, 2 wrong usage.

Examples:
  enrolld migrate && enrolld run --config enrolld.toml
  enrolld registrations show reg-1"
)]
struct Cli {
    /// Settings file [default: /etc/enrolld/enrolld.toml, if there is one]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Settings")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Walk every road through a real daemon in a folder of its own, and show what came of it
    #[command(
        after_help = "Needs a `redis-server` in PATH. Takes no settings: it makes its own, in the folder,
and says at the end how to look further with them.

Example:
  enrolld demo --folder /tmp/enrolld-demo"
    )]
    Demo {
        /// Where to put database, Redis and mails; emptied first if an earlier demo made it
        #[arg(long, value_name = "DIR", default_value = "enrolld-demo")]
        folder: PathBuf,
    },
    /// Write what makes a shell complete the words of enrolld to standard output
    #[command(
        hide = true,
        after_help = "Packages bring it along.

Example:
  enrolld completions bash > ~/.local/share/bash-completion/completions/enrolld"
    )]
    Completions {
        /// Which shell
        shell: packaged::Shell,
    },
    /// Write a man page for every command
    #[command(
        hide = true,
        after_help = "Packages bring them along.

Example:
  enrolld man /usr/local/share/man/man1"
    )]
    Man {
        /// The folder, made when it is missing
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    #[command(flatten)]
    Settled(Command),
}

/// What takes settings.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until SIGTERM or Ctrl-C
    #[command(
        after_help = "When stopped it takes no more work, finishes what runs within shutdown.grace,
and ends. It logs to standard error. Run `enrolld migrate` once before, and
after each upgrade.

Example:
  enrolld run --config /etc/enrolld/enrolld.toml"
    )]
    Run,
    /// Make the database, or bring it to this release; safe to repeat
    #[command(
        after_help = "Also makes the key of the links in mails, unless security.link_key is set.

Example:
  enrolld migrate --config /etc/enrolld/enrolld.toml"
    )]
    Migrate,
    /// Check or show the settings
    #[command(subcommand)]
    Config(config::Command),
    /// Look at everything the daemon stands on, and say what is wrong and what to do
    #[command(
        after_help = "Looks at settings, files, database, Redis, mail server, provisioning targets and
directory, side by side and within seconds. Changes nothing, and sends no mail.
Exit status 0 when there is no problem (warnings are allowed), else 1.

Examples:
  sudo -u enrolld enrolld doctor
  enrolld doctor --output json | jq '.[] | select(.result != \"ok\")'"
    )]
    Doctor(doctor::Options),
    /// Tell what is late, and why; and how things stand
    #[command(
        after_help = "The worst stands first, each with the command that shows more. Late is what was due
a minute ago and has not begun, what agents have had for longer than review.sla,
access that is not set up after provisioning.within, and whatever failed. Numbers
end at 10000+. Works also while Redis is away. Exit status 0 whatever is late; 1
when the database cannot be asked.

Examples:
  enrolld status
  enrolld status --output json | jq -e '.late == []'"
    )]
    Status(listing::Shown),
    /// Send events as upstream does; see which were refused, and have them judged anew
    #[command(subcommand)]
    Intake(intake::Command),
    /// The embedded directory of accounts, contracts and organizations, in and out
    #[command(subcommand)]
    Directory(directory::Command),
    /// See registrations, withdraw them, and erase what is closed
    #[command(subcommand)]
    Registrations(registrations::Command),
    /// See the agents' cases, and decide on them
    #[command(subcommand)]
    Review(review::Command),
    /// Tell how long things took
    #[command(subcommand)]
    Report(report::Command),
    /// See jobs, have dead ones run again, and take out what is not wanted
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// See what is done by the clock, and have it done now
    #[command(subcommand)]
    Schedules(schedules::Command),
    /// See how much waits in each queue, and pause them
    #[command(subcommand)]
    Queues(queues::Command),
    /// See records of mails, send them again, and see what each kind looks like
    #[command(subcommand)]
    Mails(mails::Command),
}

/// Ends the program as it does for what clap finds wrong: status 2, and how it is used.
fn wrong_usage(words: &str) -> ! {
    Cli::command().error(ErrorKind::ArgumentConflict, words).exit()
}

/// The program: reads the command line, carries it out, and says how it went.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help_or_error) => {
            // Nobody may be there to read it.
            let _ = help_or_error.print();
            return if help_or_error.use_stderr() {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<demo::Stopped>() {
            Some(stopped) => {
                output::remark(&stopped.to_string());
                ExitCode::from(stopped.exit_status())
            }
            None if Closed::is_cause_of(&error) => ExitCode::SUCCESS,
            None => {
                output::report(&error);
                ExitCode::FAILURE
            }
        },
    }
}

fn start(cli: Cli) -> anyhow::Result<()> {
    match cli.verb {
        Verb::Demo { folder } => {
            if cli.config.is_some() {
                wrong_usage("`enrolld demo` takes no --config: it makes settings of its own in its folder");
            }
            logging::init_for_command();
            block_on(demo::run(&folder, &mut Stdout::new()))
        }
        Verb::Completions { shell } => packaged::completions(shell, Cli::command()),
        Verb::Man { folder } => packaged::man_pages(&folder, Cli::command()),
        Verb::Settled(command) => {
            let settings = load(cli.config.as_deref())?;
            if matches!(command, Command::Run) {
                let filter = logging::init(&settings.log);
                let read = Box::new(move || load(cli.config.as_deref()));
                return block_on(Box::pin(daemon::run(settings, Reload { read, filter })));
            }
            logging::init_for_command();
            block_on(async {
                let result = carry_out(command, settings).await;
                database::close().await;
                result
            })
        }
    }
}

/// From all that this process was given.
fn load(file: Option<&Path>) -> Result<Settings, SettingsError> {
    Settings::load(file, credentials_dir().as_deref(), environment())
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("threads cannot be started")?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(END_WITHIN);
    result
}

async fn carry_out(command: Command, settings: Settings) -> anyhow::Result<()> {
    match command {
        Command::Run => unreachable!("the daemon has a start of its own"),
        Command::Migrate => migrate::run(&settings).await,
        Command::Config(command) => config::run(&command, &settings),
        Command::Doctor(options) => doctor::run(options, &settings).await,
        Command::Status(shown) => status::run(shown, &settings).await,
        Command::Intake(command) => intake::run(command, &settings).await,
        Command::Directory(command) => directory::run(command, &settings).await,
        Command::Registrations(command) => registrations::run(command, &settings).await,
        Command::Review(command) => review::run(command, &settings).await,
        Command::Report(command) => report::run(command, &settings).await,
        Command::Jobs(command) => jobs::run(command, &settings).await,
        Command::Schedules(command) => schedules::run(command, &settings).await,
        Command::Queues(command) => queues::run(command, &settings).await,
        Command::Mails(command) => mails::run(command, &settings).await,
    }
}
