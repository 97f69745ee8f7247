//! Regular expressions for the lines of a log, as manifests have them (`mustMatch`, `mustNotMatch`): compiled in
//! bounded memory, refused where they would match everything, and shown where they match.

use regex::bytes::{Regex, RegexBuilder};
use vitald_core::probe::SpecError;
use vitald_core::wording::excerpt;

/// Most memory that a compiled pattern may take: room for what people write, not for `(\w{100}){100}`.
const MOST: usize = 1 << 20;

/// Compiles the pattern of a field.
///
/// # Errors
/// It is no regular expression, too large a one, or matches every line: said at `field`.
pub fn compile(pattern: &str, field: &str) -> Result<Regex, SpecError> {
    let built = RegexBuilder::new(pattern).size_limit(MOST).dfa_size_limit(MOST).build();
    let wrong = match built {
        Ok(regex) if regex.is_match(b"") => {
            "must not match an empty line: then it matches every line".to_owned()
        }
        Ok(regex) => return Ok(regex),
        Err(regex::Error::CompiledTooBig(_)) => {
            "must be a smaller regular expression: compiled it takes more than 1 MiB".to_owned()
        }
        Err(err) => format!("must be a regular expression: {}", syntax_error(&err.to_string())),
    };
    Err(SpecError::new(wrong).at(field))
}

/// The many lines of the parser's error as one: what is wrong, and at which character.
fn syntax_error(text: &str) -> String {
    let what = text.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it cannot be parsed");
    // The pattern is indented by four, and underlined.
    let is_mark = |line: &&str| line.contains('^') && line.chars().all(|c| c == ' ' || c == '^');
    let column = text.lines().find(is_mark).and_then(|line| line.find('^')?.checked_sub(3));
    match column {
        Some(column) => format!("{what}, at character {column}"),
        None => what.to_owned(),
    }
}

/// A line from a little before byte `at` on, where it matches: safe to show.
pub fn excerpt_at(line: &[u8], at: usize) -> String {
    const BEFORE: usize = 80;
    let start = at.saturating_sub(BEFORE);
    let shown = excerpt(&String::from_utf8_lossy(&line[start..]));
    if start > 0 { format!("…{shown}") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_error_is_told_in_one_line() {
        let wrong = |pattern: &str| compile(pattern, "mustMatch").unwrap_err().to_string();
        assert_eq!(wrong("a(b"), "mustMatch: must be a regular expression: unclosed group, at character 2");
        assert!(wrong(r"(?P<n>a)\1").contains("backreferences are not supported, at character 9"));
        assert!(wrong("(\\w{100}){100}").contains("smaller"));
        assert!(wrong("a*").contains("empty line"));
        assert!(wrong("a(\nb").starts_with("mustMatch: must be a regular expression: unclosed group"));
    }

    #[test]
    fn a_long_line_is_shown_where_it_matches() {
        let line = [&b"x".repeat(5000)[..], b"\x1b[31mpanicked\x07 at", &b"y".repeat(5000)].concat();
        let shown = excerpt_at(&line, 5005);
        assert!(shown.starts_with("…xxx") && shown.contains("xpanicked at"), "{shown}");
        assert!(shown.chars().count() < 210 && !shown.contains(char::is_control), "{shown}");
    }
}
