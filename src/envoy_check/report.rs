//! What was found, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::finding::{Finding, Severity};
use super::{Counts, all_kinds};

/// What was found in an Envoy configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// All findings, in the order of the text.
    pub findings: Vec<Finding>,
    /// How much was looked at.
    pub counts: Counts,
}

/// How a report looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// With colours, for terminals.
    pub colour: bool,
}

/// A kind of finding that is meant to be so: everywhere, or about one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    code: &'static str,
    subject: Option<String>,
}

impl Accepted {
    /// From `CODE` or `CODE=NAME`.
    ///
    /// # Errors
    /// When there is no such code, or it is one that cannot be accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (code, subject) = match text.split_once('=') {
            Some((code, subject)) => (code, Some(subject.to_string())),
            None => (text, None),
        };
        let Some(kind) = all_kinds().find(|kind| kind.code == code) else {
            let codes: Vec<&str> = all_kinds().map(|kind| kind.code).collect();
            let near = crate::config::nearest(code, &codes).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
            return Err(format!("there is no finding '{code}'{near}"));
        };
        if kind.code == super::kinds::file::UNREADABLE.code {
            return Err("a file that cannot be read cannot be accepted: nothing in it was looked at".into());
        }
        Ok(Self { code: kind.code, subject })
    }

    fn is_for(&self, finding: &Finding) -> bool {
        self.code == finding.kind.code && self.subject.as_ref().is_none_or(|subject| *subject == finding.subject)
    }
}

impl std::fmt::Display for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code)?;
        self.subject.as_ref().map_or(Ok(()), |subject| write!(f, "={subject}"))
    }
}

impl Report {
    /// Marks what is meant to be so. Gives those that nothing was found for.
    pub fn accept<'x>(&mut self, accepted: &'x [Accepted]) -> Vec<&'x Accepted> {
        for finding in &mut self.findings {
            finding.accepted = accepted.iter().any(|accepted| accepted.is_for(finding));
        }
        accepted.iter().filter(|accepted| !self.findings.iter().any(|finding| accepted.is_for(finding))).collect()
    }

    /// How many findings count so much.
    #[must_use]
    pub fn number(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.counts_as() == severity).count()
    }

    /// Whether it is good: no errors, and with `strict` no warnings either.
    #[must_use]
    pub fn passes(&self, strict: bool) -> bool {
        self.number(Severity::Error) == 0 && (!strict || self.number(Severity::Warning) == 0)
    }

    /// For people: every finding, why it matters and what to write instead. Both are told once for each kind.
    #[must_use]
    pub fn text(&self, style: Style) -> String {
        let mut text = String::new();
        let mut explained: Vec<&str> = Vec::new();
        for finding in &self.findings {
            let severity = finding.counts_as();
            let accepted = if finding.accepted { " (accepted)" } else { "" };
            let (name, code) = (paint(style, severity), finding.kind.code);
            let _ = writeln!(text, "{}: {name} [{code}]{accepted}: {}", finding.location, finding.message);
            if !finding.accepted && !explained.contains(&code) {
                explained.push(code);
                let _ = writeln!(text, "    why: {}", finding.kind.why);
                let _ = writeln!(text, "    instead: {}", finding.kind.instead);
            }
        }
        text
    }

    /// What was looked at and how much was found, in a line.
    #[must_use]
    pub fn summary(&self) -> String {
        let Counts { listeners, managers, filters, routes } = self.counts;
        let counted = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
        format!(
            "{}, {}, {} ext_authz, {}: {}, {}, {}",
            counted(listeners, "listener"),
            counted(managers, "HTTP connection manager"),
            filters,
            counted(routes, "route"),
            counted(self.number(Severity::Error), "error"),
            counted(self.number(Severity::Warning), "warning"),
            counted(self.number(Severity::Note), "note"),
        )
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                json!({
                    "file": &*finding.location.file,
                    "line": finding.location.line,
                    "column": finding.location.column,
                    "severity": finding.severity,
                    "accepted": finding.accepted,
                    "code": finding.kind.code,
                    "at": finding.at,
                    "subject": finding.subject,
                    "message": finding.message,
                    "why": finding.kind.why,
                    "instead": finding.kind.instead,
                })
            })
            .collect();
        json!({
            "listeners": self.counts.listeners,
            "managers": self.counts.managers,
            "filters": self.counts.filters,
            "routes": self.counts.routes,
            "errors": self.number(Severity::Error),
            "warnings": self.number(Severity::Warning),
            "notes": self.number(Severity::Note),
            "findings": findings,
        })
    }
}

fn paint(style: Style, severity: Severity) -> String {
    let name = severity.as_str();
    if !style.colour {
        return name.to_string();
    }
    let code = match severity {
        Severity::Error => "31",
        Severity::Warning => "33",
        Severity::Note => "36",
    };
    format!("\u{1b}[{code}m{name}\u{1b}[0m")
}
