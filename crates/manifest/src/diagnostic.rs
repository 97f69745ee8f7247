//! What is said about a mistake, where it is, and how that looks.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::mistake::Mistake;
use crate::source::Source;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is started or changed.
    Error,
    /// Probably not what was meant; it works.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One mistake, or one warning, at its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of mistake it is: `manifest::invalid`; stable.
    pub code: &'static str,
    /// The component's name, where it is known.
    pub component: Option<String>,
    /// The field: `spec.livenessProbe.periodSeconds`; empty where the file as such is wrong.
    pub path: String,
    /// What is wrong: lower case, no final full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The file, as it was given.
    pub file: PathBuf,
    /// Counted from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// In characters, counted from 1; 0 where the file as a whole is meant.
    pub column: usize,
    /// Bytes of the file.
    pub span: Range<usize>,
    label: Option<String>,
    related: Option<(Range<usize>, String)>,
    name_component: bool,
    source: Arc<Source>,
}

impl Diagnostic {
    /// Puts a mistake into its file. `several`: whether a reader needs to be told which component is meant.
    pub(crate) fn new(
        mistake: Mistake,
        file: PathBuf,
        source: Arc<Source>,
        component: Option<String>,
        several: bool,
    ) -> Self {
        let (line, column) = mistake.span.as_ref().map_or((0, 0), |span| source.position(span.start));
        Self {
            severity: mistake.code.severity(),
            code: mistake.code.name(),
            component,
            path: mistake.path,
            message: mistake.message,
            help: mistake.help,
            file,
            line,
            column,
            span: mistake.span.unwrap_or_default(),
            label: mistake.label,
            related: mistake.related,
            name_component: several,
            source,
        }
    }

    /// The first line of [`Diagnostic::render`], without severity and code.
    pub fn headline(&self) -> String {
        let mut line = String::new();
        if let Some(component) = self.component.as_ref().filter(|_| self.name_component) {
            line = format!("{component}: ");
        }
        if !self.path.is_empty() {
            line = format!("{line}{}: ", self.path);
        }
        line + &self.message
    }

    /// Headline, place, source line with caret, help: several lines, the last one ended.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        // `^` under the place, readable on every terminal and in every log.
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.headline()).id(self.code);
        let file = self.file.to_string_lossy();
        let mut group = Group::with_title(title);
        let excerpt = self.excerpt();
        if self.line == 0 {
            group = group.element(Origin::path(file));
        } else {
            let annotations = excerpt.marks.iter().map(|mark| {
                let kind = if mark.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
                kind.span(mark.span.clone()).label(mark.label.as_deref())
            });
            let mut snippet = Snippet::source(excerpt.text).line_start(excerpt.line).annotations(annotations);
            if excerpt.cut {
                group = group.element(Origin::path(file).line(self.line).char_column(self.column));
            } else {
                snippet = snippet.path(file);
            }
            group = group.element(snippet);
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group]) + "\n"
    }

    /// The lines to show: short, whatever the file is like.
    fn excerpt(&self) -> Excerpt<'_> {
        let text = &*self.source.text;
        let mut marks = vec![Mark { primary: true, span: self.span.clone(), label: self.label.clone() }];
        if let Some((span, label)) = &self.related {
            marks.push(Mark { primary: false, span: span.clone(), label: Some(label.clone()) });
        }
        // What has many lines is marked on its first.
        for mark in &mut marks {
            let start = mark.span.start.min(text.len());
            let line_end = text[start..].find('\n').map_or(text.len(), |length| start + length);
            mark.span = start..mark.span.end.clamp(start, start + text[start..line_end].trim_end().len());
        }
        let first = marks.iter().map(|mark| mark.span.start).min().unwrap_or_default();
        let last = marks.iter().map(|mark| mark.span.end).max().unwrap_or_default();
        let (line, from) = self.source.line(first);
        let to = text[last..].find('\n').map_or(text.len(), |length| last + length);
        if to - from <= Excerpt::LONGEST {
            for mark in &mut marks {
                mark.span = mark.span.start - from..mark.span.end - from;
            }
            return Excerpt { text: &text[from..to], line, cut: false, marks };
        }
        marks.truncate(1);
        let own = &mut marks[0];
        let (line, start) = self.source.line(own.span.start);
        let line_end = text[own.span.start..].find('\n').map_or(text.len(), |length| own.span.start + length);
        let from = floor(text, own.span.start.saturating_sub(Excerpt::REACH).max(start));
        let to = floor(text, (own.span.start + Excerpt::REACH).min(line_end)).max(own.span.start);
        own.span = own.span.start - from..own.span.end.min(to) - from;
        Excerpt { text: &text[from..to], line, cut: true, marks }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}[{}]: {}", self.severity, self.code, self.headline())
    }
}

/// A part of the source, with what is marked there.
struct Excerpt<'a> {
    text: &'a str,
    line: usize,
    /// Whether its line was too long to be shown whole, so that columns in it are not those of the file.
    cut: bool,
    marks: Vec<Mark>,
}

impl Excerpt<'_> {
    /// More than this is not shown.
    const LONGEST: usize = 4000;
    /// How much of a long line is shown on either side of what is marked.
    const REACH: usize = 100;
}

struct Mark {
    primary: bool,
    span: Range<usize>,
    label: Option<String>,
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Everything that is wrong, and everything that is odd, in the order of files and lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// How many of them are errors.
    pub fn error_count(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many of them are warnings.
    pub fn warning_count(&self) -> usize {
        self.count(Severity::Warning)
    }

    /// All of them, with an empty line between two.
    pub fn render(&self, color: bool) -> String {
        self.0.iter().map(|diagnostic| diagnostic.render(color)).collect::<Vec<_>>().join("\n")
    }

    fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
