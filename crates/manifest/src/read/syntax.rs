//! The parser's complaints, for people.

use granit_parser::{ErrorKind, ScanError};

use super::DEPTH;
use crate::mistake::{Code, Mistake};

/// The parser's complaint, in a user's words where it needs some.
pub(super) fn mistake(text: &str, err: &ScanError) -> Mistake {
    let mut offset = err.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let (code, message, help) = match err.kind() {
        ErrorKind::RecursionLimitExceeded => {
            (Code::Limit, format!("nested deeper than {DEPTH} levels"), None)
        }
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::DocumentIndicatorInQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent => {
            offset = opening_quote(text, offset);
            (Code::Syntax, "a quoted string that never ends".to_owned(), Some("add the closing quote"))
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            let close = if *open == '[' { "]" } else { "}" };
            let message = format!("`{open}` without its `{close}`");
            (Code::Syntax, message, Some("close what is open; strings that begin with a bracket need quotes"))
        }
        ErrorKind::TabInIndentation
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabInPlainScalar => {
            (Code::Syntax, "a tab where YAML wants spaces".to_owned(), Some("indent with spaces"))
        }
        ErrorKind::InvalidTrailingDoubleQuotedScalar | ErrorKind::InvalidTrailingSingleQuotedScalar => (
            Code::Syntax,
            "something follows a quoted string".to_owned(),
            Some("was a quote left out before it? A string ends at the next quote, be it lines below"),
        ),
        ErrorKind::MappingValueNotAllowed => (
            Code::Syntax,
            "`:` where no key can be".to_owned(),
            Some("check the indentation; a string with `: ` in it needs quotes"),
        ),
        ErrorKind::InvalidColonPlacement => (
            Code::Syntax,
            "`:` where no key can be".to_owned(),
            Some("is a `[` or a `{` before it left open? A string with `: ` in it needs quotes"),
        ),
        ErrorKind::SimpleKeyExpected => (
            Code::Syntax,
            "a key without its `:`".to_owned(),
            Some("write `key: value`, with a space after the colon"),
        ),
        ErrorKind::InvalidIndentation => {
            (Code::Syntax, "wrong indentation".to_owned(), Some("line it up with its siblings"))
        }
        kind => (Code::Syntax, kind.to_string(), None),
    };
    let mut mistake = Mistake::new(code, String::new(), message).at(offset..offset);
    if let Some(help) = help {
        mistake = mistake.help(help);
    }
    mistake
}

/// Where the string begins that was still open at `offset`.
fn opening_quote(text: &str, offset: usize) -> usize {
    let bytes = text.as_bytes();
    let opens = |at: &usize| {
        let before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
        matches!(bytes[*at], b'"' | b'\'') && (before.is_ascii_whitespace() || b"[{,:-?".contains(&before))
    };
    if bytes.get(offset).is_some_and(|byte| matches!(byte, b'"' | b'\'')) {
        return offset;
    }
    (0..offset).rev().find(opens).unwrap_or(offset)
}
