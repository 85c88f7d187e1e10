//! Two applicants at once: the first to complete becomes DA, and then decides on the other (D5).

use crate::support::companies::{companies, submitted_at};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

/// How often the race is run, each time for a company of its own.
const COMPANIES: usize = 8;

crate::support::for_each_database!(d5_of_two_who_complete_at_once_one_becomes_da_and_the_other_asks_them);

async fn d5_of_two_who_complete_at_once_one_becomes_da_and_the_other_asks_them(database: Database) {
    let daemon = TestDaemon::builder(database)
        .directory(&companies(COMPANIES, 2, false))
        .start()
        .await;
    let name = |n: usize, who: &str| format!("reg-{n}-{who}");
    let all: Vec<_> = (0..COMPANIES).flat_map(|n| [(n, "a"), (n, "b")]).collect();
    let submitted: Vec<_> = all
        .iter()
        .map(|(n, who)| submitted_at(&name(*n, who), *n, who))
        .collect();
    daemon.send_all(&submitted).await;
    let mut links = Vec::new();
    for (n, who) in &all {
        daemon.wait_state(&name(*n, who), "awaiting_organization").await;
        // Each selects another organization: a DA of the upper one covers the lower, not the reverse.
        let chosen = if n % 2 == 0 {
            format!("c{n}")
        } else {
            format!("c{n}-site")
        };
        daemon
            .send(&events::organization_selected(&name(*n, who), Some(&chosen)))
            .await;
    }
    for (n, who) in &all {
        let mail = crate::steps::first(daemon.wait_kind("verification", &name(*n, who), 1).await);
        links.push(mail.link_path().expect("the mail has a link").to_owned());
    }
    // All at once; the two of a company stand beside each other.
    let presses = links.iter().map(|link| daemon.press(link));
    futures::future::join_all(presses).await;

    for n in 0..COMPANIES {
        let views = [daemon.view(&name(n, "a")).await, daemon.view(&name(n, "b")).await];
        let (winner, loser) = if views[0]["state"] == "active" {
            ("a", "b")
        } else {
            ("b", "a")
        };
        let won = daemon.wait_state(&name(n, winner), "active").await;
        let lost = daemon.wait_state(&name(n, loser), "awaiting_da").await;
        assert_eq!(won["role"], "customer_administrator");
        assert_eq!(lost["delegated_administrator"]["account_id"], format!("c{n}-{winner}"));
        let appointed = format!("appointments WHERE account_id LIKE 'c{n}-%'");
        assert_eq!(daemon.count(&appointed).await, 1, "exactly one DA");

        let told = crate::steps::first(daemon.wait_kind("rerouted", &name(n, loser), 1).await);
        assert_eq!(told.to, [format!("{loser}@c{n}.example")]);
        let asked = crate::steps::first(daemon.wait_kind("access_request", &name(n, loser), 1).await);
        assert_eq!(asked.to, [format!("{winner}@c{n}.example")]);
        if n == 0 {
            // Whoever won: the mail tells the one of the other.
            let shown = told.snapshot();
            let shown = shown
                .replace(&format!("{winner} of c0"), "Winner")
                .replace(&format!("{loser} of c0"), "Loser");
            let shown = shown
                .replace(&format!("{winner}@"), "winner@")
                .replace(&format!("{loser}@"), "loser@");
            let shown = shown.replace(&name(0, loser), "reg-loser");
            insta::assert_snapshot!("becoming_da_mail_rerouted", shown);
        }

        // The winner is DA from the appointment on, and decides.
        let decision = events::da_granted(&name(n, loser), &format!("c{n}-{winner}"), "customer_user");
        daemon.send(&decision).await;
        let view = daemon.wait_state(&name(n, loser), "active").await;
        assert_eq!(view["role"], "customer_user");
        assert_eq!(
            view["organization_id"],
            format!("c{n}-site"),
            "D20: the contract's site"
        );
    }
}
