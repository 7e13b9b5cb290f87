use super::*;
use crate::pdp::token::cache::{TokenCache, TokenDigest};

fn verified(sub: &str, exp: i64) -> Arc<VerifiedToken> {
    let mut claims = claims();
    claims["sub"] = json!(sub);
    claims["exp"] = json!(exp);
    Arc::new(verify(&token(&claims)).unwrap())
}

/// Everything is done that the cache puts off.
fn settle(cache: &TokenCache) {
    cache.settle();
}

#[test]
fn a_proof_is_found_by_the_exact_bytes_alone() {
    let cache = TokenCache::new(1 << 20);
    let proof = verified("alice", 1_800_000_300);
    cache.insert(TokenDigest::of("a.b.c"), Arc::clone(&proof), NOW);
    assert!(Arc::ptr_eq(&cache.get(TokenDigest::of("a.b.c")).unwrap(), &proof));
    for other in ["a.b.C", "a.b.c ", "a.b.", ""] {
        assert!(cache.get(TokenDigest::of(other)).is_none(), "{other:?}");
    }
    cache.forget(TokenDigest::of("a.b.c"));
    assert!(cache.get(TokenDigest::of("a.b.c")).is_none());
}

#[test]
fn a_proof_is_not_kept_beyond_its_tokens_expiry() {
    let cache = TokenCache::new(1 << 20);
    let digest = TokenDigest::of("a.b.c");
    cache.insert(digest, verified("alice", 1_800_000_300), UnixTime::from_seconds(1_800_000_300));
    assert!(cache.get(digest).is_none(), "within the leeway it is verified each time");
    cache.insert(digest, verified("alice", 1_800_000_300), UnixTime::from_seconds(1_800_000_400));
    assert!(cache.get(digest).is_none());
}

#[test]
fn the_cache_is_bounded_in_bytes() {
    let cache = TokenCache::new(64 * 1024);
    let proof = verified("alice", 1_800_000_300);
    for n in 0..2000 {
        cache.insert(TokenDigest::of(&n.to_string()), Arc::clone(&proof), NOW);
    }
    settle(&cache);
    assert!(cache.weight() <= 64 * 1024, "{} bytes", cache.weight());
    assert!(!cache.is_empty() && cache.len() < 200, "{} proofs", cache.len());
}

#[test]
fn a_proof_larger_than_the_cache_is_not_kept() {
    let cache = TokenCache::new(256);
    cache.insert(TokenDigest::of("a"), verified("alice", 1_800_000_300), NOW);
    settle(&cache);
    assert!(cache.get(TokenDigest::of("a")).is_none() && cache.is_empty());
}

#[test]
fn what_weighs_more_counts_more() {
    let weight = |change: fn(&mut Value)| {
        let mut claims = claims();
        change(&mut claims);
        verify(&token(&claims)).unwrap().claims().weight()
    };
    let base = weight(|_| {});
    let more: [fn(&mut Value); 8] = [
        |claims| claims["sub"] = json!("a".repeat(200)),
        |claims| claims["jti"] = json!("a".repeat(200)),
        |claims| claims["sid"] = json!("a".repeat(200)),
        |claims| claims["client_id"] = json!("a".repeat(200)),
        |claims| claims["tenant_id"] = json!("a".repeat(128)),
        |claims| claims["roles"] = json!(vec!["a".repeat(20); 10]),
        |claims| claims["permissions"] = json!((0..10).map(|n| format!("blog:posts.read{n}")).collect::<Vec<_>>()),
        |claims| claims["services"] = json!({ "a".repeat(200): { "enabled": true } }),
    ];
    for (index, change) in more.into_iter().enumerate() {
        assert!(weight(change) >= base + 100, "change {index}: {} and {base}", weight(change));
    }
}
