//! What somebody who misspelt a name may have meant.

/// A sentence's end: the nearest of `known`, else all of them, if they are few.
pub(crate) fn hint(name: &str, known: &[String]) -> String {
    let mut near: Vec<_> = known
        .iter()
        .map(|other| (strsim::damerau_levenshtein(name, other), other))
        .filter(|(distance, other)| *distance <= (name.len().min(other.len()) / 3).max(1))
        .collect();
    near.sort();
    let near: Vec<_> = near.into_iter().take(3).map(|(_, other)| format!("`{other}`")).collect();
    match known.len() {
        _ if !near.is_empty() => format!("; did you mean {}?", near.join(" or ")),
        0 => "; there are none".into(),
        1..=12 => format!("; there are: {}", known.join(", ")),
        count => format!("; `vitald status` lists all {count}"),
    }
}

/// `no component is named …`, with the nearest names.
pub(crate) fn no_component(name: &str, known: &[String]) -> String {
    format!("no component is named `{name}`{}", hint(name, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first() {
        let known = ["temporal", "workflow-runner", "web"].map(str::to_owned);
        assert_eq!(
            no_component("temproal", &known),
            "no component is named `temproal`; did you mean `temporal`?"
        );
        assert_eq!(hint("wbe", &known), "; did you mean `web`?");
        assert_eq!(hint("database", &known), "; there are: temporal, workflow-runner, web");
        assert_eq!(hint("nope", &["done".into()]), "; there are: done");
        assert_eq!(hint("x", &[]), "; there are none");
    }
}
