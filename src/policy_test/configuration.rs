//! The configuration that a test file is about, and its variants.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::case::CaseFile;
use super::reader::{Node, Read};
use crate::config::{Configuration, Location, Problem, Problems, SourceFile};

/// Where a test file says that its configuration is.
pub enum Stated {
    /// In the file itself.
    Here(Inline),
    /// In another file, or a folder of them.
    At {
        /// Its path, relative to the folder of the test file.
        path: String,
        /// Where that is said.
        location: Location,
    },
    /// It does not say. The beginning of the file stands for what is missing.
    Nowhere(Location),
}

/// A configuration within a test file.
pub struct Inline {
    text: String,
    /// The place of its first character in the file, from 0, if its lines are lines of the file.
    place: Option<(usize, usize)>,
}

/// A replacement of text that makes a variant.
pub struct Edit {
    old: String,
    new: String,
    location: Location,
}

/// The configuration of a test file and its variants, compiled.
pub struct Configurations<'c> {
    base: Cow<'c, Configuration>,
    variants: BTreeMap<String, Configuration>,
}

impl Stated {
    pub(super) fn read(node: &Node<'_>, file: &str) -> Read<Self> {
        if let Some(text) = node.as_text() {
            return Ok(Self::Here(Inline { text: text.to_string(), place: place(text, file, node.location().line) }));
        }
        if !node.is_map() {
            return node.error("a configuration is its text, or '{ file: portcullis.yaml }'");
        }
        let path = node.fields(&["file"])?.require("file")?;
        Ok(Self::At { path: path.string()?, location: path.location() })
    }
}

impl Edit {
    pub(super) fn read(node: &Node<'_>) -> Read<Self> {
        let fields = node.fields(&["replace", "with"])?;
        let old = fields.require("replace")?;
        Ok(Self { old: old.string()?, new: fields.require("with")?.string()?, location: old.location() })
    }

    fn apply(&self, files: &mut [SourceFile]) -> Result<(), Problem> {
        let count: usize = files.iter().map(|file| file.text.matches(&self.old).count()).sum();
        let message = match count {
            1 => {
                for file in files {
                    file.text = file.text.replacen(&self.old, &self.new, 1);
                }
                return Ok(());
            }
            0 => format!("the configuration does not have the text '{}', so there is nothing to replace", self.old),
            more => format!(
                "the configuration has the text '{}' {more} times and must have it once; write more of what stands around it",
                self.old
            ),
        };
        Err(Problem { location: Some(self.location.clone()), key: String::new(), message })
    }
}

impl<'c> Configurations<'c> {
    /// Compiles what the file says. Files are read by `read`, to which a path is given as it is written.
    ///
    /// # Errors
    /// The problems of the configuration, or of its first variant that has any.
    pub fn compile(file: &CaseFile, read: impl FnOnce(&str) -> Result<Vec<SourceFile>, String>) -> Result<Self, Problems> {
        match &file.configuration {
            Stated::Here(inline) => {
                let source = SourceFile { name: file.name.clone(), text: inline.text.clone() };
                Self::with(file, &[source], |text| inline.laid_out(text))
            }
            Stated::At { path, location } => match read(path) {
                Ok(sources) => Self::with(file, &sources, str::to_string),
                Err(message) => Err(one(location, message)),
            },
            Stated::Nowhere(location) => Err(one(location, "'configuration' is missing: write '{ file: portcullis.yaml }', or its text")),
        }
    }

    /// Compiles these files instead of what the test file says.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_files(file: &CaseFile, sources: &[SourceFile]) -> Result<Self, Problems> {
        Self::with(file, sources, str::to_string)
    }

    /// Only compiles the variants: `base` is what these files are compiled to.
    ///
    /// # Errors
    /// The problems of the first variant that has any.
    pub fn over(base: &'c Configuration, sources: &[SourceFile], file: &CaseFile) -> Result<Self, Problems> {
        Ok(Self { base: Cow::Borrowed(base), variants: variants(file, sources, &str::to_string)? })
    }

    fn with(file: &CaseFile, sources: &[SourceFile], laid_out: impl Fn(&str) -> String) -> Result<Self, Problems> {
        let base = Cow::Owned(compiled(sources.to_vec(), &laid_out)?);
        Ok(Self { base, variants: variants(file, sources, &laid_out)? })
    }

    /// The configuration as it is.
    #[must_use]
    pub fn base(&self) -> &Configuration {
        &self.base
    }

    /// A variant of it; `None`: as it is.
    pub(super) fn get(&self, variant: Option<&str>) -> Result<&Configuration, String> {
        match variant {
            None => Ok(&self.base),
            Some(name) => self.variants.get(name).ok_or_else(|| format!("there is no variant '{name}' of the configuration")),
        }
    }
}

fn compiled(mut sources: Vec<SourceFile>, laid_out: &impl Fn(&str) -> String) -> Result<Configuration, Problems> {
    for source in &mut sources {
        source.text = laid_out(&source.text);
    }
    Configuration::compile(&sources)
}

fn variants(
    file: &CaseFile,
    sources: &[SourceFile],
    laid_out: &impl Fn(&str) -> String,
) -> Result<BTreeMap<String, Configuration>, Problems> {
    let mut variants = BTreeMap::new();
    for (name, edits) in &file.variants {
        let mut edited = sources.to_vec();
        for edit in edits {
            edit.apply(&mut edited).map_err(|problem| {
                let mut problems = Problems::default();
                problems.push(problem);
                problems
            })?;
        }
        // Its lines need not be those of the file.
        for source in &mut edited {
            source.name = format!("{} (variant '{name}')", source.name);
        }
        variants.insert(name.clone(), compiled(edited, laid_out)?);
    }
    Ok(variants)
}

impl Inline {
    /// Text of this configuration with every character at the line and column where it stands in the file, so that what is said of it
    /// can be found.
    fn laid_out(&self, text: &str) -> String {
        let Some((line, column)) = self.place else { return text.to_string() };
        let mut padded = "\n".repeat(line);
        // Markers of YAML have to stay at the first column.
        let is_marker = |line: &str| ["---", "...", "%"].iter().any(|marker| line.starts_with(marker));
        let indent = if text.lines().any(is_marker) { String::new() } else { " ".repeat(column) };
        for line in text.split_inclusive('\n') {
            if !line.trim().is_empty() {
                padded.push_str(&indent);
            }
            padded.push_str(line);
        }
        padded
    }
}

/// Where the lines of a block scalar begin in a file: lines above, and characters before. `None`: they are not lines of the file.
fn place(text: &str, file: &str, line: usize) -> Option<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let (above, first) = lines.iter().enumerate().find(|(_, line)| !line.is_empty())?;
    // The scalar's own mark says the line of its header, that of its first line, or that of the first one with anything in it.
    (line.saturating_sub(1 + above)..=line).find_map(|start| {
        let column = file.lines().skip(start).find(|line| !line.trim().is_empty())?.strip_suffix(first)?.len();
        let mut there = file.lines().skip(start);
        let same = lines.iter().all(|line| {
            there.next().is_some_and(|there| match there.split_at_checked(column) {
                Some((indent, rest)) => indent.trim().is_empty() && rest == *line,
                None => line.is_empty() && there.trim().is_empty(),
            })
        });
        same.then_some((start, column))
    })
}

fn one(location: &Location, message: impl Into<String>) -> Problems {
    let mut problems = Problems::default();
    problems.push(Problem { location: Some(location.clone()), key: String::new(), message: message.into() });
    problems
}
