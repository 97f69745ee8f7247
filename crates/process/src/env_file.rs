//! Files of `NAME=value` lines, for `envFrom` and `fileKeyRef`.
//!
//! One variable a line. Blank lines and lines that begin with `#` are passed over, and so is an `export`
//! before the name. Blanks around name and value are not part of them; a value in a pair of matching
//! quotes, single or double, is what lies between. Nothing else is special: no escapes, no expansion, no
//! comment after a value. Where a name comes twice, the later counts. UTF-8, lines end in LF or CRLF.

use std::fs;
use std::io::Read;
use std::path::Path;

/// More than this is no environment.
const MAX_SIZE: u64 = 1024 * 1024;

/// Reads such a file. What it says of a mistake names file and line, and never a value.
///
/// # Errors
/// The file cannot be read, or a line is not of that form.
pub fn read(path: &Path) -> Result<Vec<(String, String)>, String> {
    let refuse = |why: String| format!("{}: {why}", path.display());
    // Looked at first: opening a pipe would wait for somebody to write to it.
    let metadata = fs::metadata(path).map_err(|err| refuse(reason(&err)))?;
    if !metadata.is_file() {
        return Err(refuse("not a regular file".to_owned()));
    }
    let file = fs::File::open(path).map_err(|err| refuse(reason(&err)))?;
    let mut text = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut text).map_err(|err| refuse(reason(&err)))?;
    if text.len() as u64 > MAX_SIZE {
        return Err(refuse("larger than 1 MiB".to_owned()));
    }
    let text = String::from_utf8(text).map_err(|_| refuse("not UTF-8".to_owned()))?;
    parse(&text).map_err(|(line, what)| format!("{}:{line}: {what}", path.display()))
}

/// The system's word for it, without the number.
fn reason(err: &std::io::Error) -> String {
    match err.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
        None => err.to_string(),
    }
}

fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, &'static str)> {
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
