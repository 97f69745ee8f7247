//! The pages of `vitald explain`, in the form of `kubectl explain`.

use std::fmt::Write;

use crate::explain::{Explanation, Field};
use crate::schema::{API_VERSION, KIND};

/// Narrower than this there is no reading.
const NARROWEST: usize = 30;

/// A field, and those right below it.
pub(crate) fn page(explanation: &Explanation, width: usize) -> String {
    let mut page = head(explanation, width);
    let field = &explanation.field;
    if !field.fields.is_empty() {
        page.push_str("\nFIELDS:\n");
    }
    for (number, field) in field.fields.iter().enumerate() {
        if number > 0 {
            page.push('\n');
        }
        line(&mut page, field, 2);
        notes(&mut page, field, 2);
        // What has a page of its own says the rest there.
        let first = field.summary.split("\n\n").next().unwrap_or_default();
        let words = if field.fields.is_empty() { &field.summary } else { first };
        page.push_str(&wrapped(words, 4, width));
    }
    page
}

/// A field, and the names and types of all that is below.
pub(crate) fn tree(explanation: &Explanation, width: usize) -> String {
    fn add(page: &mut String, fields: &[Field], indent: usize) {
        for field in fields {
            line(page, field, indent);
            if !field.values.is_empty() {
                let _ = writeln!(page, "{:indent$}enum: {}", "", names(field));
            }
            add(page, &field.fields, indent + 2);
        }
    }
    let mut page = head(explanation, width);
    if !explanation.field.fields.is_empty() {
        page.push_str("\nFIELDS:\n");
    }
    add(&mut page, &explanation.field.fields, 2);
    page
}

fn head(explanation: &Explanation, width: usize) -> String {
    let field = &explanation.field;
    let mut page = format!("KIND:     {KIND}\nVERSION:  {API_VERSION}\n");
    if let Some(library) = &explanation.library {
        let _ = writeln!(page, "LIBRARY:  {library}");
    }
    page.push('\n');
    if !explanation.is_document {
        page.push_str("FIELD: ");
        let required = if field.required { " -required-" } else { "" };
        let _ = writeln!(page, "{} <{}>{required}", field.name, field.kind);
        if let Some(default) = &field.default {
            let _ = writeln!(page, "DEFAULT: {default}");
        }
        if let Some(range) = &field.range {
            let _ = writeln!(page, "RANGE: {range}");
        }
        if !field.values.is_empty() {
            page.push_str("ENUM:\n");
        }
        let widest = field.values.iter().map(|(value, _)| value.chars().count()).max().unwrap_or_default();
        for (value, meaning) in &field.values {
            let gap = if meaning.is_empty() { 0 } else { widest - value.chars().count() + 2 };
            let text = wrapped(meaning, 4 + widest + 2, width);
            let _ = writeln!(page, "    {value}{:gap$}{}", "", text.trim());
        }
        page.push('\n');
    }
    page.push_str("DESCRIPTION:\n");
    let silent = "(nothing is said about it)";
    let words = if field.description.is_empty() { silent } else { &field.description };
    page.push_str(&wrapped(words, 4, width));
    page
}

/// Name and type, and whether it must be there.
fn line(page: &mut String, field: &Field, indent: usize) {
    let required = if field.required { " -required-" } else { "" };
    let _ = writeln!(page, "{:indent$}{}\t<{}>{required}", "", field.name, field.kind);
}

fn notes(page: &mut String, field: &Field, indent: usize) {
    if !field.values.is_empty() {
        let _ = writeln!(page, "{:indent$}enum: {}", "", names(field));
    }
    if let Some(default) = &field.default {
        let _ = writeln!(page, "{:indent$}default: {default}", "");
    }
    if let Some(range) = &field.range {
        let _ = writeln!(page, "{:indent$}range: {range}", "");
    }
}

fn names(field: &Field) -> String {
    field.values.iter().map(|(value, _)| value.as_str()).collect::<Vec<_>>().join(", ")
}

/// Paragraphs as lines of at most `width`, indented. What begins like an item of a list begins a line, and lines
/// between fences stay as they are.
fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let width = width.max(NARROWEST).saturating_sub(indent).max(NARROWEST / 2);
    let mut lines: Vec<String> = Vec::new();
    let mut fenced = false;
    // Whether words may be put at the end of the last line.
    let mut flows = false;
    for line in text.trim().lines() {
        let words: String = line.chars().filter(|c| !c.is_control()).collect();
        let start = words.trim_start();
        if start.starts_with("```") {
            (fenced, flows) = (!fenced, false);
            continue;
        }
        if fenced || start.is_empty() {
            lines.push(words.trim_end().to_owned());
            flows = false;
            continue;
        }
        flows &= !["- ", "* "].iter().any(|bullet| start.starts_with(bullet));
        for word in start.split_whitespace() {
            match lines.last_mut().filter(|_| flows) {
                Some(last) if last.chars().count() + 1 + word.chars().count() <= width => {
                    last.push(' ');
                    last.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
            flows = true;
        }
    }
    let mut all = String::new();
    for line in lines {
        let indent = if line.is_empty() { 0 } else { indent };
        let _ = writeln!(all, "{:indent$}{line}", "");
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_and_keeps_its_lists_and_examples() {
        let text = "One two three\nfour.\n\nLists:\n- a b\n- c\n```\n  as it   stands, however long it may be: yes\n```\nend\u{1b}[31m";
        let expected = "  One two three four.\n\n  Lists:\n  - a b\n  - c\n    as it   stands, however long it may be: yes\n  end[31m\n";
        assert_eq!(wrapped(text, 2, 80), expected);
        assert_eq!(
            wrapped("aaaa bbbb cccc dddd eeee ffff gggg", 0, 30),
            "aaaa bbbb cccc dddd eeee ffff\ngggg\n"
        );
        let long = "x".repeat(200);
        assert_eq!(wrapped(&format!("a {long} b"), 4, 1), format!("    a\n    {long}\n    b\n"));
        assert_eq!(wrapped("", 4, 80), "");
    }
}
