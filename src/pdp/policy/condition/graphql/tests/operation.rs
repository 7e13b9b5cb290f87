use super::*;

#[test]
fn every_kind_of_operation_is_told_by_its_keyword() {
    assert_fields("{me}", &["query me"]);
    assert_fields("query{me}", &["query me"]);
    assert_fields("query query{query}", &["query query"]);
    assert_fields("mutation M($a:Int=1@d, $b:[T!]!) @live {drop(id:$a)}", &["mutation drop"]);
    assert_fields("subscription{events}", &["subscription events"]);
    assert_fields(
        "{query mutation subscription fragment on true null}",
        &["query fragment", "query mutation", "query null", "query on", "query query", "query subscription", "query true"],
    );
}

#[test]
fn a_field_counts_under_its_own_name_and_once() {
    assert_fields("{me:secret}", &["query secret"]);
    assert_fields("{a:secret b:secret secret}", &["query secret"]);
    assert_fields("{me{secret{deeper}}}", &["query me"]);
    assert_fields("{b a c}", &["query a", "query b", "query c"]);
    assert_fields("{Me me ME}", &["query ME", "query Me", "query me"]);
}

#[test]
fn skipped_fields_count() {
    assert_fields("{me secret@skip(if:true)}", &["query me", "query secret"]);
    assert_fields("{me secret@include(if:false)}", &["query me", "query secret"]);
    assert_fields("{me ...@include(if:false){secret}}", &["query me", "query secret"]);
    assert_fields("{me ...F@skip(if:true)} fragment F on Q{secret}", &["query me", "query secret"]);
    assert_fields("{me ...@defer(label:\"x\"){secret}}", &["query me", "query secret"]);
}

#[test]
fn the_name_of_a_type_is_free_and_the_schema_is_not() {
    assert_fields("{__typename}", &[]);
    assert_fields("mutation{a:__typename me}", &["mutation me"]);
    assert_fields("{__schema{types{name}} __type(name:\"A\"){name}}", &["query __schema", "query __type"]);
    assert_fields("{__typename:secret}", &["query secret"]);
    assert_fields("{__Typename _typename __typename_}", &["query __Typename", "query __typename_", "query _typename"]);
}

#[test]
fn the_operation_that_is_named_is_the_one_that_counts() {
    let two = "query a{me} mutation b{drop}";
    assert_eq!(fields_named(two, "a").unwrap(), ["query me"]);
    assert_eq!(fields_named(two, "b").unwrap(), ["mutation drop"]);
    assert_eq!(fields_named("query a{me}", "a").unwrap(), ["query me"]);
    for missing in ["c", "A", "a ", " a", "query", "a b", "", "a\0", "а"] {
        assert_eq!(fields_named(two, missing), Err(GraphqlError::Operation), "{missing:?}");
    }
    assert_eq!(fields(two), Err(GraphqlError::Operation));
    assert_eq!(fields_of_body(r#"{"query":"query a{me} query b{me}","operationName":null}"#), Err(GraphqlError::Operation));
    assert_eq!(fields_named("{me}", "a"), Err(GraphqlError::Operation));
    assert_eq!(fields_named("{me}", ""), Err(GraphqlError::Operation));
    assert_eq!(fields_named("query a{me}", ""), Err(GraphqlError::Operation));
}

#[test]
fn an_operation_without_a_name_stands_alone_and_no_two_have_one_name() {
    for document in [
        "{me}{me}",
        "{me} query a{me}",
        "query a{me} {me}",
        "query{me} mutation{drop}",
        "query a{me} query{me}",
        "query a{me} query a{me}",
        "query a{me} mutation a{drop}",
        "query a{me} query b{me} query a{secret}",
    ] {
        assert_eq!(fields(document), Err(GraphqlError::Operation), "{document}");
        assert_eq!(fields_named(document, "a"), Err(GraphqlError::Operation), "{document}");
    }
}

#[test]
fn a_document_without_operations_asks_for_nothing_and_is_refused() {
    assert_eq!(fields("fragment F on Q{me}"), Err(GraphqlError::Operation));
    assert_eq!(fields_named("fragment F on Q{me}", "F"), Err(GraphqlError::Operation));
    for document in ["", " ", ",", "\n", "#", "# {me}", "\u{feff}"] {
        assert_refused(document);
    }
}
