//! What a configuration may say, and how it is told that it may not.

use super::*;

mod accepted;
mod identity;
mod refused;

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.to_string(), text: text.to_string() }
}

fn compile(text: &str) -> Result<Configuration, Problems> {
    Configuration::compile(&[file("c.yaml", text)])
}

/// A configuration that is fine, to add to.
const BASE: &str = "\
issuers:
  manager:
    issuer: https://id.example.com
    audiences: [blog]
    jwks: { url: https://id.example.com/.well-known/jwks.json }
    claims: { tenant: tenant_id, permissions: permissions, roles: roles, realm: scope, services: services }
permissions: { syntax: \"service:resource.action\" }
";
