use super::*;

#[track_caller]
fn assert_bad_fragments(document: &str) {
    assert_eq!(fields(document), Err(GraphqlError::Fragments), "{document:?}");
}

#[test]
fn fragments_hide_nothing() {
    assert_fields("{...F} fragment F on Q{secret}", &["query secret"]);
    assert_fields("fragment F on Q{secret} {me ...F}", &["query me", "query secret"]);
    assert_fields("{...{secret}}", &["query secret"]);
    assert_fields("{...on Q{secret}}", &["query secret"]);
    assert_fields("{...on Other{secret}}", &["query secret"]);
    assert_fields("{...@a(b:\"}\"){secret}}", &["query secret"]);
    assert_fields("{...{...on Q{...{...F}}}} fragment F on Q{...G} fragment G on Q{...on Q{x:secret}}", &["query secret"]);
    assert_fields("mutation{...F} fragment F on M{drop}", &["mutation drop"]);
    assert_fields("{...query} fragment query on Q{secret}", &["query secret"]);
    assert_fields("{...on on{secret}}", &["query secret"]);
    assert_fields("{...on#\non{secret}}", &["query secret"]);
    assert_fields("{...on#c}\nmutation{...on Q{secret}}}", &["query secret"]);
}

#[test]
fn a_fragment_that_is_spread_below_the_root_adds_no_root_field() {
    assert_fields("{me{...F}} fragment F on User{name}", &["query me"]);
    assert_fields("{me{...F} ...F} fragment F on User{name}", &["query me", "query name"]);
    assert_fields("{me} fragment F on Q{secret}", &["query me"]);
    assert_eq!(fields_named("query a{...F} query b{...G} fragment F on Q{x} fragment G on Q{y}", "a").unwrap(), ["query x"]);
}

#[test]
fn a_fragment_has_to_be_there_once() {
    for document in [
        "{...F}",
        "{me ...F}",
        "{me{...F}}",
        "{...F} fragment f on Q{me}",
        "{...F} fragment F on Q{me{...G}}",
        "{me} fragment F on Q{...G}",
        "{...F} fragment F on Q{me} fragment F on Q{secret}",
        "{me} fragment F on Q{me} fragment F on Q{me}",
        "query a{me} query b{...F}",
    ] {
        assert_eq!(fields_named(document, "a"), Err(GraphqlError::Fragments), "{document}");
        assert_bad_fragments(document);
    }
}

#[test]
fn a_fragment_that_contains_itself_is_refused_wherever_it_stands() {
    for document in [
        "{...F} fragment F on Q{...F}",
        "{...F} fragment F on Q{me ...F}",
        "{...F} fragment F on Q{me{...F}}",
        "{...F} fragment F on Q{...on Q{me{a{...F}}}}",
        "{...F} fragment F on Q{...G} fragment G on Q{...F}",
        "{...F} fragment F on Q{...G} fragment G on Q{x{...H}} fragment H on Q{...G}",
        "{me} fragment F on Q{...G} fragment G on Q{...F}",
        "{me} fragment F on Q{me} fragment G on Q{...G ...F}",
    ] {
        assert_bad_fragments(document);
    }
    assert_fields("{...F ...G} fragment F on Q{...H ...H} fragment G on Q{...H} fragment H on Q{me}", &["query me"]);
}
