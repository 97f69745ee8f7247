//! Whether what a query gave is good.

use tokio_postgres::types::Type;
use vitald_sdk::probe::ProbeResult;

/// Between which numbers an answer must lie.
pub(crate) struct Expected {
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl Expected {
    /// `row` is the first value of the first row, as PostgreSQL writes it; `None` inside is NULL.
    pub(crate) fn judge(&self, row: Option<Option<&str>>, of: &Type) -> ProbeResult {
        let value = match row {
            None => return ProbeResult::failure("the query gives no row"),
            Some(None) => return ProbeResult::failure("the query gives NULL"),
            Some(Some(value)) => value,
        };
        if self.min.is_none() && self.max.is_none() {
            return match *of == Type::BOOL && value == "f" {
                true => ProbeResult::failure("the query gives false"),
                false => ProbeResult::Success,
            };
        }
        let number = is_number(of).then(|| value.parse::<f64>().ok()).flatten();
        let Some(number) = number.filter(|number| !number.is_nan()) else {
            return ProbeResult::unknown(format!(
                "the query gives `{value}`, a {of}: `min` and `max` are for numbers, such as `extract(epoch \
                 from …)` gives"
            ));
        };
        match (self.min, self.max) {
            (_, Some(max)) if number > max => {
                ProbeResult::failure(format!("the query gives {value}, more than {max}"))
            }
            (Some(min), _) if number < min => {
                ProbeResult::failure(format!("the query gives {value}, less than {min}"))
            }
            _ => ProbeResult::Success,
        }
    }
}

fn is_number(of: &Type) -> bool {
    let numbers = [Type::INT2, Type::INT4, Type::INT8, Type::FLOAT4, Type::FLOAT8, Type::NUMERIC, Type::OID];
    numbers.contains(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(min: Option<f64>, max: Option<f64>, value: &str, of: Type) -> ProbeResult {
        Expected { min, max }.judge(Some(Some(value)), &of)
    }

    #[test]
    fn without_limits_only_false_and_nothing_are_bad() {
        let any = Expected { min: None, max: None };
        assert_eq!(any.judge(None, &Type::BOOL), ProbeResult::failure("the query gives no row"));
        assert_eq!(any.judge(Some(None), &Type::INT4), ProbeResult::failure("the query gives NULL"));
        assert_eq!(judge(None, None, "f", Type::BOOL), ProbeResult::failure("the query gives false"));
        for (value, of) in [("t", Type::BOOL), ("f", Type::TEXT), ("0", Type::INT4), ("", Type::TEXT)] {
            assert_eq!(judge(None, None, value, of), ProbeResult::Success, "{value}");
        }
    }

    #[test]
    fn limits_are_for_numbers_and_included() {
        let within = |value, of| judge(Some(1.0), Some(10.5), value, of);
        assert_eq!(within("1", Type::INT8), ProbeResult::Success);
        assert_eq!(within("10.50", Type::NUMERIC), ProbeResult::Success);
        assert_eq!(within("11", Type::INT4), ProbeResult::failure("the query gives 11, more than 10.5"));
        assert_eq!(within("0.99", Type::FLOAT8), ProbeResult::failure("the query gives 0.99, less than 1"));
        for (value, of) in [("5", Type::TEXT), ("NaN", Type::FLOAT8)] {
            let verdict = within(value, of.clone());
            assert!(matches!(verdict, ProbeResult::Unknown(_)), "{verdict:?}");
            let begin = format!("the query gives `{value}`, a {of}: ");
            assert!(verdict.message().starts_with(&begin), "{verdict:?}");
        }
    }
}
