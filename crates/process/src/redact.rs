//! Texts without the values of secrets.

/// What stands in a secret's place.
const BLOT: &str = "***";

/// Values shorter than this stay: blotting out every `1` or `on` would hide the text, and no secret.
const SHORTEST: usize = 4;

/// The text with every secret's value blotted out, and every line of one that has several.
pub(crate) fn redact(text: String, secrets: Vec<String>) -> String {
    let mut secrets: Vec<&str> =
        secrets.iter().flat_map(|secret| std::iter::once(secret.as_str()).chain(secret.lines())).collect();
    secrets.retain(|secret| secret.len() >= SHORTEST);
    // A secret that contains another goes first, whole.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.into_iter().fold(text, |text, secret| text.replace(secret, BLOT))
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
        assert_eq!(redact("turned on".into(), secrets(&["on", ""])), "turned on");
    }
}
