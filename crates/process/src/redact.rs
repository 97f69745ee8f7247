//! Texts without the values of secrets.

/// What stands in a secret's place.
const BLOT: &str = "***";

/// Values shorter than this stay: blotting out every `1` or `on` would hide the text, and no secret.
const SHORTEST: usize = 4;

/// The text with every secret's value blotted out, and every line of one that has several; also where runs
/// of blanks have become one.
pub fn redact(text: String, secrets: Vec<String>) -> String {
    let mut forms: Vec<String> = Vec::new();
    for secret in &secrets {
        for form in std::iter::once(secret.as_str()).chain(secret.lines()) {
            forms.push(form.to_owned());
            forms.push(form.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    forms.retain(|form| form.trim().len() >= SHORTEST);
    // A secret that contains another goes first, whole.
    forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    forms.dedup();
    forms.into_iter().fold(text, |text, form| text.replace(&form, BLOT))
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn blots_out_secrets_and_what_contains_them() {
        let secrets = |secrets: &[&str]| secrets.iter().map(|s| (*s).to_owned()).collect();
        assert_eq!(
            redact("login with s3cret refused".into(), secrets(&["s3cret"])),
            "login with *** refused"
        );
        assert_eq!(redact("a s3cret2 b".into(), secrets(&["s3cret", "s3cret2"])), "a *** b");
        assert_eq!(redact("key: line-one".into(), secrets(&["line-one\nline-two"])), "key: ***");
        let spaced = || secrets(&["tok  en\t0123", "first \n  second"]);
        assert_eq!(redact("a tok  en\t0123 b".into(), spaced()), "a *** b");
        assert_eq!(redact("a tok en 0123 b".into(), spaced()), "a *** b");
        assert_eq!(redact("a first second b".into(), spaced()), "a *** b");
        assert_eq!(redact("a     b".into(), secrets(&["     "])), "a     b");
        assert_eq!(redact("turned on".into(), secrets(&["on", ""])), "turned on");
    }
}
