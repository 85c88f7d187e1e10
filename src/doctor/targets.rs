//! Each provisioning target: asked for a grant that nobody has, it should say that there is none.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use super::Finding;
use crate::{
    environment::Environment,
    provisioning::{HttpTargets, Limits},
    settings::Settings,
};

/// How long a target may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn check(settings: &Settings, environment: &Arc<dyn Environment>) -> Vec<Finding> {
    let configured = &settings.provisioning.targets;
    if configured.is_empty() {
        return vec![Finding::ok(
            "targets",
            "none: access is active as soon as it is granted",
        )];
    }
    let limits = Limits {
        call: ANSWER_WITHIN,
        at_once: NonZeroUsize::MIN,
    };
    let targets = match HttpTargets::new(configured, limits, Arc::clone(environment)) {
        Ok(targets) => targets,
        Err(error) => {
            return vec![Finding::problem(
                "targets",
                error.to_string(),
                "set provisioning.targets right",
            )];
        }
    };
    let asked = configured.iter().map(|target| {
        let (targets, grant) = (&targets, environment.random_id());
        async move {
            let answer = targets.probe(&target.name, grant).await;
            judged(&target.name, target.url.as_str(), answer)
        }
    });
    futures::future::join_all(asked).await
}

fn judged(name: &str, url: &str, answer: Result<u16, String>) -> Finding {
    let check = format!("target {name}");
    let at = format!("at {url}");
    match answer {
        Ok(404) => Finding::ok(check, format!("answers {at}")),
        Ok(status @ (401 | 403)) => Finding::problem(
            check,
            format!("it answered {status} {at}: it does not know us"),
            "set the target's token right",
        ),
        Ok(status @ 300..=399) => Finding::problem(
            check,
            format!("it answered {status} {at}, a redirection, which is not followed"),
            "set the target's url to where it leads",
        ),
        Ok(status @ 500..) => {
            Finding::problem(check, format!("it answered {status} {at}"), "see the log of the target")
        }
        Ok(status) => Finding::warning(
            check,
            format!("it answered {status} {at} to the question for a grant that nobody has; 404 is the answer to that"),
            "see that its url is right, and that it keeps to the contract (section 5)",
        ),
        Err(problem) => Finding::problem(
            check,
            format!("{problem} ({at})"),
            "see that it runs, that its url is right, and that this host may reach it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, judged};

    #[test]
    fn anything_below_500_but_a_closed_door_is_reachable() {
        for (status, verdict) in [
            (404, Verdict::Ok),
            (200, Verdict::Warning),
            (405, Verdict::Warning),
            (429, Verdict::Warning),
            (401, Verdict::Problem),
            (403, Verdict::Problem),
            (301, Verdict::Problem),
            (500, Verdict::Problem),
            (503, Verdict::Problem),
        ] {
            let finding = judged("tool", "https://tool.example/", Ok(status));
            assert_eq!(finding.result, verdict, "{status}");
        }
    }
}
