//! The system's name look-up, with an error that can be told from a failed connection.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

/// `getaddrinfo` on the blocking pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct SystemResolver;

/// A name that has no address, or whose look-up failed.
#[derive(Debug)]
pub(super) struct LookupError(String);

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for LookupError {}

impl Service<Name> for SystemResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = LookupError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, LookupError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), LookupError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = GaiResolver::new().call(name).await;
            let addresses: Vec<_> = match found {
                Ok(addresses) => addresses.collect(),
                Err(error) => return Err(LookupError(format!("{host:?}: {error}"))),
            };
            if addresses.is_empty() {
                return Err(LookupError(format!("{host:?} has no address")));
            }
            Ok(addresses.into_iter())
        })
    }
}
