//! What the admin listener shows, and that no secret is in it.

use portcullis::policy_test::keys;
use serde_json::{Value, json};

use super::POST;
use crate::harness::check::Ask;
use crate::harness::http::{self, Request};
use crate::harness::lab::Lab;
use crate::harness::token;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_the_admin_listener_nor_the_log_shows_tokens_or_key_material() {
    let lab = Lab::start().await;
    let client = lab.sidecar.connect().await;
    let secret = "very-secret-in-a-query";
    let tokens = [
        token::mint(json!({})),
        token::mint(json!({ "exp": token::now() - 100 })),
        token::mint(json!({ "iss": "http://evil.test" })),
        "opaque-token-of-somebody-else".into(),
    ];
    let path = format!("{POST}?key={secret}");
    for token in &tokens {
        let bearer = format!("Bearer {token}");
        client.check(&Ask::get(&path).header("authorization", &bearer).raw()).await;
        client.check(&Ask::get(&path).header("authorization", &bearer).header("authorization", token).raw()).await;
        client.check(&Ask::new("PUT", &path).header("authorization", token).header("cookie", token).raw()).await;
    }
    let mut secrets: Vec<String> = tokens.iter().flat_map(|token| token.split('.')).map(str::to_string).collect();
    for name in ["rsa-a", "rsa-b"] {
        let key = keys::named(name).expect("a key").jwk().expect("a JWK");
        secrets.push(key["n"].as_str().expect("a modulus").into());
    }
    secrets.push(secret.into());
    secrets.push("PRIVATE".into());

    let mut shown = vec![("the log", lab.sidecar.process.log())];
    for path in ["/", "/livez", "/readyz", "/metrics", "/config", "/audit"] {
        let answer = lab.sidecar.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        shown.push((path, answer.text()));
    }
    for (place, text) in shown {
        for secret in &secrets {
            assert!(!text.contains(secret), "{place} shows {secret:?}:\n{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dump_tells_what_is_in_force() {
    let lab = Lab::start().await;
    lab.stub.revoke("sid", "s1");
    let dump = crate::harness::wait::until("the revocation in the dump", crate::harness::wait::PATIENCE, async || {
        let dump = lab.sidecar.dump().await;
        (dump["issuers"][0]["revocations"]["feed"]["entries"] == 1).then_some(dump)
    })
    .await;
    assert_eq!(dump["generation"], 1);
    let main = dump["issuers"].as_array().expect("issuers").iter().find(|issuer| issuer["name"] == "main").expect("main");
    assert_eq!(main["keys"]["kids"], json!(["rsa-a"]));
    assert_eq!(main["algorithms"], json!(["RS256"]));
    let routes: Vec<&str> = dump["routes"].as_array().expect("routes").iter().filter_map(Value::as_str).collect();
    assert!(["post", "feed", "health", "usage"].iter().all(|name| routes.contains(name)), "{routes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_paths_and_methods_are_not_there() {
    let lab = Lab::start().await;
    assert_eq!(lab.sidecar.get("/admin").await.status, 404);
    assert_eq!(http::send(lab.sidecar.admin, &Request::new("POST", "/config")).await.status, 405);
    assert_eq!(http::send(lab.sidecar.admin, &Request::new("DELETE", "/metrics")).await.status, 405);
}
