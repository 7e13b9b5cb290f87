//! The proxies that ask Portcullis over HTTP, all of them real: nginx, Caddy, Traefik, and Envoy; and Envoy over gRPC, by whose decisions
//! the others are measured.

mod door;
mod down;
mod matrix;
mod programs;
mod scene;
mod shipped;
