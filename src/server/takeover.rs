//! One sidecar takes the place of another, without a check being lost.
//!
//! The new one binds beside the old one, gets ready, and then renames its socket over the old one's. From then on whoever connects
//! gets the new one; who is connected stays with the old one until that is told to end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::bind::Claim;
use crate::state::Live;

/// How long the new one may take to get ready.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often readiness is looked at.
const POLL: Duration = Duration::from_millis(10);
/// How often the old one looks whether its place was taken. It is only said in the log; at the end it is looked at once more.
const NOTICE: Duration = Duration::from_secs(1);

/// Waits until everything that is needed to decide is there.
///
/// # Errors
/// When that takes too long: the sidecar whose place would be taken does better.
pub(super) async fn until_ready<X>(live: &Live<X>) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let causes = live.not_ready();
        if causes.is_empty() {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            let seconds = PATIENCE.as_secs();
            return Err(format!("not ready within {seconds} s, so nothing was taken over and the other sidecar goes on: {causes:?}"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether other processes have put sockets in the place of all of ours, of which there is at least one.
pub(super) fn is_taken_over(claims: &[Claim]) -> bool {
    !claims.is_empty() && claims.iter().all(Claim::is_lost)
}

/// Says in the log when another process takes a socket's place.
pub(super) async fn notice(claims: Arc<[Claim]>) {
    let mut ticks = tokio::time::interval(NOTICE);
    let mut lost = vec![false; claims.len()];
    while lost.contains(&false) {
        ticks.tick().await;
        for (claim, was_lost) in claims.iter().zip(&mut lost) {
            if !*was_lost && claim.is_lost() {
                *was_lost = true;
                let path = claim.path.display();
                tracing::info!(%path, "another process has taken over the socket; who is connected is served until SIGTERM");
            }
        }
    }
}
