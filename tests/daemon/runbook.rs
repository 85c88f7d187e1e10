//! The runbook tried as a new operator would: its commands, as they are written there.

mod jobs;

use crate::steps::{JOINER, confirm};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;
use crate::support::runbook::{commands, filled};

crate::support::for_each_database!(d24_a_person_is_erased);

async fn d24_a_person_is_erased(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    daemon.send(&events::withdrawn("reg-1")).await;
    daemon.wait_state("reg-1", "withdrawn").await;
    daemon.wait_kind("access_request", "reg-1", 1).await;
    for command in commands("Erasing a person") {
        let told = daemon.typed(&filled(command, &[]));
        assert!(told.starts_with("erased reg-1"), "{told}");
    }
    assert_eq!(daemon.find_view("reg-1").await, None);
}
