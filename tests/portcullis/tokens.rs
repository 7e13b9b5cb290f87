//! An RS256 token, changed in every place.

use std::sync::Arc;

use portcullis::config::{Configuration, SourceFile};
use portcullis::pdp::decision::{Effect, Reason};
use portcullis::pdp::request::{AccessRequest, Headers};
use portcullis::pdp::role::TenantRoles;
use portcullis::pdp::target::{TargetFact, TargetKey};
use portcullis::pdp::token::cache::TokenCache;
use portcullis::pdp::token::key::KeySet;
use portcullis::pdp::token::profile::SourceId;
use portcullis::pdp::{Facts, Revocations, View, decide};
use portcullis::policy_test::keys;
use portcullis::policy_test::token::{Tampering, TokenSpec};
use serde_json::json;

use crate::support::{NOW, mint_text};

const CONFIGURATION: &str = "
issuers: { manager: { issuer: https://id.example.com, audiences: [blog], jwks: { file: /jwks.json } } }
routes: [{ path: /me, methods: { GET: { access: authenticated } } }]
";

struct OneKey(Arc<KeySet>);

impl Facts for OneKey {
    fn keys(&self, _: SourceId) -> Option<Arc<KeySet>> {
        Some(Arc::clone(&self.0))
    }

    fn revocations(&self, _: SourceId) -> Revocations {
        Revocations::Missing
    }

    fn tenant_roles(&self, _: SourceId) -> Option<Arc<TenantRoles>> {
        None
    }

    fn target(&self, _: &TargetKey) -> TargetFact {
        TargetFact::NotAsked
    }
}

/// Decides on requests with this and that token, all with one cache.
fn judge(tokens: impl Iterator<Item = String>, mut verdict: impl FnMut(&str, Reason)) {
    let file = SourceFile { name: "c.yaml".into(), text: CONFIGURATION.into() };
    let configuration = Configuration::compile(&[file]).unwrap();
    let algorithms = &configuration.snapshot.issuers.iter().next().unwrap().algorithms;
    let facts = OneKey(Arc::new(KeySet::parse(keys::key_set(&["rsa-a"]).unwrap().to_string().as_bytes(), algorithms).unwrap()));
    let cache = TokenCache::new(1 << 20);
    for token in tokens {
        let value = format!("Bearer {token}");
        let mut headers = Headers::default();
        headers.push("authorization", value.as_bytes());
        let request = AccessRequest { method: "GET", target: "/me", authority: "h", headers, ..AccessRequest::default() };
        let decision = decide(&View { snapshot: &configuration.snapshot, facts: &facts, tokens: &cache }, &request, NOW);
        verdict(&token, decision.reason);
    }
}

fn spec() -> TokenSpec {
    TokenSpec::with_claims(json!({ "iss": "https://id.example.com", "aud": "blog" }))
}

#[test]
fn every_bit_of_an_rs256_signature_counts() {
    judge(std::iter::once(mint_text(&spec())), |_, reason| assert_eq!(reason, Reason::Allowed));
    let tampered = (0..2048).map(|bit| mint_text(&TokenSpec { tampering: vec![Tampering::Flip(bit)], ..spec() }));
    judge(tampered, |token, reason| assert_eq!(reason, Reason::SignatureInvalid, "{token}"));
}

#[test]
fn every_character_of_a_token_counts_even_when_the_good_one_is_remembered() {
    let good = mint_text(&spec());
    let changed = (0..good.len()).flat_map(|at| {
        let (before, after) = (&good[..at], &good[at + 1..]);
        let replaced = ['A', 'B', '_', '.', '='].map(|other| format!("{before}{other}{after}"));
        let doubled = format!("{before}{}{}", &good[at..=at], &good[at..]);
        replaced.into_iter().chain([format!("{before}{after}"), doubled]).collect::<Vec<_>>()
    });
    let mut seen = 0;
    judge(std::iter::once(good.clone()).chain(changed), |token, reason| {
        seen += 1;
        assert_eq!(reason.effect() == Effect::Permit, token == good, "{token}: {reason}");
    });
    assert_eq!(seen, 1 + 7 * good.len());
}

#[test]
fn signatures_of_every_length_are_refused() {
    let lengths = (1..=256).map(|bytes| mint_text(&TokenSpec { tampering: vec![Tampering::Truncate(bytes)], ..spec() }));
    let longer = (1..=64).map(|bytes| mint_text(&TokenSpec { tampering: vec![Tampering::Extend(bytes)], ..spec() }));
    judge(lengths.chain(longer), |token, reason| assert_eq!(reason.effect(), Effect::Deny, "{token}"));
}
