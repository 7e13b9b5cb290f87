//! Whatever was decided, Envoy cannot misread it.

use envoy_types::ext_authz::v3::pb::{CheckResponse, HttpResponse};
use portcullis::pdp::decision::{AnswerKind, Effect, Reason};
use prost::Message;
use serde_json::json;

use super::POST;
use crate::harness::check::{Ask, Verdict};
use crate::harness::grpc::{CHECK, frame};
use crate::harness::lab::Lab;
use crate::harness::sidecar::edit;
use crate::harness::token;
use crate::harness::wait::{self, PATIENCE};

const KINDS: [AnswerKind; 9] = [
    AnswerKind::Pass,
    AnswerKind::Answer,
    AnswerKind::BadRequest,
    AnswerKind::BadCredential,
    AnswerKind::Unauthenticated,
    AnswerKind::InvalidToken,
    AnswerKind::StepUp,
    AnswerKind::Forbidden,
    AnswerKind::Unavailable,
];

/// Has to name each kind, so that a new one is not forgotten here.
fn in_kinds(kind: AnswerKind) -> bool {
    match kind {
        AnswerKind::Pass
        | AnswerKind::Answer
        | AnswerKind::BadRequest
        | AnswerKind::BadCredential
        | AnswerKind::Unauthenticated
        | AnswerKind::InvalidToken
        | AnswerKind::StepUp
        | AnswerKind::Forbidden
        | AnswerKind::Unavailable => KINDS.contains(&kind),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_whatever_kind_is_never_a_pass_on_the_wire() {
    assert!(Reason::ALL.iter().all(|reason| in_kinds(reason.answer())));
    // An issuer whose keys are nowhere to be had.
    let dead = "issuers:\n  dead: { issuer: \"http://dead.test\", audiences: [demo], jwks: { url: \"http://127.0.0.1:1/\" } }\n";
    let strict = "routes:\n  - { path: /blog/strict, methods: { GET: { access: authenticated, mfa: true } } }\n  - { path: /blog/permissions, methods: { GET: { access: authenticated, answer: permissions } } }\n";
    let lab = Lab::unready(|text| edit(&edit(&text, "issuers:\n", dead), "routes:\n", strict)).await;
    let client = lab.sidecar.connect().await;
    let (good, bad) = (format!("Bearer {}", token::mint_second(json!({}))), "Bearer garbage");
    // With that issuer the sidecar never gets ready, but with the others it can decide.
    let passes = Ask::get(POST).header("authorization", &good).raw();
    wait::until_true("the keys", PATIENCE, async || Verdict::of(&client.check(&passes).await).passes).await;
    let undecidable = format!("Bearer {}", token::mint(json!({ "iss": "http://dead.test" })));

    for kind in KINDS {
        let (ask, status) = match kind {
            AnswerKind::Pass => (Ask::get(POST).header("authorization", &good), None),
            AnswerKind::Answer => (Ask::get("/blog/permissions").header("authorization", &good), Some(200)),
            AnswerKind::BadRequest => (Ask::get("/blog/../blog/health"), Some(400)),
            AnswerKind::BadCredential => (Ask::get(POST).header("authorization", "Basic dTpw"), Some(401)),
            AnswerKind::Unauthenticated => (Ask::get(POST), Some(401)),
            AnswerKind::InvalidToken => (Ask::get(POST).header("authorization", bad), Some(401)),
            AnswerKind::StepUp => (Ask::get("/blog/strict").header("authorization", &good), Some(401)),
            AnswerKind::Forbidden => (Ask::new("PUT", POST).header("authorization", &good), Some(403)),
            AnswerKind::Unavailable => (Ask::get(POST).header("authorization", &undecidable), Some(503)),
        };
        for request in [ask.raw(), ask.joined()] {
            // The bytes, as Envoy gets them.
            let bytes = client.post(CHECK, frame(0, &request.encode_to_vec())).await.expect("an answer").message();
            let response = CheckResponse::decode(bytes).expect("a CheckResponse");
            let code = response.status.as_ref().expect("a status: Envoy takes a missing one for a pass").code;
            let denied = match response.http_response.as_ref().expect("an HTTP response") {
                HttpResponse::DeniedResponse(denied) => denied.status.as_ref().map(|status| status.code),
                HttpResponse::OkResponse(_) => None,
                HttpResponse::ErrorResponse(_) => panic!("{kind:?}: failure_mode_allow would let an error response pass"),
            };
            assert_eq!(code == 0, kind == AnswerKind::Pass, "{kind:?}: status.code is {code}");
            assert_eq!(denied, status, "{kind:?}");

            let verdict = Verdict::of(&response);
            let reason = Reason::ALL.iter().find(|reason| reason.code() == verdict.reason).expect("a reason of ours");
            assert_eq!(reason.answer(), kind, "{}", verdict.reason);
            assert_eq!(verdict.decision, reason.effect().as_str());
            // What Portcullis answers by itself does not go on to the service.
            assert_eq!(verdict.passes, reason.effect() == Effect::Permit && kind != AnswerKind::Answer);
        }
    }
}
