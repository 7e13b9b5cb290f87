//! The metrics count what happened, and a client cannot make more of them.

use serde_json::json;

use super::POST;
use crate::harness::check::Ask;
use crate::harness::lab::Lab;
use crate::harness::token;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_counted_once_under_its_decision_reason_and_route() {
    let lab = Lab::start().await;
    let client = lab.sidecar.connect().await;
    let good = format!("Bearer {}", token::mint(json!({ "roles": ["viewer", "astronaut"] })));
    let with = |ask: Ask<'static>| Ask { headers: vec![("authorization", good.as_str())], ..ask };
    let rows = [
        (7, with(Ask::get(POST))),
        (5, with(Ask::new("PUT", POST))),
        (3, Ask::get(POST)),
        (4, Ask::get("/blog/health")),
        (2, Ask::get("/nowhere")),
        (1, Ask::get("/blog/../etc")),
    ];
    for (times, ask) in &rows {
        for _ in 0..*times {
            client.check(&ask.raw()).await;
        }
    }
    let metrics = lab.sidecar.metrics().await;
    for (reason, times) in [
        ("allowed", 7),
        ("permission_missing", 5),
        ("credential_missing", 3),
        ("public", 4),
        ("route_not_found", 2),
        ("path_not_canonical", 1),
        ("token_malformed", 0),
    ] {
        assert_eq!(metrics.reason(reason), times, "{reason}");
    }
    assert_eq!(metrics.decisions(), 22);
    for (series, value) in [
        ("portcullis_check_duration_seconds_count{decision=\"allow\"}", 11.0),
        ("portcullis_check_duration_seconds_count{decision=\"deny\"}", 11.0),
        ("portcullis_check_duration_seconds_count{decision=\"indeterminate\"}", 0.0),
        ("portcullis_route_decisions_total{decision=\"allow\",route=\"post\"}", 7.0),
        ("portcullis_route_decisions_total{decision=\"deny\",route=\"post\"}", 8.0),
        ("portcullis_route_decisions_total{decision=\"allow\",route=\"health\"}", 4.0),
        ("portcullis_token_cache_lookups_total{result=\"miss\"}", 1.0),
        ("portcullis_token_cache_lookups_total{result=\"hit\"}", 11.0),
        ("portcullis_token_cache_entries", 1.0),
        ("portcullis_unknown_roles_total", 12.0),
        ("portcullis_ready", 1.0),
        ("portcullis_configuration_generation", 1.0),
        ("portcullis_configuration_last_load_successful", 1.0),
        ("portcullis_keys{issuer=\"main\"}", 1.0),
    ] {
        assert!((metrics.get(series) - value).abs() < f64::EPSILON, "{series} is {}", metrics.get(series));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_makes_a_new_series() {
    let lab = Lab::start().await;
    let client = lab.sidecar.connect().await;
    let before = lab.sidecar.metrics().await;
    for number in 0..1000 {
        let path = format!("/blog/tenants/t{number}/posts/{number}");
        let unknown = format!("/unknown/{number}");
        let (host, method, name) = (format!("h{number}.test"), format!("M{number}"), format!("x-{number}"));
        let bearer = format!("Bearer t{number}");
        for ask in [Ask::get(&path), Ask::get(&unknown).host(&host), Ask::new(&method, &path)] {
            client.check(&ask.header("authorization", &bearer).header(&name, &bearer).raw()).await;
        }
    }
    assert_eq!(lab.sidecar.metrics().await.names(), before.names());
}
