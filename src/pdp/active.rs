//! From a credential to a token that is verified, in date and not revoked (*active* in the sense of RFC 7662 section 2.2).

use std::sync::Arc;

use super::credential::BearerToken;
use super::decision::{Decision, Reason, TokenLookup, UnknownKey};
use super::revocation::Verdict;
use super::time::UnixTime;
use super::token::cache::TokenDigest;
use super::token::jws::CompactJws;
use super::token::profile::{ActingPolicy, IssuerPolicy, WhenStale};
use super::token::verify::{self, VerifiedToken};
use super::{Revocations, View};

/// Looks a token up or verifies it, and checks what changes with time.
pub(super) fn active_token<'v>(
    view: &View<'v>,
    credential: BearerToken<'_>,
    now: UnixTime,
    notes: &mut Decision,
) -> Result<(Arc<VerifiedToken>, &'v IssuerPolicy), Reason> {
    if credential.as_str().len() > view.snapshot.issuers.longest_token() {
        return Err(Reason::TokenTooLong);
    }
    let digest = TokenDigest::of(credential.as_str());
    let (token, policy) = match remembered_token(view, digest) {
        Some(remembered) => {
            notes.token_lookup = Some(TokenLookup::Hit);
            remembered
        }
        None => {
            notes.token_lookup = Some(TokenLookup::Miss);
            verified_token(view, credential, notes)?
        }
    };
    token.check_time(policy, now)?;
    if notes.token_lookup == Some(TokenLookup::Miss) {
        view.tokens.insert(digest, Arc::clone(&token), now);
    }
    check_revocation(view, policy, &token, now, notes)?;
    check_age(view, policy, &token, now)?;
    check_acting(view, policy, &token)?;
    Ok((token, policy))
}

/// Whoever acts on behalf of somebody else needs a right to.
fn check_acting(view: &View<'_>, policy: &IssuerPolicy, token: &VerifiedToken) -> Result<(), Reason> {
    let claims = token.claims();
    let Some(actor) = &claims.actor else { return Ok(()) };
    let roles = &view.snapshot.roles;
    let may = match policy.acting {
        ActingPolicy::Role => roles.act_for_others(&actor.roles),
        ActingPolicy::Issuer => true,
        ActingPolicy::Refused => false,
    };
    if may && roles.acted_for(&claims.roles) { Ok(()) } else { Err(Reason::ActingNotAllowed) }
}

/// A role can ask for younger tokens than their issuer gives. A token that does not say when it was issued is too old.
fn check_age(view: &View<'_>, policy: &IssuerPolicy, token: &VerifiedToken, now: UnixTime) -> Result<(), Reason> {
    let claims = token.claims();
    let Some(limit) = view.snapshot.roles.max_token_age(&claims.roles) else { return Ok(()) };
    let young = claims.issued_at.is_some_and(|issued_at| now.since(issued_at) <= limit.saturating_add(policy.leeway));
    if young { Ok(()) } else { Err(Reason::TokenTooOld) }
}

/// A token that was verified before, if its key and its issuer's policy are still in force.
fn remembered_token<'v>(view: &View<'v>, digest: TokenDigest) -> Option<(Arc<VerifiedToken>, &'v IssuerPolicy)> {
    let token = view.tokens.get(digest)?;
    let in_force = view
        .snapshot
        .issuers
        .by_fingerprint(token.policy())
        .filter(|policy| view.facts.keys(policy.keys).is_some_and(|keys| token.key_is_in(&keys)));
    match in_force {
        Some(policy) => Some((token, policy)),
        None => {
            // It is judged as if it had never been seen, which also finds the right reason.
            view.tokens.forget(digest);
            None
        }
    }
}

fn verified_token<'v>(
    view: &View<'v>,
    credential: BearerToken<'_>,
    notes: &mut Decision,
) -> Result<(Arc<VerifiedToken>, &'v IssuerPolicy), Reason> {
    let jws = CompactJws::parse(credential.as_str()).map_err(|_| Reason::TokenMalformed)?;
    let policy = verify::claimed_issuer(&jws).and_then(|issuer| view.snapshot.issuers.by_issuer(issuer)).ok_or(Reason::IssuerUnknown)?;
    if credential.as_str().len() > policy.max_token_bytes {
        return Err(Reason::TokenTooLong);
    }
    let keys = view.facts.keys(policy.keys).ok_or(Reason::KeysUnavailable)?;
    let token = verify::verify(&jws, policy, &keys).inspect_err(|reason| {
        if *reason == Reason::KeyUnknown {
            notes.unknown_key = jws.header.key_id.clone().map(|key_id| UnknownKey { source: policy.keys, key_id });
        }
    })?;
    Ok((Arc::new(token), policy))
}

/// A token that is known to be revoked is refused as such, also while another source cannot say anything.
fn check_revocation(
    view: &View<'_>,
    policy: &IssuerPolicy,
    token: &VerifiedToken,
    now: UnixTime,
    notes: &mut Decision,
) -> Result<(), Reason> {
    let mut outcome = Ok(());
    for rule in &policy.revocations {
        let data = match (view.facts.revocations(rule.source), rule.when_stale) {
            (Revocations::Fresh(data), _) => data,
            (Revocations::Stale(data), WhenStale::FailOpen) => {
                notes.used_stale_revocations = true;
                data
            }
            (Revocations::Stale(_), WhenStale::Deny) | (Revocations::Missing, _) => {
                outcome = Err(Reason::RevocationsStale);
                continue;
            }
        };
        match data.judge(rule.source, token, || view.facts.keys(policy.keys), now) {
            Verdict::Passes => {}
            Verdict::Revoked => return Err(Reason::TokenRevoked),
            Verdict::Unknown => outcome = Err(Reason::RevocationsStale),
            // The draft has such a token rejected (section 8.3), and 503 would have its holder try the same one again and again.
            Verdict::NotListed => outcome = outcome.and(Err(Reason::StatusIndexUnknown)),
        }
    }
    outcome
}
