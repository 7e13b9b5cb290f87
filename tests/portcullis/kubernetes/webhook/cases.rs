//! The cases of the command, through the webhook.

use serde_json::{Value, json};

use super::{by_command, patched, response, review};
use crate::harness::webhook::Webhook;
use crate::kubernetes::inject::cases::{injected, refusals};

#[tokio::test]
async fn every_pod_that_the_command_injects_comes_out_of_the_webhook_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Webhook::start(folder.path(), &[]).await;
    let mut connection = webhook.connect("h2").await;
    let cases = injected();
    let items: Vec<&Value> = cases.iter().map(|case| &case.pod).collect();
    let made = by_command(&json!({ "apiVersion": "v1", "kind": "List", "items": items })).expect("injected");
    let made = made["items"].as_array().expect("a list");
    assert_eq!(made.len(), cases.len());
    for (case, made) in cases.iter().zip(made) {
        let answer = connection.post("/inject", review("u", &case.pod).to_string()).await.expect("an answer");
        let response = response(&answer, "u");
        assert_eq!(response["allowed"], true, "{}: {response}", case.name);
        assert_eq!(&patched(case.pod.clone(), &response), made, "{}", case.name);
    }
    println!("{} pods: the webhook's patch = the command", cases.len());
}

#[tokio::test]
async fn every_pod_that_the_command_refuses_is_refused_by_the_webhook_in_the_same_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let webhook = Webhook::start(folder.path(), &[]).await;
    let mut connection = webhook.connect("h2").await;
    let cases = refusals();
    for case in &cases {
        let answer = connection.post("/inject", review("u", &case.pod).to_string()).await.expect("an answer");
        let response = response(&answer, "u");
        assert_eq!((&response["allowed"], response.get("patch")), (&json!(false), None), "{}", case.name);
        let said = response["status"]["message"].as_str().expect("a message");
        assert!(said.contains(case.message), "{}: {said}", case.name);
        let told = by_command(&case.pod).expect_err(case.name);
        assert!(told.contains(said), "{}: the webhook says {said}, the command {told}", case.name);
    }
    println!("{} pods are refused by both in the same words", cases.len());
}
