//! How the authorizer is asked: `GrpcService`, `HttpService`.

use std::time::Duration;

use super::document::Resources;
use super::finding::Severity;
use super::kinds::service as kinds;
use super::node::Node;
use super::{Needs, cluster, fields};

const DEFAULT: Duration = Duration::from_millis(200);

/// Looks at a `GrpcService`; gives the cluster's name.
pub(super) fn grpc<'a>(node: &Node<'a>, name: &str, resources: &Resources<'a>, needs: Option<&Needs>) -> Option<&'a str> {
    fields::check(node, &fields::GRPC_SERVICE, name);
    timeout(node, node.get("timeout"), name, needs);
    retry(node, name);
    if let Some(google) = node.get("google_grpc") {
        let target = google.text("target_uri").unwrap_or_default();
        google.find(&kinds::GOOGLE_GRPC, name, format!("'{name}' asks '{target}' with Google's gRPC client"));
        return Some(target);
    }
    let envoy = node.get("envoy_grpc")?;
    fields::check(&envoy, &fields::ENVOY_GRPC, name);
    retry(&envoy, name);
    let asked = envoy.text("cluster_name")?;
    cluster::asked(&envoy, asked, true, resources, needs);
    Some(asked)
}

/// Looks at an `HttpService`; gives the cluster's name.
pub(super) fn http<'a>(node: &Node<'a>, name: &str, resources: &Resources<'a>, needs: Option<&Needs>) -> Option<&'a str> {
    fields::check(node, &fields::HTTP_SERVICE, name);
    retry(node, name);
    let Some(server) = node.get("server_uri") else {
        node.find(&kinds::NO_SERVICE, name, format!("'{name}': http_service has no server_uri"));
        return None;
    };
    timeout(&server, server.get("timeout"), name, needs);
    if let Some(path) = node.get("path_override").filter(|path| path.as_text() != Some("")) {
        path.find(&kinds::PATH_OVERRIDE, name, format!("'{name}' asks about the path of path_override, whatever the request's is"));
    }
    question(node, name, needs);
    let asked = server.text("cluster")?;
    cluster::asked(&server, asked, false, resources, needs);
    Some(asked)
}

/// Over HTTP: headers that are put into the question in the place of the client's.
fn question(node: &Node<'_>, name: &str, needs: Option<&Needs>) {
    for added in node.get("authorization_request").iter().flat_map(|request| request.list("headers_to_add")) {
        let Some(key) = added.text("key") else { continue };
        let key = key.to_ascii_lowercase();
        if key == "authorization" || needs.is_some_and(|needs| needs.headers.iter().any(|header| **header == *key)) {
            added.find(&kinds::QUESTION_CHANGED, name, format!("'{name}' asks with a '{key}' of its own, whatever the client's is"));
        }
    }
}

fn retry(node: &Node<'_>, name: &str) {
    if let Some(retry) = node.get("retry_policy") {
        retry.find(&kinds::RETRY, name, format!("'{name}' has a retry_policy"));
    }
}

fn timeout(node: &Node<'_>, written: Option<Node<'_>>, name: &str, needs: Option<&Needs>) {
    let at = written.clone().unwrap_or_else(|| node.clone());
    let timeout = match &written {
        None => {
            node.find(&kinds::TIMEOUT_DEFAULT, name, format!("'{name}' has no timeout: it is 200 ms"));
            DEFAULT
        }
        Some(written) => match written.as_duration() {
            Some(timeout) => timeout,
            None => return,
        },
    };
    let shown = format!("{} s", timeout.as_secs_f64());
    if timeout.is_zero() {
        at.find_as(Severity::Error, &kinds::TIMEOUT_LONG, name, format!("'{name}': a timeout of 0 s is none at all"));
        return;
    }
    if timeout >= Duration::from_secs(10) {
        at.find_as(Severity::Error, &kinds::TIMEOUT_LONG, name, format!("'{name}' waits {shown} for an answer"));
    } else if timeout > Duration::from_secs(1) {
        at.find(&kinds::TIMEOUT_LONG, name, format!("'{name}' waits {shown} for an answer"));
    } else if timeout < Duration::from_millis(10) {
        at.find(&kinds::TIMEOUT_SHORT, name, format!("'{name}' waits only {shown} for an answer"));
    }
    let Some(needs) = needs else { return };
    let asked = |deadline: Option<Duration>| deadline.filter(|deadline| *deadline >= timeout).map(|deadline| deadline.as_secs_f64());
    if let Some(deadline) = asked(needs.directory_deadline) {
        let message = format!("'{name}' waits {shown} for an answer, and the configuration's directory.deadline is {deadline} s");
        at.find(&kinds::DIRECTORY_DEADLINE, name, message);
    }
    if let Some(deadline) = asked(needs.audit_deadline) {
        let message = format!("'{name}' waits {shown} for an answer, and the configuration's audit.deadline is {deadline} s");
        at.find(&kinds::AUDIT_DEADLINE, name, message);
    }
    if needs.request_timeout < timeout {
        let limit = needs.request_timeout.as_secs_f64();
        let message = format!("'{name}' waits {shown} for an answer, and the configuration's limits.request_timeout is {limit} s");
        at.find(&kinds::REQUEST_TIMEOUT, name, message);
    }
}
