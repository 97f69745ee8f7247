//! The name that was probably meant.

use std::path::PathBuf;

/// The candidate nearest to `name`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let length = name.chars().count();
    if length > 64 {
        return None;
    }
    let distance = |candidate: &str| {
        let exact = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
        // `httpget` for `httpGet`, `tcp` for `tcpSocket`, `period` for `periodSeconds`.
        let prefix = length >= 3 && candidate.to_lowercase().starts_with(&lower);
        if prefix { exact.min(1) } else { exact }
    };
    candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (length.max(candidate.chars().count()) / 3).clamp(1, 3))
        .filter(|(distance, candidate)| *distance < length.max(candidate.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ``did you mean `name`?``
pub(crate) fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// `a, b and c` or `a, b or c`.
pub(crate) fn list(names: &[&str], last: &str) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [rest @ .., end] => format!("{} {last} {end}", rest.join(", ")),
    }
}

/// Adds to what is told of a handler that nobody has where it may be: in a library that was refused.
pub(crate) fn or_refused(help: String, libraries: &[PathBuf]) -> String {
    if libraries.is_empty() {
        return help;
    }
    let files: Vec<String> = libraries.iter().map(|file| file.display().to_string()).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let which = if files.len() == 1 { "a library that was" } else { "one of the libraries that were" };
    let then = if help.ends_with('?') { " if not," } else { ";" };
    let files = list(&files, "or");
    format!("{help}{then} it may be of {which} refused, {files}: `vitald plugin list` says why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let fields = [
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
            "httpGet",
            "tcpSocket",
            "grpc",
            "periodSeconds",
        ];
        let check = |name, expected| assert_eq!(nearest(name, fields), expected, "{name}");
        check("livenesProbe", Some("livenessProbe"));
        check("liveness_probe", Some("livenessProbe"));
        check("httpget", Some("httpGet"));
        check("htpGet", Some("httpGet"));
        check("grcp", Some("grpc"));
        check("tcp", Some("tcpSocket"));
        check("period", Some("periodSeconds"));
        check("kafka", None);
        check("x", None);
        check("", None);
    }
}
