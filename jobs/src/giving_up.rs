//! Which jobs people may take out: none that somebody waits for, since nothing else would move them on (D22).

use crate::{
    job::JobKind,
    registration::{Registration, State},
};

/// Why a job cannot be given up, if it cannot. `bound_to` is the step that it belongs to, where it belongs to one.
pub fn awaited(kind: JobKind, bound_to: Option<u32>, registration: Option<&Registration>) -> Option<&'static str> {
    let open = registration.filter(|registration| !registration.state.name().is_final())?;
    if bound_to == Some(open.step) {
        return Some("its registration waits for it, and nothing else would move that on");
    }
    let is_set_up = matches!(open.state, State::Provisioning { .. });
    (is_set_up && kind == JobKind::ProvisioningSync).then_some("its registration waits for the access that it brings")
}

/// Why a job that has not ended cannot be cancelled, if it cannot: see [`awaited`]. What a DA or an agent has given or taken back is
/// wanted at every target, whoever waits for it.
pub fn not_cancelled(
    kind: JobKind,
    bound_to: Option<u32>,
    registration: Option<&Registration>,
) -> Option<&'static str> {
    let wanted = (kind == JobKind::ProvisioningSync).then_some("what it brings to a target is wanted there");
    awaited(kind, bound_to, registration).or(wanted)
}
