use proptest::prelude::*;

use super::*;

const KINDS: [RevocationKind; 6] = [
    RevocationKind::Token,
    RevocationKind::Session,
    RevocationKind::Subject,
    RevocationKind::Tenant,
    RevocationKind::Client,
    RevocationKind::Key,
];

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

fn entry(id: &str, before: Option<i64>, expires: Option<i64>) -> Revocation<'_> {
    Revocation { kind: RevocationKind::Session, id, before: before.map(at), expires: expires.map(at) }
}

fn list(entries: &[Revocation<'_>], now: i64) -> RevocationList {
    RevocationList::full(entries.iter().cloned().collect(), at(now))
}

/// Whether a list has an entry about a session of a token that was issued then.
fn revokes(list: &RevocationList, id: &str, issued_at: Option<i64>) -> bool {
    let id = Fingerprint::of(RevocationKind::Session, id);
    let issued_at = issued_at.map(at);
    list.table.revokes(id, issued_at) || list.recent.revokes(id, issued_at)
}

#[test]
fn fingerprints_tell_kinds_and_ids_apart() {
    let mut seen = std::collections::HashSet::new();
    for kind in KINDS {
        for id in ["", "a", "b", "aa", "a\0", "\0a"] {
            assert!(seen.insert(Fingerprint::of(kind, id)), "{kind:?} {id:?}");
        }
    }
}

#[test]
fn two_entries_for_one_id_add_up() {
    for as_two_steps in [false, true] {
        let check = |first: Revocation<'_>, second: Revocation<'_>, issued_at: Option<i64>, revoked: bool| {
            let both = if as_two_steps {
                list(std::slice::from_ref(&first), 0).with([second.clone()].into_iter().collect(), at(0))
            } else {
                list(&[first.clone(), second.clone()], 0)
            };
            assert_eq!(revokes(&both, "s", issued_at), revoked, "{first:?} {second:?} {issued_at:?} in two steps: {as_two_steps}");
        };
        check(entry("s", Some(10), None), entry("s", Some(20), None), Some(15), true);
        check(entry("s", Some(20), None), entry("s", Some(10), None), Some(15), true);
        check(entry("s", Some(20), None), entry("s", Some(10), None), Some(20), false);
        check(entry("s", Some(10), None), entry("s", None, None), Some(99), true);
        check(entry("s", None, None), entry("s", Some(10), None), Some(99), true);
        check(entry("s", Some(10), None), entry("t", None, None), Some(99), false);
        check(entry("s", Some(10), None), entry("s", Some(9), None), None, true);
    }
}

#[test]
fn an_entry_is_forgotten_well_after_no_token_can_carry_it() {
    let all = list(&[entry("soon", None, Some(100)), entry("late", None, Some(5000)), entry("never", Some(7), None)], 0);
    assert!(!all.has_expired(at(100)) && !all.has_expired(at(699)));
    assert!(all.has_expired(at(700)));
    let rest = all.without_expired(at(700));
    assert!(!revokes(&rest, "soon", None) && revokes(&rest, "late", None) && revokes(&rest, "never", None));
    assert_eq!(rest.len(), 2);
    // The later one of two expiries counts, in whatever order they came.
    for (a, b) in [(Some(100), Some(5000)), (Some(5000), Some(100)), (Some(100), None), (None, Some(100))] {
        let list = list(&[entry("s", None, a)], 0).with([entry("s", None, b)].into_iter().collect(), at(0));
        assert!(revokes(&list.without_expired(at(2000)), "s", None), "{a:?} {b:?}");
    }
}

#[test]
fn a_list_does_not_pretend_to_be_complete_where_it_has_forgotten() {
    let short = list(&[entry("soon", None, Some(1000)), entry("late", None, Some(9000))], 0).without_expired(at(2000));
    // The clock may be a little behind, but not so far that a token with the forgotten entry would be good again.
    assert!(short.is_complete_at(at(2000)) && short.is_complete_at(at(1300)));
    assert!(!short.is_complete_at(at(1299)) && !short.is_complete_at(at(500)));
    // What its source leaves out because it has expired counts in the same way.
    assert!(!list(&[entry("soon", None, Some(1000))], 2000).is_complete_at(at(900)));
    assert!(list(&[entry("soon", None, Some(1000))], 0).is_complete_at(at(0)));
}

#[test]
fn a_moment_is_rounded_so_that_nothing_is_forgotten_early() {
    let expires = |millis| Whole::new(Fingerprint::from_bits(1), Some(UnixTime::from_millis(millis))).expires();
    assert_eq!(expires(1), Some(at(1)));
    assert_eq!(expires(1000), Some(at(1)));
    assert_eq!(expires(1001), Some(at(2)));
    // Beyond what 32 bits can say is never.
    assert_eq!(expires(i64::from(u32::MAX) * 1000), None);
    assert_eq!(expires(i64::MAX), None);
    assert_eq!(expires(-5), Some(at(0)));
}

#[test]
fn a_long_list_takes_little_more_than_sixteen_bytes_for_each_entry() {
    let ids: Vec<String> = (0..100_000).map(|number| format!("0193f3a2-7c1e-7000-a000-{number:012x}")).collect();
    let list = RevocationList::full(ids.iter().map(|id| entry(id, None, Some(1))).collect(), at(0));
    let each = list.weight() as f64 / list.len() as f64;
    assert!((16.0..17.0).contains(&each), "{each} bytes");
    assert!(ids.iter().all(|id| revokes(&list, id, None)));
    assert!(!(0..100_000).any(|number| revokes(&list, &format!("0193f3a2-7c1e-7000-b000-{number:012x}"), None)));
}

#[test]
fn what_comes_in_small_steps_is_sorted_in_now_and_then() {
    let mut all = list(&[entry("first", None, None)], 0);
    for number in 0..2 * MAX_RECENT {
        let id = format!("s{number}");
        all = all.with([entry(&id, None, None)].into_iter().collect(), at(0));
        assert!(all.recent.len() <= MAX_RECENT);
    }
    assert_eq!(all.len(), 2 * MAX_RECENT + 1);
    assert!(all.table.len() > MAX_RECENT);
    assert!((0..2 * MAX_RECENT).all(|number| revokes(&all, &format!("s{number}"), None)));
}

proptest! {
    /// Against the plainest list there could be: entries, gone through from the first to the last.
    #[test]
    fn a_list_says_what_its_entries_say(
        steps in prop::collection::vec(prop::collection::vec((0_u8..40, prop::option::of(0_i64..10), prop::option::of(0_i64..3000)), 0..30), 1..6),
        now in 0_i64..4000,
    ) {
        let mut plain: Vec<(String, Option<i64>, Option<i64>)> = Vec::new();
        let mut list = RevocationList::default();
        for step in steps {
            let step: Vec<_> = step.into_iter().map(|(id, before, expires)| (id.to_string(), before, expires)).collect();
            list = list.with(step.iter().map(|(id, before, expires)| entry(id, *before, *expires)).collect(), at(0));
            plain.extend(step);
        }
        let copy = RevocationList::from_parts(list.parts());
        let shorter = list.without_expired(at(now));
        for id in (0..40).map(|id: u8| id.to_string()) {
            for issued_at in [None, Some(0), Some(5), Some(11)] {
                let about = |(other, before, _): &(String, Option<i64>, Option<i64>)| {
                    *other == id && before.is_none_or(|before| issued_at.is_none_or(|issued_at| issued_at < before))
                };
                let revoked = plain.iter().any(about);
                prop_assert_eq!(revokes(&list, &id, issued_at), revoked);
                prop_assert_eq!(revokes(&copy, &id, issued_at), revoked);
                // Nothing that may still count is forgotten, and nothing is made up.
                let must = plain.iter().any(|entry| about(entry) && entry.2.is_none_or(|expires| expires + 600 > now));
                let still = revokes(&shorter, &id, issued_at);
                prop_assert!(still >= must && still <= revoked);
            }
        }
    }
}
