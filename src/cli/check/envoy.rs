//! `portcullis check --envoy`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Value, json};

use crate::envoy_check::{self, EnvoyFile, MAX_BYTES, Needs, Style};

use super::{Options, output};

/// What came of it.
pub(super) struct Looked {
    pub passes: bool,
    pub json: Value,
}

/// Looks at the files that were given, and prints what was found unless it is wanted as JSON.
pub(super) fn look(options: &Options, needs: Option<&Needs>) -> Looked {
    let files: Vec<EnvoyFile> = options.envoy.iter().map(|path| file(path)).collect();
    let mut report = envoy_check::check(&files, needs);
    let unused: Vec<String> = report.accept(&options.accept).iter().map(ToString::to_string).collect();
    let passes = report.passes(options.strict);
    if !options.json {
        let style = Style { colour: output::has_colour() };
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        output::line(format_args!("{}{}: {}", report.text(style), names.join(", "), report.summary()));
        for accepted in &unused {
            eprintln!("note: --accept {accepted}: nothing of that was found");
        }
    }
    let mut json = report.json();
    if let Value::Object(json) = &mut json {
        json.insert("passes".into(), passes.into());
        json.insert("strict".into(), options.strict.into());
        json.insert("not_found".into(), json!(unused));
    }
    Looked { passes, json }
}

/// A file's content, and no more of it than can be looked at.
fn file(path: &Path) -> EnvoyFile {
    let mut content = Vec::new();
    let is_stdin = path == Path::new("-");
    let limit = MAX_BYTES as u64 + 1;
    let read = if is_stdin {
        io::stdin().lock().take(limit).read_to_end(&mut content)
    } else {
        super::patiently(path, || File::open(path).and_then(|file| file.take(limit).read_to_end(&mut content)))
    };
    let name = if is_stdin { "standard input".to_string() } else { path.display().to_string() };
    EnvoyFile { name, content: read.map(|_| content).map_err(|error| error.to_string()) }
}
