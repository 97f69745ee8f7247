//! `$(NAME)` in commands, arguments and environment values, as in Kubernetes.

/// Replaces each `$(NAME)` by its value. `$$` stands for `$`, so `$$(NAME)` for `$(NAME)`; a name that
/// has no value, and a `$` before anything else, stay as they are. Values are not expanded again.
pub fn expand<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match value(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&rest[at..rest.len() - tail.len()]),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::expand;

    fn check(text: &str, expected: &str) {
        let value = |name: &str| match name {
            "A" => Some("1"),
            "B" => Some("$(A)"),
            "EMPTY" => Some(""),
            _ => None,
        };
        assert_eq!(expand(text, value), expected, "{text}");
    }

    #[test]
    fn names_are_replaced_once() {
        check("x$(A)y", "x1y");
        check("$(A)$(A)", "11");
        check("$(B)", "$(A)");
        check("[$(EMPTY)]", "[]");
    }

    #[test]
    fn unknown_names_and_lone_dollars_stay() {
        check("$(NONE) $A ${A} $", "$(NONE) $A ${A} $");
        check("$(A", "$(A");
        check("$()", "$()");
        check("é$(A)é", "é1é");
    }

    #[test]
    fn two_dollars_are_one_and_escape() {
        check("$$(A)", "$(A)");
        check("$$$(A)", "$1");
        check("$$$$(A)", "$$(A)");
        check("a$$b", "a$b");
    }
}
