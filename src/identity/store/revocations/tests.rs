//! The feed at the level of the database.

use super::super::Database;
use super::*;

const NOW: UnixTime = 1_000_000;

async fn store() -> Store {
    Store::open(&Database::Memory, 900).await.unwrap()
}

#[test]
fn cursor_has_one_spelling() {
    let cursor = Cursor::parse("ab-12").unwrap();
    assert_eq!((cursor.database_id.as_str(), cursor.sequence), ("ab", 12));
    for bad in ["", "ab", "ab-", "ab--1", "ab-01", "ab-+1", "ab-1 ", "ab-99999999999999999999"] {
        assert_eq!(Cursor::parse(bad), None, "{bad}");
    }
}

#[tokio::test]
async fn known_cursor_gets_what_came_after_and_others_get_everything() {
    let store = store().await;
    let first = store.revoke(RevocationType::Jti, "a".into(), None, NOW).await.unwrap();
    let second = store.revoke(RevocationType::Sub, "b".into(), Some(5), NOW).await.unwrap();

    let delta = store.feed(Some(first.clone()), NOW).await.unwrap();
    assert!(!delta.full);
    assert_eq!(delta.cursor, second);
    let expires = NOW + 900 + 300;
    let entry = Revocation { kind: RevocationType::Sub, id: "b".into(), before: Some(5), expires };
    assert_eq!(delta.entries[0].revocation, entry);
    assert_eq!(delta.entries.len(), 1);

    let foreign = Cursor { database_id: "other".into(), sequence: first.sequence };
    let future = Cursor { sequence: second.sequence + 1, ..second.clone() };
    for since in [None, Some(foreign), Some(future)] {
        let full = store.feed(since, NOW).await.unwrap();
        assert!(full.full);
        assert_eq!(full.entries.len(), 2);
    }
}

#[tokio::test]
async fn expired_entries_are_dropped_but_their_positions_are_not_reused() {
    let store = store().await;
    let cursor = store.revoke(RevocationType::Jti, "a".into(), None, NOW).await.unwrap();
    let later = NOW + 900 + 300;
    assert_eq!(store.feed(None, later - 1).await.unwrap().entries.len(), 1);
    assert_eq!(store.feed(None, later).await.unwrap().entries.len(), 0);
    store.prune(later).await.unwrap();
    assert_eq!(store.feed(None, NOW).await.unwrap().entries.len(), 0);
    assert_eq!(store.feed(None, later).await.unwrap().cursor, cursor);
    let next = store.revoke(RevocationType::Jti, "b".into(), None, later).await.unwrap();
    assert_eq!(next.sequence, cursor.sequence + 1);
}

#[tokio::test]
async fn bound_in_the_future_keeps_the_entry_for_tokens_issued_until_then() {
    let store = store().await;
    store.revoke(RevocationType::Sub, "a".into(), Some(NOW + 100), NOW).await.unwrap();
    let page = store.feed(None, NOW).await.unwrap();
    assert_eq!(page.entries.first().unwrap().revocation.expires, NOW + 100 + 900 + 300);
}

#[tokio::test]
async fn revocation_is_announced_after_its_commit() {
    let store = store().await;
    let mut head = store.watch_head();
    let cursor = store.revoke(RevocationType::Jti, "a".into(), None, NOW).await.unwrap();
    assert!(head.has_changed().unwrap());
    assert_eq!(*head.borrow_and_update(), cursor.sequence);
    store.feed(None, NOW).await.unwrap();
    assert!(!head.has_changed().unwrap());
}

#[tokio::test]
async fn token_is_covered_by_each_of_its_claims_alone() {
    let token = TokenIds {
        kid: "k".into(),
        jti: "j".into(),
        sid: Some("s".into()),
        sub: "u".into(),
        client: Some("c".into()),
        tenant: Some("t".into()),
        iat: NOW,
    };
    let cases = [
        (RevocationType::Kid, "k", None, true),
        (RevocationType::Jti, "j", None, true),
        (RevocationType::Sid, "s", None, true),
        (RevocationType::Sub, "u", None, true),
        (RevocationType::Tenant, "t", None, true),
        (RevocationType::Sub, "u", Some(NOW + 1), true),
        (RevocationType::Sub, "u", Some(NOW), false),
        (RevocationType::Jti, "u", None, false),
        (RevocationType::Client, "c", None, true),
        (RevocationType::Client, "u", None, false),
    ];
    for (kind, id, before, expected) in cases {
        let store = store().await;
        store.revoke(kind, id.into(), before, NOW).await.unwrap();
        let token = token.clone();
        let covered = store.read(move |tx, _| covers(tx, &token, NOW)).await.unwrap();
        assert_eq!(covered, expected, "{kind:?} {id} {before:?}");
    }
}
