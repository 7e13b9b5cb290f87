use proptest::prelude::*;

use super::*;
use crate::pdp::path::PathError;

fn table(routes: &[(&str, &str)]) -> RouteTable<String> {
    let mut table = RouteTable::default();
    for (host, path) in routes {
        let payload = Arc::new(format!("{host} {path}"));
        table.insert(&HostPattern::parse(host).unwrap(), &PathTemplate::parse(path).unwrap(), payload).unwrap();
    }
    table
}

fn find(table: &RouteTable<String>, host: &str, path: &str) -> Option<String> {
    let host = Host::parse(host).unwrap();
    table.find(&host, &NormalizedPath::parse(path).unwrap()).map(|found| found.payload.clone())
}

#[test]
fn a_static_segment_comes_before_a_parameter_before_the_rest() {
    let table = table(&[("*", "/a/b"), ("*", "/a/{x}"), ("*", "/a/{rest...}"), ("*", "/{rest...}")]);
    assert_eq!(find(&table, "h", "/a/b").unwrap(), "* /a/b");
    assert_eq!(find(&table, "h", "/a/c").unwrap(), "* /a/{x}");
    assert_eq!(find(&table, "h", "/a/b/c").unwrap(), "* /a/{rest...}");
    assert_eq!(find(&table, "h", "/b").unwrap(), "* /{rest...}");
    assert_eq!(find(&table, "h", "/"), None);
}

#[test]
fn the_leftmost_difference_decides() {
    let table = table(&[("*", "/tenants/acme/x/{id}"), ("*", "/tenants/{t}/x/new")]);
    assert_eq!(find(&table, "h", "/tenants/acme/x/new").unwrap(), "* /tenants/acme/x/{id}");
    assert_eq!(find(&table, "h", "/tenants/globex/x/new").unwrap(), "* /tenants/{t}/x/new");
}

#[test]
fn a_dead_end_on_the_specific_side_falls_back() {
    let table = table(&[("*", "/a/b/d"), ("*", "/a/{x}/c"), ("*", "/{y...}")]);
    assert_eq!(find(&table, "h", "/a/b/c").unwrap(), "* /a/{x}/c");
    assert_eq!(find(&table, "h", "/a/b/e").unwrap(), "* /{y...}");
}

#[test]
fn a_host_comes_before_the_path() {
    let table = table(&[("a.example.com", "/{x...}"), ("*.example.com", "/p"), ("*.b.example.com", "/{x}"), ("*", "/p"), ("*", "/q")]);
    assert_eq!(find(&table, "a.example.com", "/p").unwrap(), "a.example.com /{x...}");
    assert_eq!(find(&table, "c.example.com", "/p").unwrap(), "*.example.com /p");
    assert_eq!(find(&table, "c.b.example.com", "/p").unwrap(), "*.b.example.com /{x}");
    assert_eq!(find(&table, "c.example.com", "/q").unwrap(), "* /q");
    assert_eq!(find(&table, "example.com", "/p").unwrap(), "* /p");
    assert_eq!(find(&table, "notexample.com", "/p").unwrap(), "* /p");
    assert_eq!(find(&table, "A.EXAMPLE.com:80", "/z").unwrap(), "a.example.com /{x...}");
}

#[test]
fn the_subdomain_is_what_the_star_stands_for() {
    let table = table(&[("*.example.com", "/")]);
    let host = Host::parse("acme.example.com").unwrap();
    assert_eq!(table.find(&host, &NormalizedPath::parse("/").unwrap()).unwrap().subdomain, Some("acme"));
}

#[test]
fn trailing_slash_and_case_count() {
    let table = table(&[("*", "/a"), ("*", "/b/"), ("*", "/c/{x}"), ("*", "/d/{x...}")]);
    assert_eq!(find(&table, "h", "/a/"), None);
    assert_eq!(find(&table, "h", "/b"), None);
    assert_eq!(find(&table, "h", "/b/").unwrap(), "* /b/");
    assert_eq!(find(&table, "h", "/c/"), None);
    assert_eq!(find(&table, "h", "/d/"), None);
    assert_eq!(find(&table, "h", "/d/x/").unwrap(), "* /d/{x...}");
    assert_eq!(find(&table, "h", "/A"), None);
}

#[test]
fn routes_of_one_shape_tie() {
    for (left, right) in [("/a/{id}", "/a/{name}"), ("/a", "/a"), ("/a/{x...}", "/a/{y...}"), ("/{a}/b", "/{c}/b"), ("/%40", "/@")] {
        let mut table = table(&[("*", left)]);
        let conflict = table.insert(&HostPattern::Any, &PathTemplate::parse(right).unwrap(), Arc::new(String::new()));
        assert_eq!(*conflict.unwrap_err().existing, format!("* {left}"), "{left} {right}");
    }
}

#[test]
fn routes_of_other_shapes_or_hosts_do_not_tie() {
    table(&[("*", "/a/{x}"), ("*", "/a/{x...}"), ("*", "/a/b"), ("*", "/a/{x}/"), ("h", "/a/{x}"), ("*.h", "/a/{x}")]);
}

#[test]
fn templates_that_are_none_say_why() {
    use template::TemplateError::*;
    for (text, error) in [
        ("", NeverMatches(PathError::NotAbsolute)),
        ("a", NeverMatches(PathError::NotAbsolute)),
        ("//", NeverMatches(PathError::EmptySegment)),
        ("/a/../b", NeverMatches(PathError::DotSegment)),
        ("/a%2Fb", NeverMatches(PathError::EncodedSlash)),
        ("/%61", NeverMatches(PathError::NeedlessEscape)),
        ("/a?b", NeverMatches(PathError::ForbiddenCharacter)),
        ("/a{b}", PartialParameter("a{b}".into())),
        ("/{b}c", PartialParameter("{b}c".into())),
        ("/{}", BadName("".into())),
        ("/{a-b}", BadName("a-b".into())),
        ("/{...}", BadName("...".into())),
        ("/{a}/{a}", RepeatedName("a".into())),
        ("/{a...}/b", RestNotLast),
        ("/{a...}/", RestNotLast),
    ] {
        assert_eq!(PathTemplate::parse(text), Err(error), "{text:?}");
    }
}

/// Matches a template against a path without sharing code with the table; the rank is smaller where it is more specific.
fn oracle_match(template: &str, path: &str) -> Option<Vec<u8>> {
    let parts: Vec<&str> = path[1..].split('/').collect();
    let pattern: Vec<&str> = template[1..].split('/').collect();
    let mut rank = Vec::new();
    for (i, p) in pattern.iter().enumerate() {
        if p.ends_with("...}") {
            return parts.get(i).filter(|part| !part.is_empty()).map(|_| {
                rank.push(2);
                rank.clone()
            });
        }
        let part = parts.get(i)?;
        if p.starts_with('{') {
            if part.is_empty() {
                return None;
            }
            rank.push(1);
        } else {
            if p != part {
                return None;
            }
            rank.push(0);
        }
    }
    (parts.len() == pattern.len()).then_some(rank)
}

fn oracle_host(pattern: &str, host: &str) -> Option<(u8, std::cmp::Reverse<usize>)> {
    match pattern.strip_prefix('*') {
        Some("") => Some((2, std::cmp::Reverse(0))),
        Some(suffix) => (host.ends_with(suffix) && host.len() > suffix.len()).then_some((1, std::cmp::Reverse(suffix.len()))),
        None => (pattern == host).then_some((0, std::cmp::Reverse(0))),
    }
}

fn template() -> impl Strategy<Value = String> {
    let segment = prop_oneof![3 => "[ab]", 2 => Just("{}".to_string())];
    (proptest::collection::vec(segment, 1..5), 0..6u8).prop_map(|(segments, end)| {
        let mut text = String::new();
        for (i, s) in segments.iter().enumerate() {
            text.push('/');
            text.push_str(&if s == "{}" { format!("{{p{i}}}") } else { s.clone() });
        }
        match end {
            0 => text.push_str("/{rest...}"),
            1 => text.push('/'),
            _ => {}
        }
        text
    })
}

fn host_pattern() -> impl Strategy<Value = &'static str> {
    prop_oneof![5 => Just("*"), 1 => Just("x.y.z"), 1 => Just("*.y.z"), 1 => Just("*.z")]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn matching_agrees_with_a_naive_oracle_in_any_order(
        routes in proptest::collection::vec((host_pattern(), template()), 1..24),
        paths in proptest::collection::vec("(/[abc]{1}){1,5}/?", 1..8),
        host in prop_oneof![Just("x.y.z"), Just("w.y.z"), Just("v.z"), Just("other")],
    ) {
        let build = |routes: &[(&'static str, String)]| {
            let mut table = RouteTable::default();
            let mut kept = Vec::new();
            for (host, path) in routes {
                let pattern = HostPattern::parse(host).unwrap();
                if table.insert(&pattern, &PathTemplate::parse(path).unwrap(), Arc::new((*host, path.clone()))).is_ok() {
                    kept.push((*host, path.clone()));
                }
            }
            (table, kept)
        };
        let (forward, kept) = build(&routes);
        let backward = build(&kept.iter().rev().cloned().collect::<Vec<_>>()).0;
        let parsed = Host::parse(host).unwrap();
        for path in &paths {
            let expected = kept.iter()
                .filter_map(|(h, t)| Some(((oracle_host(h, host)?, oracle_match(t, path)?), (*h, t.clone()))))
                .min_by(|a, b| a.0.cmp(&b.0))
                .map(|(_, route)| route);
            let normalized = NormalizedPath::parse(path).unwrap();
            let got = |table: &RouteTable<(&'static str, String)>| table.find(&parsed, &normalized).map(|m| m.payload.clone());
            prop_assert_eq!(got(&forward), expected.clone(), "{} {}", host, path);
            prop_assert_eq!(got(&backward), expected, "the order of insertion counted: {} {}", host, path);
        }
    }
}
