use super::*;

#[test]
fn a_request_is_an_object_with_a_document() {
    for body in [
        r#"{"query":"{me}"}"#,
        r#"{"query":"{me}","operationName":null,"variables":null,"extensions":null}"#,
        r#"{"variables":{"a":[{"b":"{secret}"}]},"query":"{me}","extensions":{"tracing":{"version":1}}}"#,
        r#"[{"query":"{me}"}]"#,
        r#"{"\u0071uery":"{\u006de}"}"#,
    ] {
        assert_eq!(fields_of_body(body), Ok(vec!["query me".to_owned()]), "{body}");
    }
    for body in [
        "null",
        "\"{me}\"",
        "1",
        "{}",
        "[]",
        "[null]",
        r#"["{me}"]"#,
        r#"[[{"query":"{me}"}]]"#,
        r#"[{"query":"{me}"},{}]"#,
        r#"{"query":null}"#,
        r#"{"query":["{me}"]}"#,
        r#"{"query":{"query":"{me}"}}"#,
        r#"{"variables":{}}"#,
        r#"{"query":"{me}","operationName":1}"#,
        r#"{"query":"{me}","operationName":["me"]}"#,
        r#"{"query":"{me}","variables":"{}"}"#,
        r#"{"query":"{me}","variables":[]}"#,
        r#"{"query":"{me}","extensions":"x"}"#,
        r#"{"query":"{me}","extensions":[]}"#,
    ] {
        assert_eq!(fields_of_body(body), Err(GraphqlError::NotARequest), "{body}");
    }
}

#[test]
fn a_document_that_only_the_service_knows_is_refused() {
    for body in [
        r#"{"id":"abc"}"#,
        r#"{"query":"{me}","id":"abc"}"#,
        r#"{"query":"{me}","documentId":"abc"}"#,
        r#"{"query":"{me}","doc_id":"abc"}"#,
        r#"{"query":"{me}","queryId":null}"#,
        r#"{"query":"{me}","Query":"mutation{drop}"}"#,
        r#"{"query":"{me}","QUERY":"mutation{drop}"}"#,
        r#"{"query":"{me}","OperationName":"b"}"#,
        r#"{"query":"{me}","query ":"mutation{drop}"}"#,
        r#"{"query":"{me}","":1}"#,
        r#"{"query":"{me}","extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}}}"#,
        r#"{"query":"{me}","extensions":{"persistedQuery":null}}"#,
        r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}}}"#,
        r#"{"query":"{me}","extensions":{"a":1,"PersistedQuery":{}}}"#,
        r#"[{"query":"{me}"},{"query":"{me}","id":"abc"}]"#,
    ] {
        assert_eq!(fields_of_body(body), Err(GraphqlError::Persisted), "{body}");
    }
}

#[test]
fn any_query_string_is_refused() {
    let body = json::parse(br#"{"query":"{me}"}"#, 64).unwrap();
    assert!(root_fields(&body, None).is_ok());
    for query in ["", "query={secret}", "operationName=b", "x=1", "%71uery={secret}"] {
        assert_eq!(root_fields(&body, Some(query)), Err(GraphqlError::QueryString), "{query}");
    }
}

#[test]
fn a_batch_asks_for_what_all_of_its_requests_ask_for() {
    let body = r#"[{"query":"{me}"},{"query":"mutation b{drop} query a{x}","operationName":"b"},{"query":"{me:secret}"}]"#;
    assert_eq!(fields_of_body(body).unwrap(), ["query me", "query secret", "mutation drop"]);
    let batch = |size: usize| format!("[{}]", vec![r#"{"query":"{me}"}"#; size].join(","));
    assert_eq!(fields_of_body(&batch(MAX_BATCH)).unwrap(), ["query me"]);
    assert_eq!(fields_of_body(&batch(MAX_BATCH + 1)), Err(GraphqlError::NotARequest));
    // One bad request spoils all of them, wherever it stands.
    for bad in [r#"[{"query":"{"},{"query":"{me}"}]"#, r#"[{"query":"{me}"},{"query":"{"}]"#] {
        assert_eq!(fields_of_body(bad), Err(GraphqlError::NotADocument), "{bad}");
    }
    // Fragments are those of the same document.
    let borrowed = r#"[{"query":"{me} fragment F on Q{x}"},{"query":"{...F}"}]"#;
    assert_eq!(fields_of_body(borrowed), Err(GraphqlError::Fragments));
}
