//! The only way from a token's bytes to a [`VerifiedToken`].

use super::algorithm::Algorithm;
use super::claims::Claims;
use super::jws::CompactJws;
use super::key::{KeySet, NoKey, Signer, VerificationKey};
use super::profile::{IssuerPolicy, KeyIdPolicy, PolicyFingerprint};
use crate::pdp::decision::Reason;
use crate::pdp::json::Json;
use crate::pdp::revocation::RevocationKind;
use crate::pdp::revocation::fingerprint::Fingerprint;
use crate::pdp::time::UnixTime;

/// The proof that a key of an issuer signed a token, and that it fits that issuer's policy. It says nothing about *now*: time,
/// revocation and the key's and policy's being in force are checked each time that it is used.
#[derive(Debug, Clone)]
pub struct VerifiedToken {
    claims: Claims,
    signer: Signer,
    policy: PolicyFingerprint,
    /// Computed once: a token is verified once and looked for in revocation lists with each request.
    revocable_by: Box<[(RevocationKind, Fingerprint)]>,
}

impl VerifiedToken {
    /// What the token says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// `kid` of the key that signed it.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.signer.key_id()
    }

    /// The policy that it was checked against.
    #[must_use]
    pub fn policy(&self) -> PolicyFingerprint {
        self.policy
    }

    /// The ids by which it can be revoked.
    #[must_use]
    pub fn revocable_by(&self) -> &[(RevocationKind, Fingerprint)] {
        &self.revocable_by
    }

    /// Whether the key that signed it is still one of the issuer's.
    #[must_use]
    pub fn key_is_in(&self, keys: &KeySet) -> bool {
        self.signer.is_in(keys)
    }

    /// Whether the token is in date (RFC 7519 sections 4.1.4 to 4.1.6).
    ///
    /// # Errors
    /// Expired, not yet valid, or issued in the future.
    pub fn check_time(&self, policy: &IssuerPolicy, now: UnixTime) -> Result<(), Reason> {
        if now >= self.claims.expires.plus(policy.leeway) {
            return Err(Reason::TokenExpired);
        }
        let latest = now.plus(policy.leeway);
        if [self.claims.not_before, self.claims.issued_at].into_iter().flatten().any(|time| time > latest) {
            return Err(Reason::TokenNotYetValid);
        }
        Ok(())
    }
}

/// The issuer that a token claims to be from: good for choosing a policy and for nothing else.
#[must_use]
pub fn claimed_issuer<'a>(jws: &'a CompactJws<'_>) -> Option<&'a str> {
    match jws.payload.get("iss") {
        Some(Json::String(issuer)) => Some(issuer),
        _ => None,
    }
}

/// Verifies a token against one issuer's policy and keys. The cheap checks come before the signature.
///
/// # Errors
/// The reason for which the token is refused.
pub fn verify(jws: &CompactJws<'_>, policy: &IssuerPolicy, keys: &KeySet) -> Result<VerifiedToken, Reason> {
    let key = signing_key(jws, &policy.algorithms, policy.key_id, keys)?;
    let claims = Claims::check(&jws.header, &jws.payload, policy)?;
    let revocable_by = revocable_by(&claims, key.key_id());
    Ok(VerifiedToken { claims, signer: key.signer(), policy: policy.fingerprint, revocable_by })
}

/// Whoever acts for the subject can be revoked like the subject.
fn revocable_by(claims: &Claims, key_id: Option<&str>) -> Box<[(RevocationKind, Fingerprint)]> {
    let ids = [
        (RevocationKind::Token, claims.token_id.as_deref()),
        (RevocationKind::Session, claims.session.as_deref()),
        (RevocationKind::Subject, Some(&*claims.subject)),
        (RevocationKind::Subject, claims.actor.as_ref().map(|actor| &*actor.subject)),
        (RevocationKind::Tenant, claims.tenant.as_ref().map(|tenant| tenant.as_str())),
        (RevocationKind::Client, claims.client_id.as_deref()),
        (RevocationKind::Key, key_id),
    ];
    ids.into_iter().filter_map(|(kind, id)| Some((kind, Fingerprint::of(kind, id?)))).collect()
}

/// The key of a set that made a signature, with one of these algorithms.
///
/// # Errors
/// When none did: [`Reason::AlgorithmNotAllowed`], [`Reason::KeyIdMissing`], [`Reason::KeyUnknown`] or [`Reason::SignatureInvalid`].
pub fn signing_key<'k>(
    jws: &CompactJws<'_>,
    algorithms: &[Algorithm],
    key_id_policy: KeyIdPolicy,
    keys: &'k KeySet,
) -> Result<&'k VerificationKey, Reason> {
    let algorithm =
        Algorithm::parse(&jws.header.algorithm).filter(|algorithm| algorithms.contains(algorithm)).ok_or(Reason::AlgorithmNotAllowed)?;
    let key_id = jws.header.key_id.as_deref();
    if key_id.is_none() && key_id_policy == KeyIdPolicy::Required {
        return Err(Reason::KeyIdMissing);
    }
    let key = keys.select(key_id, algorithm).map_err(|cause| match cause {
        NoKey::Unknown => Reason::KeyUnknown,
        NoKey::AlgorithmNotAllowed => Reason::AlgorithmNotAllowed,
    })?;
    if key.verifies(jws.signing_input.as_bytes(), jws.signature, algorithm) { Ok(key) } else { Err(Reason::SignatureInvalid) }
}
