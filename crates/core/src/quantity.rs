//! Kubernetes quantities: `512Mi`, `1.5Gi`, `500m`. Read exactly, written the shortest way.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

/// A quantity in a configuration, as it was written: a number, or a number and a unit.
///
/// ```
/// use vitald_core::quantity::Quantity;
///
/// assert_eq!(Quantity("1.5Gi".into()).bytes(), Ok(3 << 29));
/// assert_eq!(Quantity("512MB".into()).bytes().unwrap_err().to_string(), "must be a quantity, such as 512Mi");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(
    inline,
    description = "A number, or a number and a unit: `512Mi`, `1.5Gi`, `500m`.",
    extend("type" = ["string", "number"])
)]
pub struct Quantity(#[schemars(with = "serde_json::Value")] pub String);

impl Quantity {
    /// Bytes.
    ///
    /// # Errors
    /// Why it is none.
    pub fn bytes(&self) -> Result<u64, Refused> {
        bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Quantity, E> {
                Ok(Quantity(value.to_string()))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Quantity, E> {
                Ok(Quantity(value.to_string()))
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Quantity, E> {
                Ok(Quantity(value.to_string()))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Quantity, E> {
                Ok(Quantity(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The units that bytes have, the larger last.
const UNITS: [(&str, u128); 12] = [
    ("k", 1000),
    ("Ki", 1 << 10),
    ("M", 1000_u128.pow(2)),
    ("Mi", 1 << 20),
    ("G", 1000_u128.pow(3)),
    ("Gi", 1 << 30),
    ("T", 1000_u128.pow(4)),
    ("Ti", 1 << 40),
    ("P", 1000_u128.pow(5)),
    ("Pi", 1 << 50),
    ("E", 1000_u128.pow(6)),
    ("Ei", 1 << 60),
];

/// Why a text is no quantity that is of use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is not written as one.
    NotOne,
    /// It counts thousandths or less, where there are only whole ones.
    Thousandths,
    /// Below zero.
    Negative,
    /// Beyond what a `u64` holds.
    TooLarge,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOne => "must be a quantity, such as 512Mi",
            Self::Thousandths => "must be whole bytes, `m` is a thousandth of one",
            Self::Negative => "must not be negative",
            Self::TooLarge => "must be less than 16Ei",
        })
    }
}

impl std::error::Error for Refused {}

/// Bytes; a fraction of one is rounded up, as Kubernetes does.
///
/// # Errors
/// Why it is none.
pub fn bytes(text: &str) -> Result<u64, Refused> {
    match text.strip_suffix(['m', 'u', 'n']) {
        Some(number) if scaled(number, 1).is_ok() => Err(Refused::Thousandths),
        _ => scaled(text, 1),
    }
}

/// Thousandths; a fraction of one is rounded up, as Kubernetes does.
///
/// # Errors
/// Why it is none.
pub fn thousandths(text: &str) -> Result<u64, Refused> {
    scaled(text, 1000)
}

/// Bytes as Kubernetes writes them: no fraction, and the unit that makes it shortest.
pub fn show_bytes(bytes: u64) -> String {
    let exact = UNITS.iter().filter(|(_, unit)| bytes > 0 && u128::from(bytes).is_multiple_of(*unit));
    exact
        .map(|(name, unit)| format!("{}{name}", u128::from(bytes) / unit))
        .chain([bytes.to_string()])
        // Of two that are equally short, the one of powers of two is what people write.
        .min_by_key(|text| (text.len(), !text.ends_with('i')))
        .unwrap_or_default()
}

/// Thousandths as Kubernetes writes them: `1`, `1500m`.
pub fn show_thousandths(thousandths: u32) -> String {
    if thousandths.is_multiple_of(1000) {
        (thousandths / 1000).to_string()
    } else {
        format!("{thousandths}m")
    }
}

/// The number of `1/per` that `text` stands for, rounded up.
fn scaled(text: &str, per: u128) -> Result<u64, Refused> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, unit) = rest.split_at(end);
    let (times, over) = factor(unit).ok_or(Refused::NotOne)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return Err(Refused::NotOne);
    }
    let value = product(whole, fraction, times.and_then(|times| times.checked_mul(per)), over);
    match value {
        Some(0) => Ok(0),
        Some(_) | None if negative => Err(Refused::Negative),
        Some(value) => u64::try_from(value).map_err(|_| Refused::TooLarge),
        None => Err(Refused::TooLarge),
    }
}

/// What a unit multiplies with and divides by; `None` inside for what no `u128` holds.
fn factor(unit: &str) -> Option<(Option<u128>, Option<u128>)> {
    let over = |divisor| Some((Some(1), Some(divisor)));
    match unit {
        "" => over(1),
        "m" => over(1000),
        "u" => over(1_000_000),
        "n" => over(1_000_000_000),
        _ => match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, times)) => Some((Some(*times), Some(1))),
            None => {
                let exponent = unit.strip_prefix(['e', 'E'])?;
                let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return None;
                }
                let power = digits.parse().ok().and_then(|power| 10_u128.checked_pow(power));
                Some(if exponent.starts_with('-') { (Some(1), power) } else { (power, Some(1)) })
            }
        },
    }
}

/// `whole.fraction * times / over`, rounded up; `None` where it is too large for words.
fn product(whole: &str, fraction: &str, times: Option<u128>, over: Option<u128>) -> Option<u128> {
    /// More digits behind the point than this only say that there is more.
    const PRECISION: usize = 18;
    let zero = !whole.bytes().chain(fraction.bytes()).any(|digit| digit != b'0');
    if zero {
        return Some(0);
    }
    let (kept, rest) = fraction.split_at(fraction.len().min(PRECISION));
    let more = rest.bytes().any(|digit| digit != b'0');
    let whole = whole.trim_start_matches('0');
    let digits: u128 = format!("{whole}{kept}").parse().ok()?;
    let Some(over) = over.and_then(|over| over.checked_mul(10_u128.pow(kept.len() as u32))) else {
        // Next to nothing, and more than that.
        return Some(1);
    };
    let product = digits.checked_mul(times?)?;
    Some(product.div_ceil(over) + u128::from(more && product.is_multiple_of(over)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_read_as_kubernetes_reads_them() {
        for (text, expected) in [
            ("0", 0),
            ("512", 512),
            ("+512", 512),
            ("1Ki", 1024),
            ("1k", 1000),
            ("512Mi", 512 << 20),
            ("512M", 512_000_000),
            ("1.5Gi", 3 << 29),
            (".5Gi", 1 << 29),
            ("1.Gi", 1 << 30),
            ("00012Ti", 12 << 40),
            ("2T", 2_000_000_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("1e9", 1_000_000_000),
            ("1E9", 1_000_000_000),
            ("1.5e+3", 1500),
            ("1500e-3", 2),
            ("0.1", 1),
            ("1.1Gi", 1_181_116_007),
            ("1.0000000000000000000000001", 2),
            ("1e-999999999999", 1),
            ("0e999999999999", 0),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        use Refused::{Negative, NotOne, Thousandths, TooLarge};
        for (text, expected) in [
            ("", NotOne),
            (".", NotOne),
            ("Mi", NotOne),
            ("512MB", NotOne),
            ("512 Mi", NotOne),
            ("512mi", NotOne),
            ("512K", NotOne),
            ("1.2.3", NotOne),
            ("1_000", NotOne),
            ("1e", NotOne),
            ("1e5Mi", NotOne),
            ("--1", NotOne),
            ("½Gi", NotOne),
            ("Infinity", NotOne),
            ("512m", Thousandths),
            ("5u", Thousandths),
            ("-1", Negative),
            ("-1e99", Negative),
            ("16Ei", TooLarge),
            ("18446744073709551616", TooLarge),
            ("1e999999999999", TooLarge),
            (&"9".repeat(500), TooLarge),
        ] {
            assert_eq!(bytes(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn processors_are_read_as_kubernetes_reads_them() {
        for (text, expected) in [
            ("1", 1000),
            ("0.5", 500),
            ("500m", 500),
            ("1.5", 1500),
            ("0.3333", 334),
            ("100u", 1),
            ("2k", 2_000_000),
        ] {
            assert_eq!(thousandths(text), Ok(expected), "{text}");
        }
        assert_eq!(thousandths("1 core"), Err(Refused::NotOne));
    }

    #[test]
    fn shortest_forms() {
        for (bytes, expected) in [
            (0, "0"),
            (1, "1"),
            (1000, "1k"),
            (1024, "1Ki"),
            (512 << 20, "512Mi"),
            (3 << 29, "1536Mi"),
            (500_000_000, "500M"),
            (1 << 40, "1Ti"),
            (1_048_577, "1048577"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(show_bytes(bytes), expected);
        }
        assert_eq!(show_thousandths(2000), "2");
        assert_eq!(show_thousandths(1500), "1500m");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in any::<u64>(), unit in 0..UNITS.len(), small in 1u64..2000) {
            prop_assert_eq!(bytes(&show_bytes(number)), Ok(number));
            let round = u64::try_from(u128::from(small) * UNITS[unit].1).unwrap_or(number);
            prop_assert_eq!(bytes(&show_bytes(round)), Ok(round));
            prop_assert!(show_bytes(round).len() <= round.to_string().len());
            let millis = number as u32;
            prop_assert_eq!(thousandths(&show_thousandths(millis)), Ok(u64::from(millis)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+]?[0-9.]{0,40}[a-zA-Z]{0,2}[-+]?[0-9]{0,12}") {
            let _ = bytes(&text);
            let _ = thousandths(&text);
        }
    }
}
