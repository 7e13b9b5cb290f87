//! Policy information points: what the sidecar pulls in the background, so that no request waits for it. The exception is
//! [`directory`]: who somebody is whom a request is about, asked when a route needs it.

pub mod config_file;
pub mod directory;
pub mod discovery;
pub mod disk;
pub mod http_client;
pub mod jwks;
pub mod refresh;
pub mod revocation;
pub mod tenant_roles;
pub mod transport;
pub mod warm_start;

/// The longest token or password in bytes.
const MAX_SECRET: u64 = 64 * 1024;

/// What a request for something that is not public carries: the token in a file, which may be replaced at any time.
async fn bearer(disk: &disk::Disk, file: Option<&std::path::Path>) -> Result<Option<String>, String> {
    let Some(file) = file else { return Ok(None) };
    let text = disk.read(file, MAX_SECRET).await?;
    let text = str::from_utf8(&text).map_err(|_| format!("{}: it is no text", file.display()))?;
    let token = text.trim();
    if token.is_empty() { Err(format!("{}: there is no token in it", file.display())) } else { Ok(Some(format!("Bearer {token}"))) }
}

/// Whether there is a secret in a file, such as a `token`. Blocks.
///
/// # Errors
/// There is none that could be used, in words, which name the file.
pub fn check_secret(file: &std::path::Path, what: &str) -> Result<(), String> {
    let text = disk::read(file, MAX_SECRET)?;
    match str::from_utf8(&text) {
        Err(_) => Err(format!("{}: it is no text", file.display())),
        Ok(text) if text.trim().is_empty() => Err(format!("{}: there is no {what} in it", file.display())),
        Ok(_) => Ok(()),
    }
}
