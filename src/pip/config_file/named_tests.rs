//! The policy tests that a configuration names: files that belong to it and are no part of it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::source::{ConfigFile, ConfigSource, ContentHash, MAX_BYTES, MAX_FILES, ReadError, read, read_file};

/// Says which tests a configuration names: paths relative to its folder, in whose last part `*` stands for any characters.
pub type NamedTests = fn(&[ConfigFile]) -> Vec<String>;

/// Reads a configuration as [`read`] does, and the tests that it names. The hash is of all of it.
///
/// # Errors
/// Those of [`read`]; a pattern that no file matches; a test that cannot be read, or that is part of the configuration.
pub fn read_with_tests(path: &Path, named: NamedTests) -> Result<ConfigSource, ReadError> {
    read_noting_folders(path, named, &mut Vec::new())
}

/// The same; the folders in which tests are looked for are added to `folders`, also when something is wrong with them.
pub(super) fn read_noting_folders(path: &Path, named: NamedTests, folders: &mut Vec<PathBuf>) -> Result<ConfigSource, ReadError> {
    let mut source = read(path)?;
    let patterns = named(&source.files);
    if patterns.is_empty() {
        return Ok(source);
    }
    let base = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let patterns: Vec<PathBuf> = patterns.iter().map(|pattern| base.join(pattern)).collect();
    for folder in patterns.iter().filter_map(|pattern| pattern.parent()) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if !folders.iter().any(|known| known == folder) {
            folders.push(folder.to_owned());
        }
    }

    let configuration: HashSet<PathBuf> = source.files.iter().filter_map(|file| fs::canonicalize(&file.path).ok()).collect();
    let mut room = MAX_BYTES;
    for path in matching(&patterns)? {
        if fs::canonicalize(&path).is_ok_and(|path| configuration.contains(&path)) {
            return Err(ReadError::IsConfiguration { path });
        }
        source.tests.push(read_file(path, &mut room)?);
    }
    source.hash = with_tests(&source);
    Ok(source)
}

/// The files that match, each once, in the order of the patterns and of their names.
fn matching(patterns: &[PathBuf]) -> Result<Vec<PathBuf>, ReadError> {
    let mut found: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        let name = pattern.file_name().unwrap_or_default();
        let paths = if name.as_encoded_bytes().contains(&b'*') { in_folder(pattern, name)? } else { vec![pattern.clone()] };
        for path in paths {
            if !found.contains(&path) {
                found.push(path);
            }
        }
        if found.len() > MAX_FILES {
            return Err(ReadError::TooManyTests { path: pattern.clone() });
        }
    }
    Ok(found)
}

fn in_folder(pattern: &Path, name: &OsStr) -> Result<Vec<PathBuf>, ReadError> {
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unreadable = |error| ReadError::io(folder, &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?.file_name();
        // As with a shell's patterns, and for the same reason as with a configuration's files: `..data`, and what editors leave.
        let hidden = entry.as_encoded_bytes().starts_with(b".") && !name.as_encoded_bytes().starts_with(b".");
        if !hidden && matches(name.as_encoded_bytes(), entry.as_encoded_bytes()) {
            found.push(pattern.with_file_name(entry));
        }
        if found.len() > MAX_FILES {
            return Err(ReadError::TooManyTests { path: pattern.to_owned() });
        }
    }
    if found.is_empty() {
        return Err(ReadError::NoTests { path: pattern.to_owned() });
    }
    found.sort();
    Ok(found)
}

/// Whether `name` fits `pattern`, in which `*` stands for any bytes.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    // The first place that fits each of the parts between leaves the most for what follows.
    for part in parts.filter(|part| !part.is_empty()) {
        let Some(at) = rest.windows(part.len()).position(|window| window == part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// The hash of a configuration and its tests: their parts, each preceded by its length.
fn with_tests(source: &ConfigSource) -> ContentHash {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut add = |part: &[u8]| {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    };
    add(source.hash.as_bytes());
    for file in &source.tests {
        add(file.path.as_os_str().as_encoded_bytes());
        add(file.text.as_bytes());
    }
    ContentHash::finish(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, fits, fits_not) in [
            ("*.yaml", &["a.yaml", "a.b.yaml", "x-.yaml"][..], &["a.yml", "yaml", "a.yaml~"][..]),
            ("a.yaml", &["a.yaml"], &["a.yam", "aa.yaml", "a.yamll"]),
            ("*", &["a", "ab"], &[]),
            ("a*b*c", &["abc", "axbxc", "abbcc", "abcbc"], &["ac", "abcd", "xabc", "acb"]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("*ab*ab", &["abab", "xabxab"], &["ab", "aab"]),
        ] {
            assert!(fits.iter().all(|name| matches(pattern.as_bytes(), name.as_bytes())), "{pattern}");
            assert!(fits_not.iter().all(|name| !matches(pattern.as_bytes(), name.as_bytes())), "{pattern}");
        }
    }
}
