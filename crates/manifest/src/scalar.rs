//! What a plain scalar means: YAML 1.2's core schema, and nothing of 1.1 (`yes` is a string).

use crate::tree::Value;

/// Resolves an unquoted scalar. Numbers with a leading zero stay strings: 1.1 and 1.2 disagree on them.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    integer(text).or_else(|| float(text)).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn integer(text: &str) -> Option<Value> {
    let based = |digits: &str, radix| {
        let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        valid.then(|| i128::from_str_radix(digits, radix).ok().map(Value::Int))?
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return based(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return based(digits, 8);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (plain && !leading_zero).then(|| text.parse().ok().map(Value::Int))?
}

fn float(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    let number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    // What no number holds stays a string, as for Kubernetes and what writes YAML here: `1e30644` is a hash.
    let value = text.parse().ok().filter(|value: &f64| value.is_finite());
    (number && !leading_zero).then_some(value?).map(Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars() {
        for (text, value) in [
            ("8080", Value::Int(8080)),
            ("-1", Value::Int(-1)),
            ("0", Value::Int(0)),
            ("0x1F", Value::Int(31)),
            ("0.25", Value::Float(0.25)),
            (".5", Value::Float(0.5)),
            ("1e3", Value::Float(1000.0)),
            ("true", Value::Bool(true)),
            ("~", Value::Null),
            ("", Value::Null),
        ] {
            assert_eq!(resolve(text), value, "{text}");
        }
        assert!(matches!(resolve(".nan"), Value::Float(x) if x.is_nan()));
        assert!(matches!(resolve("99999999999999999999999999999999999999999"), Value::Float(_)));
        for text in [
            "yes",
            "off",
            "0644",
            "00.5",
            "1.2.3",
            "-",
            ".",
            "1e",
            "0x",
            "1_000",
            "e5",
            "127.0.0.1",
            "1e30644",
        ] {
            assert_eq!(resolve(text), Value::String(text.to_owned()));
        }
    }
}
