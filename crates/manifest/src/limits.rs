//! `resources.limits` and `logs`: quantities that make sense as limits of a component.

use vitald_core::quantity::{self, Quantity, Refused};

use crate::mistake::Code;
use crate::model::Modeller;
use crate::nearest::did_you_mean;
use crate::typed::At;

/// A small program in C starts with less than this; hardly any other does.
const LEAST_MEMORY: u64 = 1 << 20;
/// Four blocks of the usual file system: what is rotated is whole blocks.
const LEAST_LOG: u64 = 16 << 10;
/// From here on, the kernel knows no number.
const MOST_MEMORY: u64 = 1 << 63;
/// 1 ms, the shortest quota, in 100 ms, the period: cpu.max of cgroup v2. The kubelet raises to it, too.
const LEAST_CPU: u32 = 10;

const MEMORY_UNITS: &str =
    "a number of bytes, or one with a unit: Ki, Mi, Gi, Ti (of 1024), k, M, G, T (of 1000)";
const CPU_UNITS: &str = "`1` is one processor, `500m` or `0.5` half of one";

impl Modeller<'_> {
    /// Bytes.
    pub(crate) fn memory(&mut self, at: &At<Quantity>) -> Option<u64> {
        self.bytes(at, LEAST_MEMORY, "512Mi", Some("leave it out for no limit"))
    }

    /// Bytes.
    pub(crate) fn log_size(&mut self, at: &At<Quantity>) -> Option<u64> {
        self.bytes(at, LEAST_LOG, "50Mi", Some("leave it out for 50Mi"))
    }

    fn bytes(&mut self, at: &At<Quantity>, least: u64, such_as: &str, if_none: Option<&str>) -> Option<u64> {
        let text = at.0.as_str();
        let (rule, help) = match read_bytes(text, least, such_as) {
            Ok(bytes) => return Some(bytes),
            Err(refused) => refused,
        };
        let meant = meant_memory(text)
            .filter(|meant| quantity::bytes(meant).is_ok_and(|bytes| (least..MOST_MEMORY).contains(&bytes)));
        let help = if_none.filter(|_| help).map(str::to_owned);
        let help = help.or_else(|| meant.map(|meant| did_you_mean(&meant)));
        self.limit(at, &rule, &help.unwrap_or_else(|| MEMORY_UNITS.to_owned()))
    }

    /// Thousandths of a processor.
    pub(crate) fn cpu(&mut self, at: &At<Quantity>) -> Option<u32> {
        let text = at.0.as_str();
        let read = quantity::thousandths(text);
        let too_large = format!("must be at most {}", u32::MAX / 1000);
        let (rule, help) = match read.map(u32::try_from) {
            Ok(Ok(0)) | Err(Refused::Negative) => ("must be at least 1m", Some("leave it out for no limit")),
            Ok(Ok(millis)) => return Some(millis.max(LEAST_CPU)),
            Ok(Err(_)) | Err(Refused::TooLarge) => (too_large.as_str(), None),
            Err(Refused::NotOne | Refused::Thousandths) => ("must be a quantity, such as 500m", None),
        };
        let meant = meant_cpu(text).filter(|meant| {
            quantity::thousandths(meant).is_ok_and(|millis| millis > 0 && u32::try_from(millis).is_ok())
        });
        let help = help.map(str::to_owned).or_else(|| meant.map(|meant| did_you_mean(&meant)));
        self.limit(at, rule, &help.unwrap_or_else(|| CPU_UNITS.to_owned()))
    }

    fn limit<T>(&mut self, at: &At<Quantity>, rule: &str, help: &str) -> Option<T> {
        let shown = self.tree.value(at.id).show().unwrap_or_default();
        let message = format!("invalid value {shown}: {rule}");
        let mistake = self.at(Code::Invalid, at.id, message).label(rule).help(help);
        self.mistakes.push(mistake);
        None
    }
}

/// Bytes, as `512Mi` or the like says them.
///
/// # Errors
/// What must be.
pub fn bytes(text: &str, least: u64) -> Result<u64, String> {
    read_bytes(text, least, "512Mi").map_err(|(rule, _)| rule)
}

/// The rule that is broken, and whether nothing at all may have been meant.
fn read_bytes(text: &str, least: u64, such_as: &str) -> Result<u64, (String, bool)> {
    let too_little = || format!("must be at least {}", quantity::show_bytes(least));
    match quantity::bytes(text) {
        Ok(bytes) if bytes >= MOST_MEMORY => Err(("must be less than 8Ei".into(), false)),
        Ok(bytes) if bytes >= least => Ok(bytes),
        Ok(0) | Err(Refused::Negative) => Err((too_little(), true)),
        Ok(_) => Err((too_little(), false)),
        Err(Refused::NotOne) => Err((format!("must be a quantity, such as {such_as}"), false)),
        Err(refused @ Refused::Thousandths) => Err((refused.to_string(), false)),
        Err(Refused::TooLarge) => Err(("must be less than 8Ei".into(), false)),
    }
}

/// `512Mi` for `512`, `512MB`, `512m` and the like, as Docker and others take them.
fn meant_memory(text: &str) -> Option<String> {
    let (number, unit) = parts(text);
    let unit = match unit.to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "k" => "Ki",
        "" | "m" | "meg" => "Mi",
        "g" | "gig" => "Gi",
        "t" => "Ti",
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}

/// `500m` for `500M`, `500 m` and `50%`, `2` for `2 cores`.
fn meant_cpu(text: &str) -> Option<String> {
    let (number, unit) = parts(text);
    match unit.to_ascii_lowercase().as_str() {
        "m" | "millicores" | "millicpu" => Some(format!("{number}m")),
        "" | "cpu" | "cpus" | "core" | "cores" => Some(number.to_owned()),
        "%" => number.parse().ok().map(|share: u32| quantity::show_thousandths(share.saturating_mul(10))),
        _ => None,
    }
}

/// A number, and what stands behind it.
fn parts(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}
