//! `diskSpace`: healthy while a file system has room, for bytes and for new files.
//!
//! Room is what `df` calls available: what the system keeps for root does not count.

use std::io;
use std::path::PathBuf;

use rustix::fs::{StatVfs, statvfs};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;
use vitald_sdk::async_trait;
use vitald_sdk::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_sdk::quantity::Quantity;
use vitald_sdk::wording::system_error;

use crate::question::Question;

/// Healthy while the file system of `path` has room left.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskSpaceSpec {
    /// Any file or folder of the file system; a relative one starts at the component's working directory.
    pub path: PathBuf,
    /// Least room: a quantity such as `5Gi`, or a share of the whole such as `10%`.
    pub min_free: Option<Quantity>,
    /// Fewest inodes free, each of which is a file or folder more: a number, or a share of all such as `5%`.
    pub min_free_inodes: Option<Quantity>,
}

/// Asks the file system of a [`DiskSpaceSpec`].
pub struct DiskSpaceProbe {
    path: PathBuf,
    min_free: Option<Least>,
    min_free_inodes: Option<Least>,
    question: Question<StatVfs>,
}

impl ProbeKind for DiskSpaceProbe {
    const KEY: &'static str = "diskSpace";
    type Spec = DiskSpaceSpec;

    fn build(spec: DiskSpaceSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        let least = |of: Option<Quantity>, field| of.map(|of| Least::read(&of, field)).transpose();
        let min_free = least(spec.min_free, "minFree")?;
        let min_free_inodes = least(spec.min_free_inodes, "minFreeInodes")?;
        if min_free.is_none() && min_free_inodes.is_none() {
            return Err(SpecError::required("minFree, minFreeInodes or both must say how much").at("minFree"));
        }
        let path = component.working_dir.join(spec.path);
        Ok(Self { path, min_free, min_free_inodes, question: Question::new() })
    }
}

#[async_trait]
impl HealthProbe for DiskSpaceProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let path = self.path.clone();
        let answer = timeout(cx.timeout, self.question.ask(move || Ok(statvfs(path)?))).await;
        let path = self.path.display();
        match answer {
            Ok(Ok(found)) => self.judge(&found),
            Ok(Err(err)) if err.kind() == io::ErrorKind::NotFound => {
                ProbeResult::failure(format!("{path} is not there"))
            }
            Ok(Err(err)) => ProbeResult::unknown(format!("{path} cannot be asked: {}", system_error(&err))),
            Err(_elapsed) => ProbeResult::failure(format!(
                "the file system of {path} gives no answer within {} s",
                cx.timeout.as_secs_f64()
            )),
        }
    }
}

impl DiskSpaceProbe {
    fn judge(&self, found: &StatVfs) -> ProbeResult {
        let path = self.path.display();
        let mut wrong = Vec::new();
        if let Some(least) = &self.min_free {
            let unit = if found.f_frsize == 0 { found.f_bsize } else { found.f_frsize };
            let (free, used) = (found.f_bavail * unit, (found.f_blocks - found.f_bfree) * unit);
            if !least.is_met(free, free + used) {
                wrong.push(format!("{} free, less than {least}", least.show(free, free + used, show_bytes)));
            }
        }
        if let Some(least) = &self.min_free_inodes {
            if found.f_files == 0 {
                return ProbeResult::unknown(format!("the file system of {path} does not count inodes"));
            }
            let (free, all) = (found.f_favail, found.f_files);
            if !least.is_met(free, all) {
                let free = least.show(free, all, |inodes| inodes.to_string());
                wrong.push(format!("{free} inodes free, less than {least}"));
            }
        }
        match wrong.is_empty() {
            true => ProbeResult::Success,
            false => ProbeResult::failure(format!("the file system of {path} has {}", wrong.join(", and "))),
        }
    }
}

/// How much must be free, at least.
#[derive(Debug)]
struct Least {
    amount: Amount,
    /// As it was written.
    text: String,
}

#[derive(Debug)]
enum Amount {
    /// Bytes or inodes.
    Number(u64),
    /// Percent of all.
    Share(f64),
}

impl Least {
    fn read(of: &Quantity, field: &str) -> Result<Self, SpecError> {
        let text = of.0.clone();
        let share = text.strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
        let amount = match share {
            Some(share) if (0.0..=100.0).contains(&share) => Amount::Share(share),
            Some(_) => return Err(SpecError::new("must be a share from 0% to 100%").at(field)),
            None => Amount::Number(of.bytes().map_err(|refused| {
                SpecError::new(format!("{refused}; or a share, such as 10%")).at(field)
            })?),
        };
        Ok(Self { amount, text })
    }

    fn is_met(&self, free: u64, all: u64) -> bool {
        match self.amount {
            Amount::Number(least) => free >= least,
            Amount::Share(percent) => free as f64 * 100.0 >= percent * all as f64,
        }
    }

    /// What is free, as the limit is given: in percent, or by `number`.
    fn show(&self, free: u64, all: u64, number: impl Fn(u64) -> String) -> String {
        match self.amount {
            Amount::Number(_) => number(free),
            Amount::Share(_) if all == 0 => "0 %".to_owned(),
            // Rounded down: what is too little looks too little.
            Amount::Share(_) => format!("{} %", (free as f64 * 1000.0 / all as f64).floor() / 10.0),
        }
    }
}

impl std::fmt::Display for Least {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// To a tenth of the unit that fits, rounded down.
fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = bytes.checked_ilog2().map_or(0, |log| log / 10);
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    match tenths % 10 {
        0 => format!("{} {}", tenths / 10, UNITS[power as usize]),
        tenth => format!("{}.{tenth} {}", tenths / 10, UNITS[power as usize]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            ((5 << 30) - 1, "4.9 GiB"),
            (5 << 30, "5 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(show_bytes(bytes), shown);
        }
    }

    #[test]
    fn a_share_is_one_of_what_is_free_and_used() {
        let least = |text: &str| Least::read(&Quantity(text.into()), "minFree").unwrap();
        assert!(least("10%").is_met(10, 100) && !least("10.5%").is_met(10, 100));
        assert!(least("10").is_met(10, 100) && !least("1k").is_met(999, 100));
        assert_eq!(least("10%").show(999, 10_000, show_bytes), "9.9 %");
    }
}
