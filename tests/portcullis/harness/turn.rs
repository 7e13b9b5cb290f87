//! Tests run in parallel. One that puts a load on the machine, and one that measures how long something takes, would disturb
//! each other, so they take turns.

use tokio::sync::{Mutex, MutexGuard};

static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until no other such test runs.
pub async fn take() -> MutexGuard<'static, ()> {
    TURN.lock().await
}
