//! One-time passwords at login.

use http::StatusCode;
use serde_json::{Value, json};

use super::super::totp::TotpSecret;
use super::{Answer, Grant, START, Service, part, user};

const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// root uses one-time passwords, bob does not.
async fn service() -> Service {
    let mut root = user("root", json!([{"tenant": null}]));
    root["totp"] = json!(SECRET);
    Service::seeded(&json!({"users": [root, user("bob", json!([{"tenant": null}]))]})).await
}

/// The code of root's device, `seconds` from the beginning.
fn code(seconds: i64) -> String {
    TotpSecret::try_from(SECRET.to_owned()).unwrap().code_at(START + seconds)
}

async fn login(service: &Service, user: &str, otp: impl Into<Value>) -> Answer {
    let body = json!({"email": format!("{user}@example.com"), "password": format!("{user}-pw"), "otp": otp.into()});
    service.post("/v1/login").json(&body).send().await
}

#[tokio::test]
async fn login_with_a_code_says_so_and_a_refresh_keeps_it() {
    let service = service().await;
    let grant = Grant::of(&login(&service, "root", code(0)).await);
    assert_eq!(part(&grant.access, 1)["amr"], json!(["pwd", "otp"]));
    service.advance(100);
    let refreshed = part(&Grant::of(&service.refresh(&grant.refresh).await).access, 1);
    assert_eq!((&refreshed["amr"], &refreshed["auth_time"]), (&json!(["pwd", "otp"]), &json!(START)));
}

#[tokio::test]
async fn login_without_a_code_works_with_less() {
    let service = service().await;
    for grant in [Grant::of(&login(&service, "root", Value::Null).await), service.login("root", None).await] {
        assert_eq!(part(&grant.access, 1)["amr"], json!(["pwd"]));
    }
}

#[tokio::test]
async fn code_counts_once_and_so_do_all_before_it() {
    let service = service().await;
    assert_eq!(login(&service, "root", code(0)).await.status, StatusCode::OK);
    login(&service, "root", code(0)).await.expect_error(401, "invalid_grant");
    login(&service, "root", code(-30)).await.expect_error(401, "invalid_grant");
    assert_eq!(login(&service, "root", code(30)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn code_used_twice_at_once_wins_once() {
    let service = service().await;
    let (a, b) = tokio::join!(login(&service, "root", code(0)), login(&service, "root", code(0)));
    assert_eq!([a.status, b.status].iter().filter(|status| status.is_success()).count(), 1);
}

#[tokio::test]
async fn wrong_codes_get_the_answer_of_a_wrong_password() {
    let service = service().await;
    let wrong_password = json!({"email": "root@example.com", "password": "wrong", "otp": code(0)});
    let expected = service.post("/v1/login").json(&wrong_password).send().await;
    expected.expect_error(401, "invalid_grant");
    // One too old, one too new, and one from a user who has none.
    for (user, otp) in [("root", code(-60)), ("root", code(60)), ("bob", code(0))] {
        assert_eq!(login(&service, user, otp).await.body, expected.body);
    }
    // The wrong password has not used the code up.
    assert_eq!(login(&service, "root", code(0)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn malformed_codes_are_refused() {
    let service = service().await;
    for bad in [json!(""), json!("12345"), json!("1234567"), json!("12345a"), json!(123_456)] {
        login(&service, "root", bad).await.expect_error(400, "invalid_request");
    }
}

#[tokio::test]
async fn after_five_wrong_codes_none_counts_for_a_while() {
    let service = service().await;
    for _ in 0..5 {
        login(&service, "root", code(600)).await.expect_error(401, "invalid_grant");
    }
    login(&service, "root", code(0)).await.expect_error(401, "invalid_grant");
    service.advance(15 * 60 - 1);
    login(&service, "root", code(15 * 60 - 1)).await.expect_error(401, "invalid_grant");
    service.advance(1);
    login(&service, "root", code(0)).await.expect_error(401, "invalid_grant");
    assert_eq!(login(&service, "root", code(15 * 60)).await.status, StatusCode::OK);
}
