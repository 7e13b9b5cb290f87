//! Check requests as Envoy would send them, and what the answers say.

use std::collections::HashMap;

use envoy_types::ext_authz::v3::pb::{CheckRequest, CheckResponse, HttpResponse};
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::google::protobuf::value::Kind;

/// A request to ask about.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub host: &'a str,
    pub headers: Vec<(&'a str, &'a str)>,
    /// A JSON body, which Envoy sends along whole.
    pub json: Option<&'a str>,
}

impl<'a> Ask<'a> {
    pub fn new(method: &'a str, path: &'a str) -> Self {
        Self { method, path, host: "blog.localhost", headers: Vec::new(), json: None }
    }

    pub fn get(path: &'a str) -> Self {
        Self::new("GET", path)
    }

    pub fn host(mut self, host: &'a str) -> Self {
        self.host = host;
        self
    }

    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn json(self, body: &'a str) -> Self {
        let ask = self.header("content-type", "application/json").header("x-envoy-auth-partial-body", "false");
        Self { json: Some(body), ..ask }
    }

    /// The form with `header_map`, as with `encode_raw_headers`: every header as it came.
    pub fn raw(&self) -> CheckRequest {
        let pseudo = [(":method", self.method), (":path", self.path), (":authority", self.host), (":scheme", "http")];
        let headers = pseudo.iter().chain(&self.headers).map(|(name, value)| HeaderValue {
            key: (*name).into(),
            raw_value: value.as_bytes().to_vec(),
            ..HeaderValue::default()
        });
        self.request(HashMap::new(), Some(HeaderMap { headers: headers.collect() }))
    }

    /// The form with `headers`, as without it: duplicates joined by a comma.
    pub fn joined(&self) -> CheckRequest {
        let mut headers: HashMap<String, String> = HashMap::new();
        for (name, value) in [(":method", self.method), (":path", self.path), (":authority", self.host)].iter().chain(&self.headers) {
            headers
                .entry((*name).into())
                .and_modify(|joined| {
                    joined.push(',');
                    joined.push_str(value);
                })
                .or_insert_with(|| (*value).into());
        }
        self.request(headers, None)
    }

    /// Both forms at once, which Envoy never sends.
    pub fn both(&self) -> CheckRequest {
        let mut request = self.raw();
        let headers = http(&mut self.joined()).headers.clone();
        http(&mut request).headers = headers;
        request
    }

    fn request(&self, headers: HashMap<String, String>, header_map: Option<HeaderMap>) -> CheckRequest {
        let http = HttpRequest {
            method: self.method.into(),
            path: self.path.into(),
            host: self.host.into(),
            scheme: "http".into(),
            protocol: "HTTP/1.1".into(),
            headers,
            header_map,
            raw_body: self.json.unwrap_or_default().as_bytes().to_vec(),
            ..HttpRequest::default()
        };
        let request = Request { http: Some(http), ..Request::default() };
        CheckRequest { attributes: Some(AttributeContext { request: Some(request), ..AttributeContext::default() }) }
    }
}

fn http(request: &mut CheckRequest) -> &mut HttpRequest {
    request.attributes.as_mut().and_then(|a| a.request.as_mut()).and_then(|r| r.http.as_mut()).expect("an HTTP request")
}

/// What an answer says, in both its parts: what Envoy obeys and what it logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether Envoy lets the request pass.
    pub passes: bool,
    /// The status that the client gets when it does not.
    pub status: Option<i32>,
    /// Headers set on the request, or those of the refusal, sorted.
    pub headers: Vec<(String, String)>,
    /// Headers removed from the request, sorted.
    pub removed: Vec<String>,
    /// The body of the refusal.
    pub body: String,
    pub decision: String,
    pub reason: String,
    pub route: Option<String>,
    pub revision: String,
    pub generation: u64,
}

impl Verdict {
    /// Reads an answer. One that Envoy could misunderstand fails the test: see [`Verdict::read`].
    pub fn of(response: &CheckResponse) -> Self {
        Self::read(response).unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// Reads an answer, and refuses one that Envoy could misunderstand: an `OkHttpResponse` must come with code 0, a
    /// `DeniedHttpResponse` with another code and a status that is an error, unless it is an answer of the sidecar's own.
    pub fn read(response: &CheckResponse) -> Result<Self, String> {
        let code = response.status.as_ref().ok_or("no status: Envoy takes a missing one for a pass")?.code;
        let fields = &response.dynamic_metadata.as_ref().ok_or("no dynamic metadata")?.fields;
        let text = |name: &str| match fields.get(name).and_then(|value| value.kind.as_ref()) {
            Some(Kind::StringValue(text)) => Ok(Some(text.clone())),
            None => Ok(None),
            other => Err(format!("{name} is {other:?}")),
        };
        let required = |name: &str| text(name)?.filter(|text| !text.is_empty()).ok_or(format!("no {name} in the dynamic metadata"));
        required("decision_id")?;
        let (passes, status, headers, mut removed, body) = match response.http_response.as_ref().ok_or("no HTTP response")? {
            HttpResponse::OkResponse(ok) => {
                if code != 0 {
                    return Err(format!("a pass with the error code {code}"));
                }
                (true, None, &ok.headers, ok.headers_to_remove.clone(), String::new())
            }
            HttpResponse::DeniedResponse(denied) => {
                if code == 0 {
                    return Err("Envoy takes a refusal with code 0 for a pass".into());
                }
                let status = denied.status.as_ref().ok_or("a refusal without a status")?.code;
                let answered = text("reason")?.as_deref() == Some("answered");
                if !(if answered { status == 200 } else { (400..600).contains(&status) }) {
                    return Err(format!("a refusal with status {status}"));
                }
                (false, Some(status), &denied.headers, Vec::new(), denied.body.clone())
            }
            HttpResponse::ErrorResponse(_) => return Err("an error response leaves the choice to failure_mode_allow".into()),
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a small whole number")]
        let generation = match fields.get("generation").and_then(|value| value.kind.as_ref()) {
            Some(Kind::NumberValue(number)) if *number >= 1.0 && number.fract() == 0.0 => *number as u64,
            other => return Err(format!("generation is {other:?}")),
        };
        let pair = |header: &HeaderValue| (header.key.clone(), header.value.clone());
        let mut headers: Vec<_> = headers.iter().filter_map(|option| option.header.as_ref()).map(pair).collect();
        headers.sort();
        removed.sort();
        Ok(Self {
            passes,
            status,
            headers,
            removed,
            body,
            decision: required("decision")?,
            reason: required("reason")?,
            route: text("route")?,
            revision: required("revision")?,
            generation,
        })
    }

    /// The header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The same decision, whatever id it has. (The body of a refusal holds the id.)
    pub fn without_id(mut self) -> Self {
        self.body = self.body.split("\"request_id\"").next().unwrap_or_default().to_string();
        self
    }
}
