//! Through a real proxy, as the configuration or the environment says, and past it.

use serde_json::json;

use super::POST;
use crate::harness::authority::Authority;
use crate::harness::check::Ask;
use crate::harness::mesh;
use crate::harness::sidecar::{self, Sidecar, edit};
use crate::harness::stub::Stub;
use crate::harness::tinyproxy::Tinyproxy;
use crate::harness::tls_front::TlsFront;
use crate::harness::token;

/// This machine by an address that does not say so: what the environment says of proxies is not about 127.0.0.1.
const HERE: &str = "0.0.0.0";

async fn passes(sidecar: &Sidecar) -> bool {
    let bearer = format!("Bearer {}", token::mint(json!({})));
    sidecar.ask(&Ask::get(POST).header("authorization", &bearer)).await.passes
}

fn with(policy: &str, keys: &str) -> String {
    edit(policy, "    typ: [at+jwt]\n", &format!("    typ: [at+jwt]\n    {keys}\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_proxy_forwards_plain_requests_and_is_told_the_password_that_no_log_tells() {
    let (folder, stub) = (mesh::folder(), Stub::start().await);
    let mut proxy = Tinyproxy::start(folder.path(), Some(("sidecar", "hunter2"))).await;
    let policy = sidecar::policy(folder.path(), &stub.url());
    let address = proxy.address;
    let proxied = |login: &str| with(&policy, &format!("proxy: \"http://{login}{address}\""));
    let mut sidecar = Sidecar::start(folder.path(), &proxied("sidecar:hunter2@")).await;
    sidecar.ready().await;
    assert!(passes(&sidecar).await);
    let told = sidecar.process.log_line("fetched through a proxy").await;
    assert!(told.contains(&proxy.address.to_string()), "{told}");
    assert!(!sidecar.process.log().contains("hunter2"));
    assert!(!sidecar.get("/config").await.text().contains("hunter2"));
    proxy.asked(&format!("GET http://{}/.well-known/jwks.json", stub.address)).await;
    proxy.asked(&format!("GET http://{}/v1/revocations", stub.address)).await;
    drop(sidecar);

    let fetched = stub.keys_fetched();
    let mut stranger = Sidecar::start(folder.path(), &proxied("")).await;
    stranger.process.log_line("answered with status 407").await;
    assert!(!passes(&stranger).await);
    assert_eq!(stub.keys_fetched(), fetched, "nobody goes round the proxy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environments_proxy_tunnels_https_and_no_proxy_is_heeded() {
    let (folder, stub, authority) = (mesh::folder(), Stub::start().await, Authority::new());
    authority.write(&folder.path().join("ca.pem"));
    let front = TlsFront::start(stub.address, &authority.for_host(HERE), None).await;
    let mut proxy = Tinyproxy::start(folder.path(), None).await;
    let url = format!("http://{}", proxy.address);
    let tls = format!("tls: {{ ca: {} }}", folder.path().join("ca.pem").display());
    let secure = with(&sidecar::policy(folder.path(), &front.url(HERE)), &tls);
    let local = with(&sidecar::policy(folder.path(), &front.url("127.0.0.1")), &tls);
    let plain = sidecar::policy(folder.path(), &format!("http://{HERE}:{}", stub.address.port()));

    // Past it: the exception, the word, and an address of this machine, for which the certificate is not good.
    for (environment, policy) in [
        (&[("HTTPS_PROXY", &*url), ("NO_PROXY", "example.com, 0.0.0.0")][..], &secure),
        (&[("ALL_PROXY", &url)], &edit(&secure, "    tls:", "    proxy: none\n    tls:")),
        (&[("HTTP_PROXY", &url)], &secure),
        (&[("HTTPS_PROXY", &url)], &plain),
    ] {
        let sidecar = Sidecar::start_with(folder.path(), policy, environment).await;
        sidecar.ready().await;
        assert!(passes(&sidecar).await, "{environment:?}");
    }
    let mut sidecar = Sidecar::start_with(folder.path(), &local, &[("HTTPS_PROXY", &url)]).await;
    sidecar.process.log_line("tls failed").await;
    drop(sidecar);
    assert!(!proxy.was_asked());

    let mut sidecar = Sidecar::start_with(folder.path(), &secure, &[("HTTPS_PROXY", &url)]).await;
    sidecar.ready().await;
    assert!(passes(&sidecar).await);
    sidecar.process.log_line("fetched through a proxy").await;
    proxy.asked(&format!("CONNECT {HERE}:{}", front.address.port())).await;
    drop(sidecar);
    let sidecar = Sidecar::start_with(folder.path(), &plain, &[("all_proxy", &url)]).await;
    sidecar.ready().await;
    proxy.asked(&format!("GET http://{HERE}:{}/.well-known/jwks.json", stub.address.port())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_of_the_environment_that_cannot_be_used_is_an_error_for_those_who_would_use_it() {
    let (folder, stub) = (mesh::folder(), Stub::start().await);
    let environment = [("ALL_PROXY", "socks5://me:hunter2@127.0.0.1:1")];
    let plain = sidecar::policy(folder.path(), &format!("http://{HERE}:{}", stub.address.port()));
    let mut sidecar = Sidecar::start_with(folder.path(), &plain, &environment).await;
    sidecar.process.log_line("the environment's ALL_PROXY cannot be used: this is a SOCKS proxy").await;
    assert!(!passes(&sidecar).await);
    assert_eq!((sidecar.get("/readyz").await.status, stub.keys_fetched()), (503, 0));
    assert!(!sidecar.process.log().contains("hunter2"));
    drop(sidecar);
    let sidecar = Sidecar::start_with(folder.path(), &with(&plain, "proxy: none"), &environment).await;
    sidecar.ready().await;
}
