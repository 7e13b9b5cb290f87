//! A Token Status List (draft-ietf-oauth-status-list-20): the statuses of many tokens, in an array that the issuer signs.

use std::time::Duration;

use super::Verdict;
use crate::pdp::time::UnixTime;
use crate::pdp::token::key::Signer;

pub mod statuses;
pub mod verify;

use statuses::Statuses;
use verify::ListRefused;

/// A list that a key of its issuer signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusList {
    /// The statuses.
    pub statuses: Statuses,
    /// The key that signed them. Once it is none of the issuer's any more, they say nothing.
    pub signer: Signer,
    /// `iat`.
    pub issued_at: UnixTime,
    /// `exp`: from then on the list is good for nothing.
    pub expires: Option<UnixTime>,
    /// `ttl`: how long after it was fetched the issuer wants it to be fetched again.
    pub ttl: Option<Duration>,
}

impl StatusList {
    /// What the list says of the token with this index: that it is revoked for every status but VALID (0), so for INVALID (1),
    /// SUSPENDED (2) and those that have no meaning here (section 7). Beyond the end nothing can be said (section 8.3).
    #[must_use]
    pub fn judge(&self, index: u64) -> Verdict {
        match self.statuses.get(index) {
            Some(0) => Verdict::Passes,
            Some(_) => Verdict::Revoked,
            None => Verdict::NotListed,
        }
    }

    /// For how long it is good from now on: no longer than `bound`, nor past its `exp`. `None`: no more.
    #[must_use]
    pub fn good_for(&self, now: UnixTime, bound: Duration) -> Option<Duration> {
        let left = self.expires.map_or(bound, |expires| expires.since(now).min(bound));
        (!left.is_zero()).then_some(left)
    }

    /// Whether it can take the place of `held`. One of the same second can: `iat` may have no finer units.
    ///
    /// # Errors
    /// [`ListRefused::RolledBack`] if it is older, so that nobody makes what was revoked good again with a list of yesterday.
    pub fn check_follows(&self, held: &Self) -> Result<(), ListRefused> {
        if self.issued_at < held.issued_at { Err(ListRefused::RolledBack) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
