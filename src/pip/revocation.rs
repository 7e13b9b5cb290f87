//! Where revocations come from. The PDP never learns which of these it was.

mod entry;
pub mod feed;
pub mod file;
pub mod redis;
pub mod status_list;

use std::sync::Arc;
use std::time::Duration;

use super::refresh::Context;
use super::warm_start::{Kept, Kind, Standby};
use crate::config::Source;
use crate::pdp::revocation::RevocationList;

/// What was kept of a source's list, and what steps in with it.
async fn kept(context: &Context, source: &Source, max_staleness: Duration) -> (Option<Kept<RevocationList>>, Standby) {
    let Some(kept) = context.warm_start.revocations(source, max_staleness).await else { return (None, Standby::default()) };
    let (id, confirmed, good_for) = (source.id, kept.confirmed, kept.good_for(max_staleness));
    let data = Arc::new(kept.data.clone().into());
    let standby =
        kept.standby(Kind::Revocations, source, &context.live, move |live| live.publish_revocations(id, data, confirmed, good_for));
    (Some(kept), standby)
}
