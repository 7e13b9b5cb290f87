//! Whether what has to be recorded can be.

use crate::config::problem::{Problem, Problems};
use crate::config::schema::{AuditSettings, RouteSchema};
use crate::config::yaml::Located;

fn audited(routes: &[RouteSchema]) -> impl Iterator<Item = &Located<()>> {
    routes.iter().filter_map(|route| route.requirements.audit.as_ref())
}

/// There is no trail, so nothing can ask to be recorded.
pub(super) fn check_has_trail(routes: &[RouteSchema], problems: &mut Problems) {
    let mut reported = Vec::new();
    for place in audited(routes) {
        // What a group says, all of its routes say.
        if reported.contains(&&place.location) {
            continue;
        }
        reported.push(&place.location);
        place.problem(
            problems,
            "there is no trail to record it in; say at the top where it is: 'audit: { file: /var/log/portcullis/audit.jsonl }'",
        );
    }
}

/// A trail without anything to record is worth knowing of.
pub(super) fn unused(routes: &[RouteSchema], trail: &Located<AuditSettings>) -> Option<Problem> {
    let message = "nothing is recorded: no route and no group says 'audit: true'".into();
    audited(routes).next().is_none().then(|| Problem { location: Some(trail.location.clone()), key: trail.key.clone(), message })
}
