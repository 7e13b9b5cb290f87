//! The first message of a TLS client that offers what no library of ours would (RFC 5246 section 7.4.1.2), and what the server says to it.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::wait::PATIENCE;

/// What a server says to a client's first message.
#[derive(Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It goes on.
    ServerHello,
    /// It ends, with this description (RFC 8446 section 6).
    Alert(u8),
}

/// No version that the client offers is spoken.
pub const PROTOCOL_VERSION: u8 = 70;
/// Nothing that it offers besides is good enough.
pub const HANDSHAKE_FAILURE: u8 = 40;

/// Offers one version (`0x0303` is TLS 1.2, which does not know of 1.3) with one cipher suite.
pub async fn offer(address: SocketAddr, host: &str, version: u16, cipher_suite: u16) -> Reaction {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(&client_hello(host, version, cipher_suite)).await.expect("a message sent");
    let mut record = [0; 7];
    timeout(PATIENCE, stream.read_exact(&mut record)).await.expect("a reaction in time").expect("a reaction");
    match record {
        [22, _, _, _, _, 2, _] => Reaction::ServerHello,
        [21, _, _, _, _, _, description] => Reaction::Alert(description),
        other => panic!("neither a handshake nor an alert: {other:?}"),
    }
}

fn client_hello(host: &str, version: u16, cipher_suite: u16) -> Vec<u8> {
    let name = [&[0], sized(host.as_bytes()).as_slice()].concat();
    let extensions = [
        extension(0, &sized(&name)),
        // x25519, secp256r1
        extension(10, &sized(&[0, 0x1d, 0, 0x17])),
        // uncompressed points
        extension(11, &[1, 0]),
        // ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256, rsa_pkcs1_sha256, ecdsa_sha1
        extension(13, &sized(&[4, 3, 8, 4, 4, 1, 2, 3])),
    ]
    .concat();
    let body = [
        &version.to_be_bytes()[..],
        &[7; 32],                            // the random
        &[0],                                // no session
        &sized(&cipher_suite.to_be_bytes()), // one suite
        &[1, 0],                             // no compression
        &sized(&extensions),
    ]
    .concat();
    let handshake = [&[1, 0], sized(&body).as_slice()].concat();
    [&[22, 3, 1], sized(&handshake).as_slice()].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &sized(data)].concat()
}

/// With its length in two bytes before it.
fn sized(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("something short");
    [&length.to_be_bytes()[..], data].concat()
}
