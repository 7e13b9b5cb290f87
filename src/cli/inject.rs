//! `portcullis inject`.

use std::fs;
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::output::counted;
use crate::inject::{Action, Entry, Finding, Injected, Problem, manifest};

mod defaults;

pub(super) use defaults::Defaults;

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis inject -f app.yaml | kubectl apply -f -               put the sidecar in and apply it
  kubectl kustomize . | portcullis inject | kubectl apply -f -     as a step between others
  portcullis inject -f app.yaml --image registry.example/portcullis:0.1.0
  portcullis inject -f app.yaml --uninject                         take it out again
  portcullis inject -f app.yaml --json                             for programs: 'documents', 'problems', 'objects'

Deployments, StatefulSets, DaemonSets, ReplicaSets, ReplicationControllers, Jobs, CronJobs, PodTemplates, Pods and Lists of them get the
sidecar; a pod (template) labelled portcullis.dev/inject: \"false\" does not. Other documents stay as they are written. A document that
is changed is written anew: its comments are lost, and its keys are sorted. YAML is read as kubectl reads it (0644 is octal, 'yes' is
true), except that a key that is there twice is refused. JSON stays JSON.

What was done is told on standard error. If anything in the manifest is refused, all that is refused is told and nothing is written.
Annotations of the pod and what is put in: docs/kubernetes.md.

Exit status: 0 fine, 1 the manifest is not, 2 the command line is not.";

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The manifest, YAML or JSON, with any number of documents; '-' is standard input.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Take the sidecar out again.
    #[arg(long)]
    uninject: bool,
    /// Print what was done, and the resulting objects, as one JSON document instead of the manifest.
    #[arg(long)]
    json: bool,
    /// Say nothing about what was done; warnings and problems are told all the same.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    defaults: Defaults,
}

pub(super) fn inject(options: &Options) -> ExitCode {
    let settings = match options.defaults.settings() {
        Ok(settings) => settings,
        Err(message) => {
            eprintln!("portcullis: {message}");
            return ExitCode::from(2);
        }
    };
    let action = if options.uninject { Action::Uninject } else { Action::Inject };
    let result =
        read(&options.file).map_err(|message| vec![Problem { place: None, message }]).and_then(|text| manifest(&text, &settings, action));
    if options.json {
        let report = match &result {
            Ok(done) => json!({ "documents": done.entries.iter().map(entry).collect::<Vec<_>>(), "problems": [], "objects": done.objects }),
            Err(problems) => json!({ "documents": [], "problems": problems.iter().map(problem).collect::<Vec<_>>(), "objects": [] }),
        };
        let written = write(&format!("{report:#}\n"));
        return if result.is_ok() { written } else { ExitCode::FAILURE };
    }
    match result {
        Ok(done) => {
            tell(&done, options.quiet);
            write(&done.text)
        }
        Err(problems) => {
            for problem in &problems {
                eprintln!("{problem}");
            }
            eprintln!("{} has {}; nothing was written", shown(&options.file), counted(problems.len() as u64, "problem"));
            ExitCode::FAILURE
        }
    }
}

fn shown(file: &Path) -> String {
    if file == Path::new("-") { "standard input".into() } else { file.display().to_string() }
}

fn read(file: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        if io::stdin().is_terminal() {
            eprintln!("reading a manifest from the terminal; Ctrl-D ends it");
        }
        io::stdin().lock().read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.map_err(|error| match error.kind() {
        ErrorKind::IsADirectory => format!("{} is a folder; give it a file, or the output of 'kubectl kustomize'", shown(file)),
        _ => format!("{}: {error}", shown(file)),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("{} is no text in UTF-8: byte {} is not", shown(file), at + 1)
    })
}

fn write(text: &str) -> ExitCode {
    match super::output::write(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis: the manifest could not be written: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What was done, on standard error.
fn tell(done: &Injected, quiet: bool) {
    for Entry { place, finding, warnings } in &done.entries {
        let said = match finding {
            Finding::Injected => Some("injected".to_string()),
            Finding::AlreadyInjected => Some("injected before, nothing to change".into()),
            Finding::Removed => Some("the sidecar was taken out".into()),
            Finding::NothingToRemove => Some("there is no sidecar in it".into()),
            Finding::LeftOut(why) => Some(format!("left out: {why}")),
            Finding::NotFollowed => Some("left alone: pods seem to be in it, but it is no kind that Kubernetes comes with; the webhook injects them when they are made".into()),
            Finding::NoWorkload => None,
        };
        if let Some(said) = said.filter(|_| !quiet || *finding == Finding::NotFollowed) {
            eprintln!("{place}: {said}");
        }
        for warning in warnings {
            eprintln!("{place}: warning: {warning}");
        }
    }
    if !quiet && done.entries.iter().all(|entry| entry.finding == Finding::NoWorkload) {
        eprintln!("there are no pods in it; nothing was changed");
    }
}

fn entry(entry: &Entry) -> serde_json::Value {
    let Entry { place, finding, warnings } = entry;
    json!({
        "document": place.document,
        "items": place.items,
        "kind": place.kind,
        "name": place.name,
        "outcome": finding.code(),
        "warnings": warnings,
    })
}

fn problem(problem: &Problem) -> serde_json::Value {
    let Problem { place, message } = problem;
    json!({
        "document": place.as_ref().map(|place| place.document),
        "items": place.as_ref().map(|place| place.items.clone()).unwrap_or_default(),
        "kind": place.as_ref().and_then(|place| place.kind.clone()),
        "name": place.as_ref().map(|place| place.name.clone()).unwrap_or_default(),
        "message": message,
    })
}
