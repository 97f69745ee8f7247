//! `fileAge`: healthy while a file is there that was written lately, such as the last backup.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;
use vitald_sdk::async_trait;
use vitald_sdk::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_sdk::quantity::Quantity;
use vitald_sdk::wording::system_error;

use crate::question::Question;

/// Healthy while a file is there and was written no longer than `maxAgeSeconds` ago.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileAgeSpec {
    /// The file, or a folder: its newest file then. A relative path starts at the component's working directory.
    pub path: PathBuf,
    /// How long ago it may have been written, at most, in seconds: `93600` for a backup that is made every day.
    #[schemars(range(min = 0.0))]
    pub max_age_seconds: f64,
    /// Least size, such as `1Mi`: a backup that was cut short is none. Defaults to 1 byte.
    #[serde(default = "one_byte")]
    pub min_size: Quantity,
}

fn one_byte() -> Quantity {
    Quantity("1".to_owned())
}

/// Looks at the file of a [`FileAgeSpec`].
pub struct FileAgeProbe {
    path: PathBuf,
    max_age: Duration,
    min_size: u64,
    question: Question<Option<(PathBuf, Metadata)>>,
}

impl ProbeKind for FileAgeProbe {
    const KEY: &'static str = "fileAge";
    type Spec = FileAgeSpec;

    fn build(spec: FileAgeSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        let max_age = Duration::try_from_secs_f64(spec.max_age_seconds)
            .ok()
            .filter(|age| !age.is_zero())
            .ok_or_else(|| SpecError::new("must be greater than 0").at("maxAgeSeconds"))?;
        let min_size =
            spec.min_size.bytes().map_err(|refused| SpecError::new(refused.to_string()).at("minSize"))?;
        let path = component.working_dir.join(spec.path);
        Ok(Self { path, max_age, min_size, question: Question::new() })
    }
}

#[async_trait]
impl HealthProbe for FileAgeProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let path = self.path.clone();
        let answer = timeout(cx.timeout, self.question.ask(move || newest(&path))).await;
        let path = self.path.display();
        match answer {
            Ok(Ok(Some((file, metadata)))) => self.judge(&file, &metadata),
            Ok(Ok(None)) => ProbeResult::failure(format!("there is no file in {path}")),
            Ok(Err(err)) if err.kind() == io::ErrorKind::NotFound => {
                ProbeResult::failure(format!("{path} is not there"))
            }
            Ok(Err(err)) => ProbeResult::unknown(format!("{path} cannot be seen: {}", system_error(&err))),
            Err(_elapsed) => ProbeResult::failure(format!(
                "the file system of {path} gives no answer within {} s",
                cx.timeout.as_secs_f64()
            )),
        }
    }
}

impl FileAgeProbe {
    fn judge(&self, file: &Path, metadata: &Metadata) -> ProbeResult {
        let file = file.display();
        let written = match metadata.modified() {
            Ok(written) => written,
            Err(err) => return ProbeResult::unknown(format!("{file} has no time: {}", system_error(&err))),
        };
        // One from the future was written now, by a clock that is ahead.
        let age = SystemTime::now().duration_since(written).unwrap_or_default();
        if age > self.max_age {
            let (age, max_age) = (show(age), show(self.max_age));
            return ProbeResult::failure(format!("{file} was written {age} ago, more than {max_age}"));
        }
        if metadata.len() < self.min_size {
            let (size, least) = (metadata.len(), self.min_size);
            return ProbeResult::failure(format!("{file} has {size} bytes, fewer than {least}"));
        }
        ProbeResult::Success
    }
}

/// The file itself, or the newest one of a folder.
fn newest(path: &Path) -> io::Result<Option<(PathBuf, Metadata)>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Ok(Some((path.to_owned(), metadata)));
    }
    let mut newest: Option<(PathBuf, Metadata)> = None;
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        // One that has just been removed is none.
        let Ok(metadata) = fs::metadata(&file) else { continue };
        let is_newer = |than: &Metadata| metadata.modified().ok() > than.modified().ok();
        if metadata.is_file() && newest.as_ref().is_none_or(|(_, than)| is_newer(than)) {
            newest = Some((file, metadata));
        }
    }
    Ok(newest)
}

/// In the two units that say most: `1 d 2 h`, `90 s`.
fn show(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_for_people() {
        for (seconds, shown) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (93_600, "26 h 0 min"), (180_000, "2 d 2 h")]
        {
            assert_eq!(show(Duration::from_secs(seconds)), shown);
        }
    }
}
