use super::*;
use crate::pdp::permission::Permission;
use crate::pdp::permission::PermissionSyntax;

fn permission(text: &str) -> Permission {
    PermissionSyntax::default().required(text).unwrap()
}

fn rule() -> GraphqlRule<Permission> {
    let mut rule = GraphqlRule::default();
    rule.insert(OperationKind::Query, "users", [permission("USERS")]);
    rule.insert(OperationKind::Query, "me", []);
    rule.insert(OperationKind::Mutation, "createClass", [permission("CLASSES"), permission("WRITE")]);
    rule
}

/// The permissions that a document needs, or the field that is not listed.
fn required(document: &str) -> Result<Vec<String>, String> {
    let body = json::parse(serde_json::json!({ "query": document }).to_string().as_bytes(), 64).unwrap();
    let fields = root_fields(&body, None).unwrap();
    rule().required(&fields).map(|required| required.map(ToString::to_string).collect()).map_err(|not_listed| not_listed.to_string())
}

#[test]
fn a_request_needs_the_permissions_of_all_its_root_fields() {
    assert_eq!(required("{me}").unwrap(), Vec::<String>::new());
    assert_eq!(required("{__typename}").unwrap(), Vec::<String>::new());
    assert_eq!(required("{me users}").unwrap(), ["USERS"]);
    assert_eq!(required("{x:users y:users}").unwrap(), ["USERS"]);
    assert_eq!(required("mutation{createClass}").unwrap(), ["CLASSES", "WRITE"]);
}

#[test]
fn a_field_that_is_not_listed_under_its_kind_is_refused() {
    assert_eq!(required("{me secret}").unwrap_err(), "the query field 'secret' is not listed");
    assert_eq!(required("{createClass}").unwrap_err(), "the query field 'createClass' is not listed");
    assert_eq!(required("mutation{me}").unwrap_err(), "the mutation field 'me' is not listed");
    assert_eq!(required("subscription{me}").unwrap_err(), "the subscription field 'me' is not listed");
    assert_eq!(required("{__schema{types{name}}}").unwrap_err(), "the query field '__schema' is not listed");
    assert_eq!(required("{Users}").unwrap_err(), "the query field 'Users' is not listed");
    assert_eq!(required("{me:secret}").unwrap_err(), "the query field 'secret' is not listed");
}

#[test]
fn a_rule_knows_its_permissions_in_one_order() {
    let mut rule = rule();
    rule.insert(OperationKind::Query, "bills", [permission("BILLS")]);
    let all: Vec<&str> = rule.all_permissions().map(Permission::as_str).collect();
    assert_eq!(all, ["BILLS", "USERS", "CLASSES", "WRITE"]);
}

#[test]
fn a_name_is_letters_digits_and_underscores() {
    for name in ["a", "_", "__schema", "createClass2", &"x".repeat(MAX_NAME_BYTES)] {
        assert!(is_name(name), "{name}");
    }
    for text in ["", "1a", "a-b", "a.b", "é", "*", "a b", " a", "a\0", &"x".repeat(MAX_NAME_BYTES + 1)] {
        assert!(!is_name(text), "{text}");
    }
}
