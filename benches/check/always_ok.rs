//! The floor: tonic's generated service on its stock server. It decodes every message, looks at nothing and says OK.

use std::path::Path;

use envoy_types::ext_authz::v3::pb::{Authorization, AuthorizationServer, CheckRequest, CheckResponse, HttpResponse, OkHttpResponse};
use envoy_types::pb::google::rpc;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// The argument that makes this executable the server.
pub const MODE: &str = "--serve-always-ok";

struct AlwaysOk;

#[tonic::async_trait]
impl Authorization for AlwaysOk {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        std::hint::black_box(&request);
        Ok(Response::new(CheckResponse {
            status: Some(rpc::Status::default()),
            http_response: Some(HttpResponse::OkResponse(OkHttpResponse::default())),
            ..CheckResponse::default()
        }))
    }
}

/// Serves until the process is ended. The runtime is of the kind that the sidecar has.
pub fn serve(socket: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = UnixListener::bind(socket).expect("a socket");
        let served = Server::builder()
            .tcp_nodelay(true)
            .add_service(AuthorizationServer::new(AlwaysOk))
            .serve_with_incoming(UnixListenerStream::new(listener));
        served.await.expect("a server");
    });
}
