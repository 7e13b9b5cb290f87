//! One-time passwords: each is accepted once, and guessing is slow.

use rusqlite::params;

use super::super::clock::UnixTime;
use super::super::totp::{Code, TotpSecret};
use super::{Result, Store, query_optional};

/// How many wrong codes in a row a user may send before all codes are refused for a while (RFC 4226 section 7.3).
const MAX_FAILURES: i64 = 5;

/// For how long, in seconds. So few of a million codes can be tried in that time that guessing one takes years.
const PAUSE: i64 = 15 * 60;

impl Store {
    /// Whether `code` is the user's at `now`. It is used up with that, and so are all codes before it.
    ///
    /// A user without a secret has no code, and after too many wrong ones none counts for a while.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub async fn use_code(&self, user: String, code: Code, now: UnixTime) -> Result<bool> {
        self.write(move |tx, _| {
            let found = query_optional(
                tx,
                "SELECT totp_secret, totp_step, totp_failures, totp_failed_at FROM users WHERE id = ?1 AND totp_secret IS NOT NULL",
                [&user],
                |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?)),
            )?;
            let Some((secret, last_step, failures, failed_at)) = found else { return Ok(false) };
            let pause_is_over = now >= failed_at.saturating_add(PAUSE);
            if failures >= MAX_FAILURES && !pause_is_over {
                return Ok(false);
            }
            let step = code.step(&TotpSecret::from(secret), now).filter(|step| *step > last_step);
            match step {
                Some(step) => tx.execute("UPDATE users SET totp_step = ?2, totp_failures = 0 WHERE id = ?1", params![user, step])?,
                None => {
                    let failures = if pause_is_over { 1 } else { failures.saturating_add(1) };
                    tx.execute("UPDATE users SET totp_failures = ?2, totp_failed_at = ?3 WHERE id = ?1", params![user, failures, now])?
                }
            };
            Ok(step.is_some())
        })
        .await
    }
}
