//! Nobody answers, or another sidecar takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::scene::Scene;
use crate::harness::http::{self, Request};
use crate::harness::process::{Process, programs};
use crate::harness::wait::PATIENCE;
use crate::harness::{token, turn};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_takes_the_place_of_another_one_behind_every_proxy_without_a_lost_request_and_without_one_nothing_passes() {
    let _turn = turn::take().await;
    let mut scene = Scene::start_ready().await;
    let request = Request::get("/blog/tenants/acme/posts/1").token(&token::mint_second(json!({}))).header("host", "localhost");

    // Somebody at every proxy all the time, each over a connection of their own.
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = scene
        .proxies
        .iter()
        .map(|proxy| {
            let (name, address, request, done) = (proxy.name, proxy.address, request.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut connection = http::Connection::open(address).await.expect("a connection");
                let (mut sent, mut lost) = (0, Vec::new());
                while !done.load(Ordering::SeqCst) {
                    let answer = connection.send(&request).await;
                    sent += 1;
                    if !answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                        lost.push(format!("{:?}", answer.map(|answer| answer.status)));
                        connection = http::Connection::open(address).await.expect("a connection");
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                (name, sent, lost)
            })
        })
        .collect();

    let config = scene.sidecar.config.display().to_string();
    for round in 1..=5 {
        let name = format!("sidecar-{round}");
        let arguments = ["run", "--takeover", "--config", &config];
        let mut next = Process::start(&name, programs::portcullis(), arguments, scene.folder.path());
        next.log_line("answering proxies dialect=\"envoy\"").await;
        scene.sidecar.process.signal("TERM");
        let ended = scene.sidecar.process.ended(PATIENCE).await;
        assert!(ended.success(), "{ended}");
        scene.sidecar.process = next;
    }
    done.store(true, Ordering::SeqCst);
    for client in clients {
        let (name, sent, lost) = client.await.expect("a client");
        assert!(lost.is_empty(), "{} of {sent} through {name}: {lost:?}", lost.len());
        println!("{sent} through {name}");
    }

    scene.sidecar.process.kill();
    let served = scene.upstream.served();
    for proxy in &scene.proxies {
        for target in ["/blog/health", "/blog/feed", "/nowhere"] {
            let (answer, _) = scene.send(proxy, &Request::get(target)).await;
            let status = match proxy.name {
                "caddy" => 502,
                "traefik" => 500,
                _ => 503,
            };
            assert_eq!(answer.status, status, "{target} through {}", proxy.name);
        }
    }
    assert_eq!(scene.upstream.served(), served, "something passed");
}
