//! From one start to the next: what is kept, and how the service ends.

use http::StatusCode;
use serde_json::json;

use super::super::store::Database;
use super::{ADMIN_TOKEN, Grant, Service};

#[tokio::test]
async fn kept_database_keeps_tokens_sessions_and_cursors() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::File(directory.path().join("identity.db"));
    let first = Service::start_on(&database, Some(ADMIN_TOKEN)).await;
    let grant = first.login("alice", Some("acme")).await;
    let other = first.login("alice", Some("acme")).await;
    first.post("/v1/logout").bearer(&other.access).send().await;
    let cursor = first.get("/v1/revocations").send().await.json()["cursor"].clone();
    let jwks = first.get("/.well-known/jwks.json").send().await.body;
    drop(first);

    let second = Service::start_on(&database, Some(ADMIN_TOKEN)).await;
    assert_eq!(second.get("/.well-known/jwks.json").send().await.body, jwks);
    assert_eq!(second.try_token(&grant.access).await, StatusCode::OK);
    assert_eq!(second.try_token(&other.access).await, StatusCode::UNAUTHORIZED);
    Grant::of(&second.refresh(&grant.refresh).await);
    let path = format!("/v1/revocations?since={}", cursor.as_str().unwrap());
    let page = second.get(&path).send().await.json();
    assert_eq!(page, json!({"cursor": cursor, "full": false, "entries": []}));
}

#[tokio::test]
async fn stopping_answers_held_requests_and_ends_within_a_second() {
    let mut service = Service::start().await;
    let cursor = service.get("/v1/revocations").send().await.json()["cursor"].clone();
    let path = format!("/v1/revocations?wait=60&since={}", cursor.as_str().unwrap());
    let held = service.get(&path).send();
    let stop = async {
        // The request is held once it listens for news.
        while service.identity.store.watchers() == 0 {
            tokio::task::yield_now().await;
        }
        service.identity.stopping.cancel();
    };
    let (answer, ()) = tokio::join!(held, stop);
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["cursor"], cursor);
    let second = std::time::Duration::from_secs(1);
    tokio::time::timeout(second, &mut service.serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_request_that_never_ends() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut service = Service::start().await;
    let mut slow = tokio::net::TcpStream::connect(service.address).await.unwrap();
    // A whole request first: once it is answered, the connection is known to be served.
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_ne!(slow.read(&mut [0; 512]).await.unwrap(), 0);
    slow.write_all(b"POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\ncontent-type: application/json\r\n\r\n{").await.unwrap();
    service.identity.stopping.cancel();
    let second = std::time::Duration::from_secs(1);
    tokio::time::timeout(second, &mut service.serving).await.unwrap().unwrap().unwrap();
}
