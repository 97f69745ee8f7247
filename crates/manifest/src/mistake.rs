//! What is found wrong, before it is known which file it is in.

use std::ops::Range;

use crate::diagnostic::Severity;

/// The kinds of mistakes; their names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Unreadable,
    Empty,
    Syntax,
    Limit,
    Required,
    Invalid,
    Unsupported,
    Duplicate,
    NotFound,
    Forbidden,
    UnknownField,
    Cycle,
    TimeoutOverPeriod,
    FailureThreshold,
    EmptyProbe,
    ProgramNotFound,
    FileNotFound,
    PortShared,
    VolumeUnused,
    PassedOver,
    LimitRaised,
}

impl Code {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "manifest::unreadable",
            Self::Empty => "manifest::empty",
            Self::Syntax => "manifest::syntax",
            Self::Limit => "manifest::limit",
            Self::Required => "manifest::required",
            Self::Invalid => "manifest::invalid",
            Self::Unsupported => "manifest::unsupported",
            Self::Duplicate => "manifest::duplicate",
            Self::NotFound => "manifest::not-found",
            Self::Forbidden => "manifest::forbidden",
            Self::UnknownField => "manifest::unknown-field",
            Self::Cycle => "manifest::cycle",
            Self::TimeoutOverPeriod => "manifest::timeout-over-period",
            Self::FailureThreshold => "manifest::failure-threshold-one",
            Self::EmptyProbe => "manifest::empty-probe",
            Self::ProgramNotFound => "manifest::program-not-found",
            Self::FileNotFound => "manifest::file-not-found",
            Self::PortShared => "manifest::port-shared",
            Self::VolumeUnused => "manifest::volume-unused",
            Self::PassedOver => "manifest::passed-over",
            Self::LimitRaised => "manifest::limit-raised",
        }
    }

    pub(crate) fn severity(self) -> Severity {
        match self {
            Self::TimeoutOverPeriod
            | Self::FailureThreshold
            | Self::EmptyProbe
            | Self::ProgramNotFound
            | Self::FileNotFound
            | Self::PortShared
            | Self::VolumeUnused
            | Self::PassedOver
            | Self::LimitRaised => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

/// A mistake before it is known which file it is in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mistake {
    pub(crate) code: Code,
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) span: Option<Range<usize>>,
    pub(crate) label: Option<String>,
    pub(crate) help: Option<String>,
    pub(crate) related: Option<(Range<usize>, String)>,
}

impl Mistake {
    pub(crate) fn new(code: Code, path: String, message: impl Into<String>) -> Self {
        Self { code, path, message: message.into(), span: None, label: None, help: None, related: None }
    }

    pub(crate) fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// What stands beside the caret.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Another place that has to do with it.
    pub(crate) fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }

    /// The headline and the help on one line, for where there is no file.
    pub(crate) fn inline(&self) -> String {
        let mut line = self.message.clone();
        if !self.path.is_empty() {
            line = format!("{}: {line}", self.path);
        }
        if let Some(help) = &self.help {
            line = format!("{line} ({help})");
        }
        line
    }
}
