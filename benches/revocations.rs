//! What a revocation list costs: the memory of an entry, a check of a token, a whole list swapped in, one entry added.
//!
//! `cargo bench --bench revocations`. The table of sizes comes first; divan's rows follow. A list is built and swapped beside the
//! threads that answer checks, so what matters to a check is `judge` alone.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on should stop")]

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use divan::{AllocProfiler, Bencher, black_box};
use mimalloc::MiMalloc;
use portcullis::clock;
use portcullis::config::{Configuration, SourceFile};
use portcullis::pdp::revocation::{Batch, Revocation, RevocationData, RevocationKind, RevocationList, Verdict};
use portcullis::pdp::token::algorithm::Algorithm;
use portcullis::pdp::token::jws::CompactJws;
use portcullis::pdp::token::key::KeySet;
use portcullis::pdp::token::profile::SourceId;
use portcullis::pdp::token::verify::{VerifiedToken, verify};

mod support;

use support::{Signer, Workload};

/// Counts what the allocator of the binary is asked for.
#[global_allocator]
static ALLOCATOR: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];
/// Distinct tokens, so that each finds the processor's caches full of others.
const TOKENS: usize = 1_000;

fn main() {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    println!("{:>10}  {:>12}  {:>14}", "entries", "bytes", "bytes/entry");
    for size in SIZES {
        let RevocationData::List(list) = &*list(size) else { unreachable!("these are lists") };
        println!("{:>10}  {:>12}  {:>14.2}", list.len(), list.weight(), list.weight() as f64 / list.len() as f64);
    }
    divan::main();
}

fn batch(size: usize) -> Batch {
    let mut batch = Batch::default();
    for number in 0..size {
        let kind = if number % 2 == 0 { RevocationKind::Token } else { RevocationKind::Session };
        let id = format!("0193f3a2-7c1e-7000-a000-{number:012x}");
        batch.push(&Revocation { kind, id: &id, before: None, expires: Some(clock::now()) });
    }
    batch
}

fn list(size: usize) -> Arc<RevocationData> {
    static MADE: LazyLock<Mutex<HashMap<usize, Arc<RevocationData>>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().expect("nobody panicked");
    Arc::clone(made.entry(size).or_insert_with(|| Arc::new(RevocationList::full(batch(size), clock::now()).into())))
}

fn tokens() -> Vec<VerifiedToken> {
    let signer = Signer::generate();
    let workload = Workload { routes: 1, now: clock::now() };
    let text = workload.configuration("{ url: http://127.0.0.1:1/jwks }", None);
    let configuration = Configuration::compile(&[SourceFile { name: "bench.yaml".into(), text }]).expect("a good configuration");
    let policy = configuration.snapshot.issuers.iter().next().expect("an issuer");
    let keys = KeySet::parse(signer.jwks().as_bytes(), &[Algorithm::Rs256]).expect("a JWK set");
    let token = |holder| {
        let text = signer.sign(&workload.claims(holder));
        verify(&CompactJws::parse(&text).expect("a token"), policy, &keys).expect("a good token")
    };
    (0..TOKENS).map(token).collect()
}

/// A token that is not revoked: all of its ids are looked for.
#[divan::bench(args = SIZES, sample_count = 200, sample_size = 1000)]
fn judge(bencher: Bencher<'_, '_>, size: usize) {
    let (list, tokens, now) = (list(size), tokens(), clock::now());
    let mut turn = tokens.iter().cycle();
    bencher.bench_local(|| {
        let token = turn.next().expect("it never ends");
        assert_eq!(black_box(&list).judge(SourceId(0), black_box(token), || None, now), Verdict::Passes);
    });
}

/// A whole list, sorted.
#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn full(bencher: Bencher<'_, '_>, size: usize) {
    bencher.with_inputs(|| batch(size)).bench_local_values(|batch| RevocationList::full(batch, clock::now()).len());
}

/// One entry more.
#[divan::bench(args = SIZES, sample_count = 50, sample_size = 10)]
fn with_one_more(bencher: Bencher<'_, '_>, size: usize) {
    let data = list(size);
    let RevocationData::List(list) = &*data else { unreachable!("these are lists") };
    bencher.with_inputs(|| batch(1)).bench_local_values(|batch| list.with(batch, clock::now()));
}
