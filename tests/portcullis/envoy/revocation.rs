//! A revocation ends tokens that were verified, and are remembered, at once.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::POST;
use super::answers::assert_refused;
use crate::harness::http::Request;
use crate::harness::identity::part;
use crate::harness::mesh::Mesh;
use crate::harness::turn;
use crate::harness::wait::{self, PATIENCE};

/// From the identity service's "yes" to the first refusal.
const BOUND: Duration = Duration::from_secs(1);

fn read_post(tenant: &str, token: &str) -> Request {
    Request::get(&format!("/blog/tenants/{tenant}/posts/1")).token(token)
}

/// Has a remembered token revoked, and expects that it is refused in time and for good.
async fn revoke_and_expect_refusal(mesh: &Mesh, request: &Request, entry: &Value) {
    assert_eq!(mesh.send(request).await.status, 200);
    let hits = mesh.sidecar.metrics().await.token_hits();
    assert_eq!(mesh.send(request).await.status, 200);
    assert!(mesh.sidecar.metrics().await.token_hits() > hits, "the token is not remembered");

    mesh.identity.revoke(entry).await;
    let revoked = Instant::now();
    mesh.answers(request, 401).await;
    let took = revoked.elapsed();
    assert!(took < BOUND, "{entry} was enforced after {took:?}");
    eprintln!("{entry} was enforced after {took:?}");

    for _ in 0..3 {
        let (answer, reason) = mesh.send_for_reason(request).await;
        assert_eq!(reason, "token_revoked");
        assert_refused(&answer, 401, Some("invalid_token"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remembered_token_is_refused_within_a_second_of_its_revocation_by_token_session_subject_or_tenant() {
    let _turn = turn::take().await;
    let mesh = Mesh::start().await;
    let log_in = async |user, tenant| mesh.identity.log_in(user, Some(tenant)).await;

    let (revoked, bystander) = (log_in("bob", "acme").await, log_in("bob", "acme").await);
    let jti = &part(&revoked.token, 1)["jti"];
    revoke_and_expect_refusal(&mesh, &read_post("acme", &revoked.token), &json!({ "type": "jti", "id": jti })).await;
    assert_eq!(mesh.send(&read_post("acme", &bystander.token)).await.status, 200, "another token of the user");

    let revoked = log_in("bob", "acme").await;
    revoke_and_expect_refusal(&mesh, &read_post("acme", &revoked.token), &json!({ "type": "sid", "id": revoked.id })).await;
    assert_eq!(mesh.send(&read_post("acme", &bystander.token)).await.status, 200, "another session of the user");

    let revoked = log_in("carol", "acme").await;
    let before = part(&revoked.token, 1)["iat"].as_i64().expect("a time") + 1;
    let entry = json!({ "type": "sub", "id": "carol", "before": before });
    revoke_and_expect_refusal(&mesh, &read_post("acme", &revoked.token), &entry).await;
    assert_eq!(mesh.send(&read_post("acme", &bystander.token)).await.status, 200, "another user");
    // The identity service issues no token to carol that would be revoked at once.
    let later = wait::until("the next second", PATIENCE, async || mesh.identity.try_log_in("carol", Some("acme")).await.ok()).await;
    assert_eq!(mesh.send(&read_post("acme", &later.token)).await.status, 200, "the user after a new log-in");

    let revoked = log_in("eve", "globex").await;
    let entry = json!({ "type": "tenant", "id": "globex" });
    revoke_and_expect_refusal(&mesh, &read_post("globex", &revoked.token), &entry).await;
    assert_eq!(mesh.send(&read_post("acme", &bystander.token)).await.status, 200, "another tenant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_its_user_ends_through_envoy_is_ended_there_too() {
    let mesh = Mesh::builder()
        .policy(|text| {
            text + "  - path: /v1/sessions/{session}\n    methods: { DELETE: { access: authenticated } }\n"
                + "  - path: /v1/logout\n    methods: { POST: { access: authenticated } }\n"
        })
        .start()
        .await;
    let phone = mesh.identity.log_in("bob", Some("acme")).await;
    let laptop = mesh.identity.log_in("bob", Some("acme")).await;
    let alice = mesh.identity.log_in("alice", Some("acme")).await;
    assert_eq!(mesh.send(&Request::get(POST).token(&phone.token)).await.status, 200);

    let end_phone = Request::new("DELETE", &format!("/v1/sessions/{}", phone.id));
    assert_eq!(mesh.send(&end_phone.token(&alice.token)).await.status, 204, "the tenant's admin ends it");
    mesh.answers(&Request::get(POST).token(&phone.token), 401).await;
    assert_eq!(mesh.send(&Request::get(POST).token(&laptop.token)).await.status, 200);

    assert_eq!(mesh.send(&Request::new("POST", "/v1/logout").token(&laptop.token)).await.status, 204);
    mesh.answers(&Request::get(POST).token(&laptop.token), 401).await;
    assert_eq!(mesh.send(&Request::get(POST).token(&alice.token)).await.status, 200);
}
