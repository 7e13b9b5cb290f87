use proptest::prelude::*;

use super::*;

fn saas() -> PermissionSyntax {
    PermissionSyntax::parse("service:resource.action").unwrap()
}

fn allows(syntax: &PermissionSyntax, grants: &[&str], required: &str) -> bool {
    let mut set = PermissionSet::default();
    for grant in grants {
        set.insert(syntax.grant(grant, true).unwrap());
    }
    set.allows(&syntax.required(required).unwrap())
}

#[test]
fn a_literal_grant_covers_exactly_itself() {
    assert!(allows(&saas(), &["blog:posts.read"], "blog:posts.read"));
    for other in ["blog:posts.update", "blog:post.read", "Blog:posts.read", "chatbot:posts.read", "blog:posts.rea", "blog:posts.reads"] {
        assert!(!allows(&saas(), &["blog:posts.read"], other), "{other}");
    }
}

#[test]
fn a_star_in_the_middle_is_one_segment() {
    assert!(allows(&saas(), &["blog:*.read"], "blog:posts.read"));
    assert!(!allows(&saas(), &["blog:*.read"], "blog:posts.update"));
    assert!(allows(&saas(), &["*:posts.read"], "blog:posts.read"));
    assert!(!allows(&saas(), &["*:posts.read"], "blog:comments.read"));
}

#[test]
fn a_star_at_the_end_is_everything_that_remains() {
    assert!(allows(&saas(), &["blog:posts.*"], "blog:posts.read"));
    assert!(!allows(&saas(), &["blog:posts.*"], "blog:comments.read"));
    assert!(allows(&saas(), &["blog:*"], "blog:posts.read"));
    assert!(!allows(&saas(), &["blog:*"], "blogs:posts.read"));
    assert!(allows(&saas(), &["*:*"], "blog:posts.read"));
    assert!(allows(&saas(), &["*"], "blog:posts.read"));
}

#[test]
fn the_three_part_syntax_takes_wildcards_anywhere() {
    let erp = PermissionSyntax::parse("resource:action:scope").unwrap();
    assert!(allows(&erp, &["*:read:all"], "orders:read:all"));
    assert!(!allows(&erp, &["*:read:own"], "orders:read:all"));
    assert!(allows(&erp, &["orders:*:all"], "orders:approve:all"));
    assert!(allows(&erp, &["orders:*"], "orders:approve:own"));
    assert!(allows(&erp, &["*:*:own"], "orders:approve:own"));
    assert!(!allows(&erp, &["*:*:own"], "orders:approve:all"));
}

#[test]
fn flat_names_are_a_syntax_of_one_segment() {
    let flat = PermissionSyntax::parse("ability").unwrap();
    assert!(allows(&flat, &["ADMIN_AUDIT_ACCESS"], "ADMIN_AUDIT_ACCESS"));
    assert!(!allows(&flat, &["ADMIN_AUDIT_ACCESS"], "ADMIN_AUDIT"));
    assert!(flat.grant("ADMIN:AUDIT", true).is_err());
}

#[test]
fn an_empty_set_allows_nothing() {
    assert!(PermissionSet::default().is_empty());
    assert!(!PermissionSet::default().allows(&saas().required("blog:posts.read").unwrap()));
}

#[test]
fn separators_are_compared_like_the_rest() {
    for odd in ["blog.posts.read", "blog:posts:read", "blog.posts:read", "blog.*"] {
        assert!(matches!(saas().grant(odd, true), Err(PermissionError::WrongShape(_))), "{odd}");
    }
}

#[test]
fn what_does_not_fit_the_syntax_is_no_grant() {
    use PermissionError::*;
    let shape = || WrongShape("service:resource.action".into());
    for (text, error) in [
        ("", Empty),
        ("blog", shape()),
        ("blog:posts", shape()),
        ("blog:posts.read.more", shape()),
        ("blog:posts.read.*", shape()),
        ("*:posts", shape()),
        (":posts.read", EmptySegment),
        ("blog:.read", EmptySegment),
        ("blog:posts.", EmptySegment),
        ("blog:po*.read", PartialWildcard),
        ("blog:**.read", PartialWildcard),
        ("blog:posts.read ", OddCharacter(' ')),
        ("blog:posts.re,ad", OddCharacter(',')),
        ("blog:pösts.read", OddCharacter('ö')),
        ("blog:posts.read\0", OddCharacter('\0')),
    ] {
        assert_eq!(saas().grant(text, true), Err(error), "{text:?}");
    }
    assert_eq!(saas().grant(&"a".repeat(300), true), Err(TooLong));
}

#[test]
fn a_star_is_odd_where_wildcards_are_off() {
    for text in ["*", "blog:*", "blog:*.read", "blog:posts.*"] {
        assert_eq!(saas().grant(text, false), Err(PermissionError::OddCharacter('*')), "{text}");
    }
    assert!(saas().grant("blog:posts.read", false).is_ok());
}

#[test]
fn a_required_permission_is_literal() {
    assert_eq!(saas().required("blog:posts.*"), Err(PermissionError::WildcardNotAllowed));
    assert_eq!(saas().required("*"), Err(PermissionError::WildcardNotAllowed));
    assert!(matches!(saas().required("blog:posts"), Err(PermissionError::WrongShape(_))));
}

#[test]
fn a_syntax_is_names_between_separators() {
    for bad in ["", ":", "a:", "a::b", "a b", "a:*", "a/b", "a:b:c:d:e:f:g:h:i"] {
        assert!(PermissionSyntax::parse(bad).is_err(), "{bad:?}");
    }
    assert_eq!(saas().segments(), 3);
}

/// Decides by trying every way to expand a grant's segments; it shares no code with the set.
fn oracle(grant: &str, required: &str) -> bool {
    let cut = |text: &str| -> Vec<String> {
        let mut out = vec![String::new()];
        for c in text.chars() {
            if c == ':' || c == '.' {
                out.push(c.to_string());
                out.push(String::new());
            } else {
                out.last_mut().unwrap().push(c);
            }
        }
        out
    };
    fn rec(grant: &[String], required: &[String]) -> bool {
        match (grant, required) {
            ([], []) => true,
            ([last], [_, ..]) if last == "*" => true,
            ([g, gs @ ..], [r, rs @ ..]) => (g == "*" || g == r) && rec(gs, rs),
            _ => false,
        }
    }
    rec(&cut(grant), &cut(required))
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![Just("a".to_string()), Just("b".to_string()), Just("ab".to_string()), Just("*".to_string())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn wildcards_agree_with_a_naive_oracle(
        grant in proptest::collection::vec(segment(), 1..5),
        required in proptest::collection::vec("(a|b|ab)", 3),
        separators in proptest::collection::vec("[:.]", 4),
    ) {
        let syntax = saas();
        let mut text = String::new();
        for (index, segment) in grant.iter().enumerate() {
            if index > 0 { text.push_str(&separators[index - 1]); }
            text.push_str(segment);
        }
        let required = format!("{}:{}.{}", required[0], required[1], required[2]);
        let by_set = syntax.grant(&text, true).is_ok_and(|grant| {
            let mut set = PermissionSet::default();
            set.insert(grant);
            set.allows(&syntax.required(&required).unwrap())
        });
        prop_assert_eq!(by_set, oracle(&text, &required), "{} covers {}?", text, required);
    }

    #[test]
    fn any_string_is_answered_without_a_panic(text in ".{0,64}") {
        let _ = saas().grant(&text, true);
        let _ = saas().required(&text);
        let _ = PermissionSyntax::parse(&text);
    }

    #[test]
    fn a_union_allows_what_one_of_its_parts_allows(
        left in proptest::collection::vec(segment(), 3),
        right in proptest::collection::vec(segment(), 3),
        required in proptest::collection::vec("(a|b|ab)", 3),
    ) {
        let syntax = saas();
        let write = |s: &[String]| format!("{}:{}.{}", s[0], s[1], s[2]);
        let set = |texts: &[String]| {
            let mut set = PermissionSet::default();
            for text in texts { set.insert(syntax.grant(text, true).unwrap()); }
            set
        };
        let (left, right) = (set(&[write(&left)]), set(&[write(&right)]));
        let required = syntax.required(&write(&required)).unwrap();
        let mut both = left.clone();
        both.extend(&right);
        prop_assert_eq!(both.allows(&required), left.allows(&required) || right.allows(&required));
    }
}
