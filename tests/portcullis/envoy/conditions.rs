//! Conditions as a client meets them: challenges to authenticate better, and the end of a session announced.

use serde_json::json;

use crate::harness::http::Request;
use crate::harness::mesh::Mesh;
use crate::harness::sidecar::edit;
use crate::harness::token;

const ROUTES: &str = "\
routes:
  - { path: /blog/strict, methods: { GET: { access: authenticated, mfa: 10m, acr: [gold, silver] } } }
  - { path: /blog/session, session: { max_age: 30m, warn_before: 5m }, methods: { GET: { access: authenticated } } }
  - { path: /blog/loopback, networks: { allow: 127.0.0.0/8 }, methods: { GET: { access: public } } }
  - { path: /blog/elsewhere, networks: { allow: 10.0.0.0/8 }, methods: { GET: { access: public } } }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_learns_how_to_authenticate_and_when_its_session_ends() {
    let mesh = Mesh::builder().policy(|text| edit(&text, "routes:\n", ROUTES)).start().await;
    let now = token::now();
    let get = |path: &str, claims| Request::get(path).token(&token::mint_second(claims));

    // Step-up (RFC 9470).
    let (answer, reason) = mesh.send_for_reason(&get("/blog/strict", json!({ "amr": ["pwd"], "auth_time": now }))).await;
    assert_eq!((answer.status, reason.as_str()), (401, "authentication_insufficient"));
    assert_eq!(
        answer.header("www-authenticate"),
        Some(r#"Bearer realm="tests", error="insufficient_user_authentication", acr_values="gold silver", max_age="600""#)
    );
    let strong = json!({ "amr": ["pwd", "otp"], "acr": "silver", "auth_time": now });
    assert_eq!(mesh.send(&get("/blog/strict", strong)).await.status, 200);

    // A session at its beginning, near its end, and over.
    let at = |age: i64| get("/blog/session", json!({ "auth_time": now - age }));
    let answer = mesh.send(&at(60)).await;
    assert_eq!((answer.status, answer.header("x-session-ends-in")), (200, None));
    let answer = mesh.send(&at(27 * 60)).await;
    let left: i64 = answer.header("x-session-ends-in").expect("a warning").parse().expect("seconds");
    assert_eq!(answer.status, 200);
    assert!((60..=180).contains(&left), "{left} seconds are left of three minutes");
    let (answer, reason) = mesh.send_for_reason(&at(31 * 60)).await;
    assert_eq!((answer.status, reason.as_str()), (401, "session_expired"));
    assert_eq!(
        answer.header("www-authenticate"),
        Some(r#"Bearer realm="tests", error="insufficient_user_authentication", max_age="1800""#)
    );

    // The connection's address counts, whatever a client forwards.
    assert_eq!(mesh.send(&Request::get("/blog/loopback")).await.status, 200);
    let (answer, reason) = mesh.send_for_reason(&Request::get("/blog/elsewhere").header("x-forwarded-for", "10.0.0.1")).await;
    assert_eq!((answer.status, reason.as_str()), (403, "network_not_allowed"));
}
