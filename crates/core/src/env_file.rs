//! The text of files of `NAME=value` lines, for `envFrom` and `fileKeyRef`.
//!
//! One variable a line. Blank lines and lines that begin with `#` are passed over, and so is an `export`
//! before the name. Blanks around name and value are not part of them; a value in a pair of matching
//! quotes, single or double, is what lies between. Nothing else is special: no escapes, no expansion, no
//! comment after a value. Where a name comes twice, the later counts. UTF-8, lines end in LF or CRLF.

/// Reads such a text: the variables in its order.
///
/// # Errors
/// The first line that is not of that form, counted from 1, and what is wrong with it; never a value.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, &'static str)> {
    let mut variables = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refuse = |what| (index + 1, what);
        let (name, value) = line.split_once('=').ok_or_else(|| refuse("expected NAME=value"))?;
        let name = name.trim();
        let name = match name.split_once(char::is_whitespace) {
            Some(("export", name)) => name.trim_start(),
            _ => name,
        };
        if name.contains(char::is_whitespace) {
            return Err(refuse("expected NAME=value"));
        }
        if name.is_empty() {
            return Err(refuse("there is no name before `=`"));
        }
        if value.contains('\0') {
            return Err(refuse("the value holds a NUL"));
        }
        variables.push((name.to_owned(), unquoted(value.trim()).to_owned()));
    }
    Ok(variables)
}

fn unquoted(value: &str) -> &str {
    ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let parsed = parse(text).unwrap();
        let parsed: Vec<_> = parsed.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(parsed, expected, "{text:?}");
    }

    #[test]
    fn the_usual_forms_are_read() {
        check("A=1\nB=2\n", &[("A", "1"), ("B", "2")]);
        check("\u{feff}A=1\r\n\r\n# B=2\r\n  C = 3 \r\n", &[("A", "1"), ("C", "3")]);
        check("export A=1\nexport\tB=2", &[("A", "1"), ("B", "2")]);
        check("A=\nB=a=b\nC=a # b", &[("A", ""), ("B", "a=b"), ("C", "a # b")]);
    }

    #[test]
    fn only_matching_quotes_are_taken_off() {
        check(
            "A=\" x \"\nB='y'\nC=\"z'\nD=\"\nE=\"\"",
            &[("A", " x "), ("B", "y"), ("C", "\"z'"), ("D", "\""), ("E", "")],
        );
        check("A=$(B) \\n", &[("A", "$(B) \\n")]);
    }

    #[test]
    fn mistakes_name_the_line_and_no_value() {
        assert_eq!(parse("A=1\nhunter2\n"), Err((2, "expected NAME=value")));
        assert_eq!(parse("\n=hunter2"), Err((2, "there is no name before `=`")));
        assert_eq!(parse("A B=hunter2"), Err((1, "expected NAME=value")));
        assert_eq!(parse("export A B=hunter2"), Err((1, "expected NAME=value")));
    }
}
