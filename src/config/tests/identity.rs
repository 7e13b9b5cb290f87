//! What counts as the same configuration, issuer policy or source.

use super::*;
use crate::pdp::token::profile::{PolicyFingerprint, SourceId};

const TEXT: &str = "\
issuers:
  manager:
    issuer: https://id.example.com
    audiences: [blog]
    leeway: 10s
    jwks: { url: https://id.example.com/keys, refresh: 5m }
    revocations: { url: https://id.example.com/revoked, max_staleness: 60s }
    claims: { permissions: permissions, roles: roles }
permissions: { syntax: \"service:resource.action\" }
roles: { editor: { permissions: [\"blog:posts.update\"] } }
routes:
  - { path: /posts, methods: { PUT: { permission: \"blog:posts.update\" } } }
";

struct Identity {
    revision: Arc<str>,
    policy: PolicyFingerprint,
    keys: SourceId,
    revocations: SourceId,
}

fn identity(text: &str) -> Identity {
    let configuration = compile(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let policy = configuration.snapshot.issuers.iter().next().unwrap();
    Identity {
        revision: Arc::clone(&configuration.snapshot.revision),
        policy: policy.fingerprint,
        keys: policy.keys,
        revocations: policy.revocations[0].source,
    }
}

fn changed(from: &str, to: &str) -> Identity {
    assert_eq!(TEXT.matches(from).count(), 1, "{from}");
    identity(&TEXT.replace(from, to))
}

#[test]
fn the_revision_names_the_text() {
    let revision = identity(TEXT).revision;
    assert_eq!(revision.len(), 12);
    assert!(revision.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(identity(TEXT).revision, revision);
    for other in [format!("{TEXT}\n"), format!("# hello\n{TEXT}"), TEXT.replace("5m", "6m"), TEXT.replace("/posts", "/post")] {
        assert_ne!(identity(&other).revision, revision);
    }
}

#[test]
fn the_revision_depends_on_where_one_file_ends_and_the_next_begins() {
    let (first, second) = TEXT.split_at(TEXT.find("roles: {").unwrap());
    let (second, third) = second.split_at(second.find("routes:").unwrap());
    let revision = |files: &[SourceFile]| Configuration::compile(files).unwrap().snapshot.revision;
    let cut = revision(&[file("a", first), file("b", &format!("{second}{third}"))]);
    assert_ne!(cut, revision(&[file("a", &format!("{first}{second}")), file("b", third)]));
    assert_ne!(cut, revision(&[file("a", first), file("c", &format!("{second}{third}"))]));
}

#[test]
fn another_issuer_policy_has_another_fingerprint() {
    let base = identity(TEXT);
    for (from, to) in [
        ("[blog]", "[blog, shop]"),
        ("leeway: 10s", "leeway: 11s"),
        ("leeway: 10s", "max_lifetime: 1h"),
        ("leeway: 10s", "max_token_bytes: 4096"),
        ("leeway: 10s", "algorithms: [PS256]"),
        ("leeway: 10s", "typ: [at+jwt]"),
        ("leeway: 10s", "kid: optional"),
        ("leeway: 10s", "require: [jti]"),
        ("leeway: 10s", "wildcards: true"),
        ("leeway: 10s", "tenants: [acme]"),
        ("issuer: https://id.example.com", "issuer: https://id.example.org"),
        ("permissions: permissions", "permissions: perms"),
        ("roles: roles", "roles: [realm_access, roles]"),
        ("https://id.example.com/keys", "https://id.example.com/keys2"),
        ("https://id.example.com/revoked", "https://id.example.com/revoked2"),
        ("max_staleness: 60s", "max_staleness: 60s, when_stale: fail_open"),
        ("\"service:resource.action\"", "\"s:r.a\""),
    ] {
        assert_ne!(changed(from, to).policy, base.policy, "{from} -> {to}");
    }
}

#[test]
fn the_fingerprint_stays_when_nothing_changed_that_tokens_are_verified_with() {
    let base = identity(TEXT);
    for (from, to) in [
        ("refresh: 5m", "refresh: 6m, cooldown: 1s"),
        ("max_staleness: 60s", "max_staleness: 90s"),
        ("[\"blog:posts.update\"]", "[\"blog:posts.*\"]"),
        ("path: /posts", "path: /articles"),
        ("leeway: 10s", "leeway: 10000ms"),
        ("[blog]", "blog"),
    ] {
        let other = changed(from, to);
        assert_eq!(other.policy, base.policy, "{from} -> {to}");
        assert_ne!(other.revision, base.revision);
    }
}

#[test]
fn a_source_is_known_by_whose_it_is_and_where_it_comes_from() {
    let base = identity(TEXT);
    for (from, to) in [
        ("refresh: 5m", "refresh: 6m"),
        ("leeway: 10s", "leeway: 11s"),
        ("max_staleness: 60s", "when_stale: fail_open"),
        ("manager:", "director:"),
    ] {
        let other = changed(from, to);
        assert_eq!((other.keys, other.revocations), (base.keys, base.revocations), "{from} -> {to}");
    }
    let other = changed("https://id.example.com/keys", "https://id.example.com/keys2");
    assert!(other.keys != base.keys && other.revocations == base.revocations);
    let other = changed("https://id.example.com/revoked", "https://id.example.com/revoked2");
    assert!(other.keys == base.keys && other.revocations != base.revocations);
    let other = changed("issuer: https://id.example.com", "issuer: https://id.example.org");
    assert!(other.keys != base.keys && other.revocations != base.revocations);
    // Which keys of a set are kept depends on the algorithms.
    assert_ne!(changed("leeway: 10s", "algorithms: [RS256, PS256]").keys, base.keys);
}

#[test]
fn two_issuers_never_share_a_source() {
    let text = TEXT.replace(
        "permissions: { syntax",
        "  partner:\n    issuer: https://partner.example.com\n    audiences: [blog]\n    jwks: { url: https://id.example.com/keys }\n    \
         revocations: { url: https://id.example.com/revoked }\n    claims: { roles: roles }\npermissions: { syntax",
    );
    let configuration = compile(&text).unwrap();
    let mut ids: Vec<SourceId> = configuration.sources.iter().map(|source| source.id).collect();
    assert_eq!(ids.len(), 4);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}
