//! Workloads with certificates: who is let in, what the service learns of them, and which of them may do what.

use rcgen::{ExtendedKeyUsagePurpose, SanType, date_time_ymd};

use super::walk::{self, DORA, Row, dora, spoofed, walked};
use crate::envoy::POST;
use crate::harness::authority::{Authority, Identity};
use crate::harness::door::Door;
use crate::harness::http::Request;
use crate::harness::mesh::{self, Mesh};
use crate::harness::upstream::Seen;

const FILE: &str = "envoy/mtls.yaml";
const HOST: &str = "services.mesh.example";
const ORDERS: &str = "spiffe://mesh.example/ns/shop/sa/orders";
const OTHER: &str = "spiffe://mesh.example/ns/shop/sa/other";

const PRINCIPALS: &str = "\
routes:
  - { path: /blog/internal, principals: \"spiffe://mesh.example/ns/shop/sa/orders\", methods: { GET: { access: public } } }
  - { path: /blog/render, methods: { POST: { permission: \"blog:posts.read\", principals: \"spiffe://mesh.example/ns/shop/*\" } } }
  - { path: /blog/elsewhere, principals: \"spiffe://mesh.example/ns/bank/*\", methods: { GET: { access: public } } }
";

fn uri(id: &str) -> SanType {
    SanType::URI(id.try_into().expect("a URI"))
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("a name"))
}

/// Who is not let in at all, whatever they ask for.
async fn kept_out(mesh: &Mesh, authority: &Authority) -> usize {
    let stranger = Authority::new();
    let expired = authority.issue_with(vec![uri(ORDERS)], |params| params.not_after = date_time_ymd(2024, 1, 1));
    let early = authority.issue_with(vec![uri(ORDERS)], |params| params.not_before = date_time_ymd(2090, 1, 1));
    let server = authority.issue_with(vec![uri(ORDERS)], |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let by = |identity: &Identity| Door::tls(HOST, authority, Some(identity));
    let rows = [
        ("no certificate", Door::tls(HOST, authority, None)),
        ("somebody else's authority", by(&stranger.issue(uri(ORDERS)))),
        ("an expired certificate", by(&expired)),
        ("one that is not valid yet", by(&early)),
        ("one for servers alone", by(&server)),
        ("another trust domain", by(&authority.issue(uri("spiffe://mesh.example.evil.test/ns/shop/sa/orders")))),
        ("a name that is no URI", by(&authority.issue(dns("orders.mesh.example")))),
        ("TLS 1.2", Door::tls_with(HOST, authority, Some(&authority.issue(uri(ORDERS))), &[&rustls::version::TLS12])),
    ];
    let (served, decided) = (mesh.upstream.served(), mesh.sidecar.metrics().await.decisions());
    for (name, door) in &rows {
        for request in [Request::get("/blog/health"), Request::get(POST).token(&dora())] {
            let answer = door.try_send(mesh.envoy.address, &request).await;
            assert!(answer.is_err(), "{name}: {answer:?}");
        }
    }
    let plain = Door::plain(HOST).try_send(mesh.envoy.address, &Request::get("/blog/health")).await;
    assert!(plain.is_err(), "plain text: {plain:?}");
    assert_eq!((mesh.upstream.served(), mesh.sidecar.metrics().await.decisions()), (served, decided));
    rows.len() + 1
}

/// What the service learns of the caller, and the log.
async fn passed_on(mesh: &Mesh, rows: [(&Door, &str); 2]) -> usize {
    let forged = format!("By=x;URI={ORDERS},URI=spiffe://mesh.example/ns/bank/sa/root");
    for (door, id) in rows {
        let answer = mesh.send_by(door, &Request::get("/blog/health").header("x-forwarded-client-cert", &forged)).await;
        assert_eq!(Seen::of(&answer).values("x-forwarded-client-cert").len(), 1);
        let told = Seen::of(&answer).values("x-forwarded-client-cert")[0].to_string();
        assert!(told.ends_with(&format!(";URI={id}")) && !told.contains("By=x") && !told.contains(','), "{told}");
        let entry = mesh.envoy.log_entry(&answer).await;
        assert_eq!((entry["workload"].as_str(), entry["tls"].as_str()), (Some(id), Some("TLSv1.3")));
    }
    rows.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutual_tls() {
    let authority = Authority::new();
    let folder = mesh::folder();
    let tls = folder.path().join("tls");
    std::fs::create_dir(&tls).expect("a folder");
    authority.issue(dns(HOST)).write(&tls.join("tls.crt"), &tls.join("tls.key"));
    authority.write(&tls.join("ca.crt"));

    let orders = Door::tls(HOST, &authority, Some(&authority.issue(uri(ORDERS))));
    let other = Door::tls(HOST, &authority, Some(&authority.issue(uri(OTHER))));
    let builder = Mesh::builder().file(FILE, other.clone()).folder(folder).policy(|text| walk::policy(&text, PRINCIPALS));
    let mut mesh = builder.start().await;

    let internal = Request::get("/blog/internal");
    let forged = internal.clone().header("x-forwarded-client-cert", format!("By=x;URI={ORDERS}"));
    let render = Request::new("POST", "/blog/render");
    let mut rows = walk::usual();
    rows.extend([
        Row::alone("two hosts", internal.clone().header("host", "services.mesh.example,evil.test"), 404),
        Row::passes("the workload that may", spoofed(internal.clone()), "public", &[]).by(&orders),
        Row::passes("the same over HTTP/2", spoofed(internal.clone()), "public", &[]).by(&orders.clone().http2()),
        Row::refused("another workload", internal.clone(), 403, "caller_not_allowed"),
        Row::refused("another workload that claims to be it", forged.clone(), 403, "caller_not_allowed"),
        Row::refused("the same over HTTP/2", forged, 403, "caller_not_allowed").by(&other.clone().http2()),
        Row::refused("a workload of another namespace", Request::get("/blog/elsewhere"), 403, "caller_not_allowed").by(&orders),
        Row::passes("a user and a workload", render.clone().token(&dora()), "allowed", &DORA).by(&orders),
        Row::refused("a workload without a user", render, 401, "credential_missing").by(&orders),
    ]);
    let mut count = walk::walk(&mesh, &[], &rows).await;
    count += walk::log_in(&mesh, None).await;
    count += passed_on(&mesh, [(&orders, ORDERS), (&other, OTHER)]).await;
    count += kept_out(&mesh, &authority).await;
    let metrics: Vec<String> = walk::metrics_to_watch().into_iter().filter(|name| name.contains("_ssl_")).collect();
    assert_eq!(metrics.len(), 3, "{metrics:?}");
    walk::has_metrics(&mesh, &metrics).await;
    count += walk::without_sidecar(&mut mesh, &rows).await;
    walked(FILE, count);
}
