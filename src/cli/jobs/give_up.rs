//! `enrolld jobs cancel` and `enrolld jobs discard`.

use serde_json::json;
use uuid::Uuid;

use super::{
    many::{self, Left, jobs_are},
    which::{Narrow, Wanted},
};
use crate::{
    cli::output::{self, Format},
    daemon::executor_of_a_command,
    executor::giving_up::{GivenUp, GivingUp},
    settings::Settings,
    store::{Store, interventions::Order},
};

/// What is to be taken out, and how.
#[derive(Debug)]
pub(super) struct GiveUp {
    pub(super) how: GivingUp,
    pub(super) ids: Vec<Uuid>,
    pub(super) narrow: Narrow,
    /// One of the states that it is for; all of them where none is given.
    pub(super) state: Option<String>,
    pub(super) is_dry: bool,
    pub(super) form: Format,
}

impl GiveUp {
    pub(super) async fn run(self, store: &Store, settings: &Settings, order: &Order) -> anyhow::Result<()> {
        let are_named = !self.ids.is_empty();
        let states = match &self.state {
            Some(state) => &[state.as_str()][..],
            None => self.how.states(),
        };
        let wanted = Wanted::new(self.ids, &self.narrow, states);
        let done = self.how.state();
        if self.is_dry {
            let number = many::number_of(store, &wanted).await?;
            return match self.form {
                Format::Json => output::json(&json!({"number": number})),
                Format::Table => output::text(&format!(
                    "{} to be {done}, but for those that a registration waits for",
                    jobs_are(number)
                )),
            };
        }
        let executor = executor_of_a_command(settings, store).await?;
        let act = async |ids: &[Uuid]| {
            let mut left = Vec::new();
            for id in ids {
                match executor.give_up(*id, self.how, order).await? {
                    GivenUp::Done => {}
                    GivenUp::Left(why) => left.push(Left { id: *id, why }),
                }
            }
            Ok(left)
        };
        Box::pin(many::each(store, wanted, None, act))
            .await?
            .tell(done, are_named, self.form)
    }
}
