//! One sidecar, one service, and all proxies between them.

use tempfile::TempDir;

use super::programs::{Neighbours, Proxy};
use crate::harness::envoy::{self, Envoy};
use crate::harness::http::{self, Answer, Request};
use crate::harness::sidecar::{self, Sidecar, edit};
use crate::harness::stub::Stub;
use crate::harness::upstream::Upstream;
use crate::harness::wait::{self, PATIENCE};
use crate::harness::{mesh, ports, token};

pub struct Scene {
    pub proxies: Vec<Proxy>,
    pub sidecar: Sidecar,
    pub stub: Stub,
    pub upstream: Upstream,
    pub folder: TempDir,
}

/// Routes besides the usual ones: what proxies could get wrong.
const ROUTES: &str = r#"
  - { path: /blog/session, session: { max_age: 1h, warn_before: 59m }, methods: { GET: { access: authenticated } } }
  - { path: /blog/step-up, acr: gold, methods: { GET: { access: authenticated } } }
  - { path: /blog/mine, methods: { GET: { access: authenticated, answer: permissions } } }
  - { path: /blog/near, networks: { allow: [127.0.0.0/8] }, methods: { GET: { access: public } } }
  - { path: /blog/far, networks: { allow: [10.0.0.0/8] }, methods: { GET: { access: public } } }
  - path: /blog/profile
    methods:
      HEAD: { access: public }
      POST: { access: authenticated }
      PATCH: { access: authenticated, body: { only: [phone] } }
  - { path: /blog/marked, when: 'request.headers["x-mark"] == "yes"', methods: { GET: { access: authenticated } } }
  - { path: /blog/socket, upgrade: websocket, methods: { GET: { access: public } } }
  - { path: "/blog/files/{file...}", methods: { GET: { access: public } } }
"#;

/// An issuer whose keys never come.
const ABSENT: &str = r#"
  absent:
    issuer: http://absent.test
    audiences: [demo]
    jwks: { url: "http://127.0.0.1:1/jwks" }
    claims: { tenant: tenant_id }

assertion: { issuer: http://portcullis.test, audience: blog }

permissions:"#;

/// The listeners of all dialects, as text for a policy.
pub fn listeners(folder: &std::path::Path, nginx: &str, forward_auth: &str) -> String {
    format!(
        "  http:\n    - {{ address: '{nginx}', dialect: nginx }}\n    - {{ address: '{forward_auth}', dialect: forward_auth }}\n    - {{ address: \
         'unix:{}/http.sock', dialect: envoy, path_prefix: /authz, timeout: 10s }}\n",
        folder.display()
    )
}

impl Scene {
    /// With an issuer whose keys never come, so that the sidecar is never ready.
    pub async fn start() -> Self {
        Self::with(ABSENT).await
    }

    /// Without it.
    pub async fn start_ready() -> Self {
        Self::with("\npermissions:").await
    }

    async fn with(issuer: &str) -> Self {
        let folder = mesh::folder();
        let (stub, upstream) = (Stub::start().await, Upstream::start().await);
        let forward_auth = format!("127.0.0.1:{}", ports::pick());
        let nginx = format!("unix:{}/nginx.sock", folder.path().display());
        let policy = sidecar::policy(folder.path(), &stub.url());
        let listen = format!("  admin: 127.0.0.1:0\n{}", listeners(folder.path(), &nginx, &forward_auth));
        let policy = edit(&policy, "  admin: 127.0.0.1:0\n", &listen) + ROUTES;
        let policy = edit(&policy, "\npermissions:", issuer);
        let sidecar = Sidecar::start(folder.path(), &policy).await;
        wait::until_true("the keys of the stub", PATIENCE, async || {
            let reasons = sidecar.get("/readyz").await.text();
            !reasons.contains("'main'")
        })
        .await;

        let at = |door| Neighbours { folder: folder.path(), upstream: upstream.address, door };
        let socket = folder.path().join("http.sock").display().to_string();
        let neighbours = envoy::Neighbours { authz: &sidecar.socket, upstream: upstream.address, identity: upstream.address };
        let grpc = Envoy::start(folder.path(), &neighbours, |text| text).await;
        let proxies = vec![
            Proxy { name: REFERENCE, address: grpc.address, process: grpc.process },
            Proxy::envoy_over_http(&at(&socket)).await,
            Proxy::nginx(&at(&nginx)).await,
            Proxy::caddy(&at(&forward_auth)).await,
            Proxy::traefik(&at(&forward_auth)).await,
        ];
        let scene = Self { proxies, sidecar, stub, upstream, folder };
        for proxy in &scene.proxies {
            // Envoy lets nothing pass before its first health check of the sidecar.
            scene.answers(proxy, &Request::get("/blog/health"), 200).await;
        }
        scene
    }

    /// Sends a request through one proxy, for a host that all of them know. Says whether it got to the service.
    pub async fn send(&self, proxy: &Proxy, request: &Request) -> (Answer, bool) {
        let served = self.upstream.served();
        let answer = http::send(proxy.address, &request.clone().or_host("localhost")).await;
        (answer, self.upstream.served() > served)
    }

    /// Waits until a request through a proxy has this status.
    pub async fn answers(&self, proxy: &Proxy, request: &Request, status: u16) {
        let what = format!("status {status} through {}", proxy.name);
        wait::until_true(&what, PATIENCE, async || self.send(proxy, request).await.0.status == status).await;
    }
}

/// Envoy over gRPC.
pub const REFERENCE: &str = "envoy-grpc";

/// A token of the issuer whose keys never come.
pub fn undecidable() -> String {
    token::mint(serde_json::json!({ "iss": "http://absent.test" }))
}
