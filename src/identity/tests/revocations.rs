//! The revocation feed.

use std::time::{Duration, Instant};

use http::{StatusCode, header};
use serde_json::{Value, json};

use super::{Answer, START, Service, undated_entries};

/// What a held answer may take on a busy machine; the claim is that it does not wait for its time to be up.
const PROMPT: Duration = Duration::from_secs(5);

async fn feed(service: &Service, query: &str) -> Answer {
    let answer = service.get(&format!("/v1/revocations{query}")).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer
}

async fn revoke(service: &Service, body: Value) -> String {
    let answer = service.post("/v1/admin/revocations").operator().json(&body).send().await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()["cursor"].as_str().unwrap().to_owned()
}

fn ids(page: &Value) -> Vec<&str> {
    page["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect()
}

/// Starts a held request, does `meanwhile` once it is held, and returns its answer and how long it took after that.
async fn held(service: &Service, query: &str, tag: Option<&str>, meanwhile: impl Future<Output = ()>) -> (Answer, Duration) {
    let mut call = service.get(&format!("/v1/revocations{query}"));
    if let Some(tag) = tag {
        call = call.header(header::IF_NONE_MATCH, tag);
    }
    let begun = async {
        while service.identity.store.watchers() == 0 {
            tokio::task::yield_now().await;
        }
        meanwhile.await;
        Instant::now()
    };
    let answered = async { (call.send().await, Instant::now()) };
    let ((answer, end), begin) = tokio::join!(answered, begun);
    (answer, end.saturating_duration_since(begin))
}

#[tokio::test]
async fn feed_without_a_known_cursor_is_full() {
    let service = Service::start().await;
    let empty = feed(&service, "").await.json();
    assert_eq!((&empty["full"], &empty["entries"]), (&json!(true), &json!([])));
    revoke(&service, json!({"type": "jti", "id": "a"})).await;
    let last = revoke(&service, json!({"type": "sub", "id": "b", "before": START})).await;
    let other_database = format!("other-{}", last.rsplit_once('-').unwrap().1);
    let beyond = format!("{}-99", last.rsplit_once('-').unwrap().0);
    for query in ["", "?since=", "?since=garbage", &format!("?since={other_database}"), &format!("?since={beyond}&wait=60")] {
        let page = feed(&service, query).await.json();
        assert_eq!(page["full"], true, "{query}");
        let expected = json!([
            {"type": "jti", "id": "a", "expires": START + 1200},
            {"type": "sub", "id": "b", "before": START, "expires": START + 1200},
        ]);
        assert_eq!(undated_entries(&page), expected, "{query}");
        assert_eq!(page["cursor"], json!(last));
    }
}

#[tokio::test]
async fn feed_after_a_known_cursor_is_what_came_since() {
    let service = Service::start().await;
    let start = feed(&service, "").await.json()["cursor"].as_str().unwrap().to_owned();
    let first = revoke(&service, json!({"type": "jti", "id": "a"})).await;
    let second = revoke(&service, json!({"type": "jti", "id": "b"})).await;
    for (since, expected) in [(&start, vec!["a", "b"]), (&first, vec!["b"]), (&second, vec![])] {
        let answer = feed(&service, &format!("?since={since}")).await;
        let page = answer.json();
        assert_eq!((&page["full"], &page["cursor"]), (&json!(false), &json!(second)));
        assert_eq!(ids(&page), expected);
        assert_eq!(answer.header(header::ETAG), format!("\"{second}\""));
    }
}

#[tokio::test]
async fn held_request_is_answered_as_soon_as_there_is_news() {
    let service = Service::start().await;
    let cursor = revoke(&service, json!({"type": "jti", "id": "a"})).await;
    let (answer, took) = held(&service, &format!("?wait=60&since={cursor}"), None, async {
        revoke(&service, json!({"type": "jti", "id": "b"})).await;
    })
    .await;
    assert_eq!(ids(&answer.json()), ["b"]);
    assert_eq!(answer.json()["full"], false);
    assert!(took < PROMPT, "{took:?}");
}

#[tokio::test]
async fn ending_a_session_wakes_the_feed() {
    let service = Service::start().await;
    let grant = service.login("bob", Some("acme")).await;
    let cursor = feed(&service, "").await.json()["cursor"].as_str().unwrap().to_owned();
    let (answer, took) = held(&service, &format!("?wait=60&since={cursor}"), None, async {
        service.post("/v1/logout").bearer(&grant.access).send().await;
    })
    .await;
    assert_eq!(ids(&answer.json()), [grant.session]);
    assert!(took < PROMPT, "{took:?}");
}

#[tokio::test]
async fn logins_and_refreshes_do_not_wake_the_feed() {
    let service = Service::start().await;
    let cursor = revoke(&service, json!({"type": "jti", "id": "a"})).await;
    let (answer, _) = held(&service, &format!("?wait=60&since={cursor}"), None, async {
        let grant = service.login("bob", Some("acme")).await;
        service.refresh(&grant.refresh).await;
        revoke(&service, json!({"type": "jti", "id": "b"})).await;
    })
    .await;
    assert_eq!(ids(&answer.json()), ["b"]);
}

#[tokio::test]
async fn patience_that_ends_is_answered_with_the_same_cursor_or_304() {
    let service = Service::start().await;
    let cursor = revoke(&service, json!({"type": "jti", "id": "a"})).await;
    let begin = Instant::now();
    let query = format!("/v1/revocations?wait=1&since={cursor}");
    let tag = format!("\"{cursor}\"");
    let (plain, tagged) = tokio::join!(service.get(&query).send(), service.get(&query).header(header::IF_NONE_MATCH, &tag).send());
    assert!(begin.elapsed() >= Duration::from_secs(1));
    let page = plain.json();
    assert_eq!(plain.status, StatusCode::OK);
    assert_eq!(page, json!({"cursor": cursor, "full": false, "entries": []}));
    assert_eq!(tagged.status, StatusCode::NOT_MODIFIED);
    assert_eq!(tagged.header(header::ETAG), tag);
    assert!(tagged.body.is_empty());
}

#[tokio::test]
async fn without_patience_nothing_is_held() {
    let service = Service::start().await;
    let cursor = revoke(&service, json!({"type": "jti", "id": "a"})).await;
    let tag = format!("\"{cursor}\"");
    for query in ["", "?wait=0", &format!("?since={cursor}"), &format!("?since={cursor}&wait=0")] {
        let path = format!("/v1/revocations{query}");
        let answer = service.get(&path).header(header::IF_NONE_MATCH, &tag).send().await;
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{query}");
    }
}

#[tokio::test]
async fn full_answer_that_the_client_holds_is_waited_for_as_well() {
    let service = Service::start().await;
    let cursor = revoke(&service, json!({"type": "jti", "id": "a"})).await;
    let tag = format!("\"{cursor}\"");
    let (answer, _) = held(&service, "?wait=60", Some(&tag), async {
        revoke(&service, json!({"type": "jti", "id": "b"})).await;
    })
    .await;
    assert_eq!(answer.json()["full"], true);
    assert_eq!(ids(&answer.json()), ["a", "b"]);
}

#[tokio::test]
async fn odd_waits_are_refused_and_long_ones_cut() {
    let service = Service::start().await;
    for wait in ["x", "-1", "1.5", "", "99999999999"] {
        let answer = service.get(&format!("/v1/revocations?wait={wait}")).send().await;
        answer.expect_error(400, "invalid_request");
    }
    // Nothing is known yet, so the answer comes at once however long the wait.
    feed(&service, "?wait=3600").await;
}

#[tokio::test]
async fn expired_entries_are_dropped() {
    let service = Service::start().await;
    revoke(&service, json!({"type": "jti", "id": "a"})).await;
    service.advance(1199);
    assert_eq!(ids(&feed(&service, "").await.json()), ["a"]);
    service.advance(1);
    assert!(ids(&feed(&service, "").await.json()).is_empty());
    service.identity.store.prune(START + 1200).await.unwrap();
    assert!(!service.identity.store.dump().await.contains("jti"));
}

#[tokio::test]
async fn bounded_revocation_of_a_user_spares_later_logins() {
    let service = Service::start().await;
    let before = service.login("bob", Some("acme")).await;
    let alice = service.login("alice", Some("acme")).await;
    service.advance(10);
    revoke(&service, json!({"type": "sub", "id": "bob", "before": START + 10})).await;
    assert_eq!(service.try_token(&before.access).await, StatusCode::UNAUTHORIZED);
    service.refresh(&before.refresh).await.expect_error(401, "invalid_grant");
    let after = service.login("bob", Some("acme")).await;
    assert_eq!(service.try_token(&after.access).await, StatusCode::OK);
    assert_eq!(service.try_token(&alice.access).await, StatusCode::OK);
}

#[tokio::test]
async fn session_from_before_the_bound_ends_with_its_later_tokens() {
    let service = Service::start().await;
    let first = service.login("bob", Some("acme")).await;
    service.advance(10);
    let second = super::Grant::of(&service.refresh(&first.refresh).await);
    revoke(&service, json!({"type": "sub", "id": "bob", "before": START + 5})).await;
    let page = feed(&service, "").await.json();
    assert_eq!(ids(&page), ["bob", &second.session]);
    assert_eq!(service.try_token(&second.access).await, StatusCode::UNAUTHORIZED);
    service.refresh(&second.refresh).await.expect_error(401, "invalid_grant");
}

#[tokio::test]
async fn unbounded_revocation_keeps_the_user_out_until_it_is_forgotten() {
    let service = Service::start().await;
    let grant = service.login("bob", Some("acme")).await;
    revoke(&service, json!({"type": "sub", "id": "bob"})).await;
    assert_eq!(service.try_token(&grant.access).await, StatusCode::UNAUTHORIZED);
    service.refresh(&grant.refresh).await.expect_error(401, "invalid_grant");
    service.try_login("bob", Some("acme")).await.expect_error(403, "access_denied");
    service.advance(1200);
    service.login("bob", Some("acme")).await;
}

#[tokio::test]
async fn revocation_of_a_tenant_ends_its_sessions_alone() {
    let service = Service::start().await;
    let acme = service.login("alice", Some("acme")).await;
    let globex = service.login("alice", Some("globex")).await;
    service.advance(1);
    revoke(&service, json!({"type": "tenant", "id": "acme", "before": START + 1})).await;
    assert_eq!(service.try_token(&acme.access).await, StatusCode::UNAUTHORIZED);
    service.refresh(&acme.refresh).await.expect_error(401, "invalid_grant");
    assert_eq!(service.try_token(&globex.access).await, StatusCode::OK);
}

#[tokio::test]
async fn revocation_of_a_token_spares_its_session() {
    let service = Service::start().await;
    let grant = service.login("alice", Some("acme")).await;
    let claims = service.get("/v1/me").bearer(&grant.access).send().await;
    assert_eq!(claims.status, StatusCode::OK);
    let payload = jsonwebtoken::dangerous::insecure_decode::<Value>(&grant.access).unwrap().claims;
    revoke(&service, json!({"type": "jti", "id": payload["jti"]})).await;
    assert_eq!(service.try_token(&grant.access).await, StatusCode::UNAUTHORIZED);
    let next = super::Grant::of(&service.refresh(&grant.refresh).await);
    assert_eq!(service.try_token(&next.access).await, StatusCode::OK);
}
