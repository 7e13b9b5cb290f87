//! Ports for programs that have to be told a number, or that must get the same one twice.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

/// Below the range from which systems take the ports of outgoing connections, so that none of those can take one away between
/// two starts of a program.
const RANGE: std::ops::Range<u16> = 18_000..32_000;

/// A port that nobody uses now and that no other test of this process gets.
pub fn pick() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap();
    for _ in 0..1000 {
        let port = fastrand::u16(RANGE);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && given.insert(port) {
            return port;
        }
    }
    panic!("no free port in {RANGE:?}");
}
