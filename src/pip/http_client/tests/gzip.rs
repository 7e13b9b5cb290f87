//! Bodies in gzip: whole ones are decoded, all others refused, and a bomb costs no more than the bound.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).expect("written");
    encoder.finish().expect("finished")
}

/// What the client makes of these bytes, sent as gzip.
async fn decoded(bytes: Vec<u8>, limit: usize) -> Result<Vec<u8>, FetchError> {
    let peer = Peer::hyper(move |_| {
        let mut response = response(200, &[("content-encoding", "gzip")], "");
        *response.body_mut() = Full::new(Bytes::from(bytes.clone()));
        response
    })
    .await;
    let request = GetRequest { max_body_bytes: limit, ..request(&peer.url) };
    match client().get(request).await? {
        Fetched::Body { bytes, .. } => Ok(bytes.to_vec()),
        Fetched::NotModified { .. } => panic!("nobody asked for that"),
    }
}

#[tokio::test]
async fn a_whole_body_is_decoded() {
    let text = r#"{"keys":[]}"#.repeat(1000).into_bytes();
    assert_eq!(decoded(gzip(&text), text.len()).await, Ok(text.clone()));
    assert_eq!(decoded(gzip(b""), 100).await, Ok(Vec::new()));
    // Incompressible, and in many pieces.
    let mut noise = vec![0; 300_000];
    fastrand::Rng::with_seed(7).fill(&mut noise);
    assert_eq!(decoded(gzip(&noise), 301_000).await, Ok(noise));
}

#[tokio::test]
async fn the_bound_holds_for_what_is_decoded_and_for_what_comes() {
    let text = vec![b'1'; 5000];
    for (limit, fits) in [(5000, true), (4999, false), (1, false)] {
        let refused = Err(FetchError::TooLarge { limit });
        assert_eq!(decoded(gzip(&text), limit).await, if fits { Ok(text.clone()) } else { refused });
    }
    // More comes than it decodes to.
    let limit = 10;
    assert_eq!(decoded(gzip(b"1"), limit).await, Err(FetchError::TooLarge { limit }));
}

#[tokio::test]
async fn a_bomb_is_refused_at_the_bound() {
    let bomb = gzip(&vec![b' '; 64 * 1024 * 1024]);
    assert!(bomb.len() < 100_000);
    let limit = 1024 * 1024;
    assert_eq!(decoded(bomb.clone(), limit).await, Err(FetchError::TooLarge { limit }));
    // Where much may come, it is still told by how little of it came.
    let refused = decoded(bomb, 256 * limit).await.expect_err("a bomb");
    assert_eq!(refused.to_string(), "the body is not the gzip that it says it is: it decodes to more than 100 times its length");
}

#[tokio::test]
async fn what_is_not_one_whole_member_is_refused() {
    let whole = gzip(br#"{"keys":[]}"#);
    for length in 0..whole.len() {
        let failed = decoded(whole[..length].to_vec(), 1024).await.expect_err("a part");
        assert_eq!(failed.label(), "decoding", "the first {length} bytes: {failed}");
    }
    let mut changed = Vec::new();
    for at in whole.len() - 8..whole.len() {
        // The checksum and the length, byte for byte.
        let mut other = whole.clone();
        other[at] ^= 1;
        changed.push(other);
    }
    changed.push([&whole[..], b"\n"].concat());
    changed.push([&whole[..], &whole[..]].concat());
    changed.push(gzip(&whole)[1..].to_vec());
    changed.push(b"{\"keys\":[]}".to_vec());
    for bytes in changed {
        let failed = decoded(bytes.clone(), 1024).await.expect_err("not gzip");
        assert_eq!(failed.label(), "decoding", "{bytes:?}: {failed}");
    }
}
