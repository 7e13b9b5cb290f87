//! What a decision costs without any transport: `pdp::decide` on the live state, with 10,000 revocations in the list.
//!
//! `cargo bench --bench decide`; rows are chosen by a name behind it, such as `hot_token`. The row `rs256_verification` is the
//! yardstick: the least that anybody who verifies a signature has to pay.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on should stop")]

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use divan::{AllocProfiler, Bencher, black_box};
use mimalloc::MiMalloc;
use portcullis::clock;
use portcullis::config::{Configuration, SourceFeed, SourceFile};
use portcullis::pdp::decision::{Reason, TokenLookup};
use portcullis::pdp::path::NormalizedPath;
use portcullis::pdp::permission::{PermissionSet, PermissionSyntax};
use portcullis::pdp::request::{AccessRequest, Host};
use portcullis::pdp::revocation::{Batch, Revocation, RevocationData, RevocationKind, RevocationList};
use portcullis::pdp::snapshot::Snapshot;
use portcullis::pdp::time::UnixTime;
use portcullis::pdp::token::algorithm::Algorithm;
use portcullis::pdp::token::cache::TokenDigest;
use portcullis::pdp::token::key::KeySet;
use portcullis::pdp::{View, decide};
use portcullis::state::Live;

mod support;

use support::{Request, Signer, Workload};

/// Counts what the allocator of the binary is asked for.
#[global_allocator]
static ALLOCATOR: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

const ROUTES: [usize; 3] = [10, 1_000, 10_000];
const REVOCATIONS: usize = 10_000;
/// Distinct tokens; as many as iterations of a row that needs each of them to be new.
const TOKENS: u32 = 1_000;

fn main() {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    divan::main();
}

static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::generate);

/// A compiled policy and the means to fill live states with it; made once per number of routes.
struct Fixture {
    configuration: Configuration,
    keys: Arc<KeySet>,
    revocations: Arc<RevocationData>,
    requests: Vec<Request>,
    now: UnixTime,
}

impl Fixture {
    fn with_routes(routes: usize) -> Arc<Self> {
        static MADE: LazyLock<Mutex<HashMap<usize, Arc<Fixture>>>> = LazyLock::new(Mutex::default);
        let mut made = MADE.lock().expect("nobody panicked");
        Arc::clone(made.entry(routes).or_insert_with(|| Arc::new(Self::new(routes))))
    }

    fn new(routes: usize) -> Self {
        let workload = Workload { routes, now: clock::now() };
        let feed = "{ url: http://127.0.0.1:1/revocations }";
        let text = workload.configuration("{ url: http://127.0.0.1:1/jwks }", Some(feed));
        let configuration = Configuration::compile(&[SourceFile { name: "bench.yaml".into(), text }]).expect("a good configuration");
        let keys = KeySet::parse(SIGNER.jwks().as_bytes(), &[Algorithm::Rs256]).expect("a JWK set");
        let mut batch = Batch::default();
        for number in 0..REVOCATIONS {
            let kind = if number % 2 == 0 { RevocationKind::Token } else { RevocationKind::Session };
            let id = format!("0193f3a2-7c1e-7000-a000-{number:012x}");
            batch.push(&Revocation { kind, id: &id, before: None, expires: None });
        }
        let revocations = RevocationList::full(batch, workload.now).into();
        let requests = (0..TOKENS as usize).map(|holder| workload.request(holder, &SIGNER.sign(&workload.claims(holder)))).collect();
        Self { configuration, keys: Arc::new(keys), revocations: Arc::new(revocations), requests, now: workload.now }
    }

    /// A live state that knows the keys and revocations and has not seen any token.
    fn live(&self) -> Live<()> {
        let live = Live::new(self.snapshot().clone(), ());
        for source in &self.configuration.sources {
            let good_for = Duration::from_secs(3600);
            match &source.feed {
                SourceFeed::Keys(_) => live.publish_keys(source.id, Arc::clone(&self.keys), Instant::now(), good_for),
                SourceFeed::Revocations(_) => {
                    live.publish_revocations(source.id, Arc::clone(&self.revocations), Instant::now(), good_for);
                }
                SourceFeed::StatusList(_) | SourceFeed::TenantRoles(_) | SourceFeed::Directory(_) => {}
            }
        }
        live
    }

    fn snapshot(&self) -> &Snapshot {
        &self.configuration.snapshot
    }

    fn token(&self, number: usize) -> &str {
        let (_, value) = self.requests[number].headers.iter().find(|(name, _)| *name == "authorization").expect("a token");
        value.trim_start_matches("Bearer ")
    }
}

/// What the front door makes of a message.
fn access_request(request: &Request) -> AccessRequest<'_> {
    let mut access =
        AccessRequest { method: request.method, target: &request.path, authority: request.authority, ..AccessRequest::default() };
    for (name, value) in &request.headers {
        access.headers.push(name, value.as_bytes());
    }
    access
}

/// Decides, and sees that the decision is the expected one.
fn allow(view: &View<'_>, request: &AccessRequest<'_>, now: UnixTime, lookup: TokenLookup) {
    let decision = decide(black_box(view), black_box(request), now);
    assert_eq!((decision.reason, decision.token_lookup), (Reason::Allowed, Some(lookup)));
}

/// One token that was seen before.
#[divan::bench(args = ROUTES, sample_count = 200, sample_size = 100)]
fn hot_token(bencher: Bencher<'_, '_>, routes: usize) {
    let fixture = Fixture::with_routes(routes);
    let live = fixture.live();
    let version = live.version();
    let view = live.view(&version);
    let request = access_request(&fixture.requests[0]);
    allow(&view, &request, fixture.now, TokenLookup::Miss);
    bencher.bench_local(|| allow(&view, &request, fixture.now, TokenLookup::Hit));
}

/// A thousand tokens that were seen before, in turn: each finds the processor's caches full of others.
#[divan::bench(args = ROUTES, sample_count = 200, sample_size = 100)]
fn hot_among_1000_tokens(bencher: Bencher<'_, '_>, routes: usize) {
    let fixture = Fixture::with_routes(routes);
    let live = fixture.live();
    let version = live.version();
    let view = live.view(&version);
    let requests: Vec<_> = fixture.requests.iter().map(access_request).collect();
    for request in &requests {
        allow(&view, request, fixture.now, TokenLookup::Miss);
    }
    let mut turn = requests.iter().cycle();
    bencher.with_inputs(|| turn.next().expect("it never ends")).bench_local_values(|request| {
        allow(&view, request, fixture.now, TokenLookup::Hit);
    });
}

/// Tokens that nobody has seen: parsed, verified, checked, remembered.
#[divan::bench(args = ROUTES, sample_count = TOKENS / 10, sample_size = 10)]
fn cold_token(bencher: Bencher<'_, '_>, routes: usize) {
    let fixture = Fixture::with_routes(routes);
    let live = fixture.live();
    let version = live.version();
    let view = live.view(&version);
    let requests: Vec<_> = fixture.requests.iter().map(access_request).collect();
    let mut turn = requests.iter();
    bencher.with_inputs(|| turn.next().expect("as many tokens as iterations")).bench_local_values(|request| {
        allow(&view, request, fixture.now, TokenLookup::Miss);
    });
}

/// The yardstick of [`cold_token`]: one signature, by the library alone.
#[divan::bench(sample_count = TOKENS / 10, sample_size = 10)]
fn rs256_verification(bencher: Bencher<'_, '_>) {
    let fixture = Fixture::with_routes(ROUTES[0]);
    let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, SIGNER.public_key_der()).expect("a public key");
    let split = |number| {
        let (input, signature) = fixture.token(number).rsplit_once('.').expect("a compact JWS");
        (input, URL_SAFE_NO_PAD.decode(signature).expect("base64url"))
    };
    let tokens: Vec<_> = (0..TOKENS as usize).map(split).collect();
    let mut turn = tokens.iter().cycle();
    bencher
        .with_inputs(|| turn.next().expect("it never ends"))
        .bench_local_values(|(input, signature)| key.verify_sig(input.as_bytes(), signature).expect("a good signature"));
}

/// SHA-256 of a token: the key of the token cache.
#[divan::bench]
fn token_digest(bencher: Bencher<'_, '_>) {
    let fixture = Fixture::with_routes(ROUTES[0]);
    let token = fixture.token(0);
    bencher.bench_local(|| TokenDigest::of(black_box(token)));
}

/// From a request target to its segments.
#[divan::bench]
fn path_normalization(bencher: Bencher<'_, '_>) {
    let fixture = Fixture::with_routes(ROUTES[0]);
    bencher.bench_local(|| NormalizedPath::parse(black_box(&fixture.requests[0].path)).expect("a canonical path").segments().len());
}

/// From segments to the route.
#[divan::bench(args = ROUTES)]
fn route_match(bencher: Bencher<'_, '_>, routes: usize) {
    let fixture = Fixture::with_routes(routes);
    let host = Host::parse(fixture.requests[0].authority).expect("a host");
    let path = NormalizedPath::parse(&fixture.requests[0].path).expect("a canonical path");
    let table = &fixture.snapshot().routes;
    bencher.bench_local(|| table.find(black_box(&host), black_box(&path)).expect("a route").payload.realm);
}

/// One permission against twenty literal grants and one with a wildcard.
#[divan::bench]
fn permission_set(bencher: Bencher<'_, '_>) {
    let syntax = PermissionSyntax::parse("service:resource.action").expect("a syntax");
    let mut set = PermissionSet::default();
    for number in 0..20 {
        set.insert(syntax.grant(&format!("blog:resource{number}.read"), true).expect("a grant"));
    }
    set.insert(syntax.grant("drafts:*", true).expect("a grant"));
    let required = syntax.required("drafts:posts.update").expect("a permission");
    bencher.bench_local(|| assert!(set.allows(black_box(&required))));
}
