//! Texts without the values of secrets.

/// What stands in a secret's place.
const BLOT: &str = "***";

/// Values shorter than this stay: blotting out every `1` or `on` would hide the text, and no secret.
const SHORTEST: usize = 4;

/// What those who quote put where they have left something out.
const CUT: char = '…';

/// The text with every secret's value blotted out, and every line of one that has several; also where runs
/// of blanks have become one, and where a quotation was cut in the middle of a value.
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
    let text = forms.iter().fold(text, |text, form| text.replace(form, BLOT));
    if text.contains(CUT) { without_halves(&text, &forms) } else { text }
}

/// The text with what a cut has left of a value blotted out, unless that is too short to tell anything.
fn without_halves(text: &str, forms: &[String]) -> String {
    let last = text.matches(CUT).count();
    let pieces = text.split(CUT).enumerate().map(|(index, piece)| {
        let beginning = (index < last).then(|| longest(forms, |form| beginning_at_end(piece, form)));
        let piece = &piece[..piece.len() - beginning.unwrap_or(0)];
        let end = (index > 0).then(|| longest(forms, |form| end_at_beginning(piece, form)));
        let rest = &piece[end.unwrap_or(0)..];
        let blot = |length: Option<usize>| if length.unwrap_or(0) > 0 { BLOT } else { "" };
        format!("{}{rest}{}", blot(end), blot(beginning))
    });
    pieces.collect::<Vec<_>>().join(&CUT.to_string())
}

fn longest(forms: &[String], left: impl Fn(&str) -> Option<usize>) -> usize {
    forms.iter().filter_map(|form| left(form)).max().unwrap_or(0)
}

/// How much of a value's beginning is at the end of a piece.
fn beginning_at_end(piece: &str, form: &str) -> Option<usize> {
    let lengths = (SHORTEST..form.len()).rev();
    lengths.into_iter().find(|length| form.get(..*length).is_some_and(|half| piece.ends_with(half)))
}

/// How much of a value's end is at the beginning of a piece.
fn end_at_beginning(piece: &str, form: &str) -> Option<usize> {
    let lengths = (SHORTEST..form.len()).rev();
    let half = |length: usize| form.get(form.len() - length..);
    lengths.into_iter().find(|length| half(*length).is_some_and(|half| piece.starts_with(half)))
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

    #[test]
    fn blots_out_what_a_cut_has_left_of_a_secret() {
        let told = |text: &str| redact(text.into(), vec!["s3cret-value é".into(), "first\n  second".into()]);
        for (text, shown) in [
            ("login with s3cret-va…", "login with ***…"),
            ("…ret-value é: panic", "…***: panic"),
            ("…-value é login s3cr…: and so on", "…*** login ***…: and so on"),
            ("s3cr…value é", "***…***"),
            ("key: first seco…", "key: *** ***…"),
            ("login with s3c…", "login with s3c…"),
            ("login with s3cret-va", "login with s3cret-va"),
            ("s3cr… …alue é", "***… …***"),
            ("all of s3cret-value é…", "all of ***…"),
            ("……", "……"),
        ] {
            assert_eq!(told(text), shown);
        }
    }
}
