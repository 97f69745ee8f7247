//! The text of a file, by lines.

/// A file's text, and where its lines begin.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Source {
    pub(crate) text: String,
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(text: String) -> Self {
        let lines = text.match_indices('\n').map(|(newline, _)| newline + 1).collect();
        Self { text, lines }
    }

    /// The line's number, counted from 1, and where it begins.
    pub(crate) fn line(&self, offset: usize) -> (usize, usize) {
        let before = self.lines.partition_point(|start| *start <= offset);
        (before + 1, if before == 0 { 0 } else { self.lines[before - 1] })
    }

    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let (line, start) = self.line(offset);
        (line, self.text[start..offset].chars().count() + 1)
    }
}
