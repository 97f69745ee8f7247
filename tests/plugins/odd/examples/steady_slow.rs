//! A `steady` that takes two seconds, and traces begin and end of each check.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use vitald_sdk::probe::ProbeResult;

fn trace(path: &Path, word: &str) {
    if let Ok(mut file) = File::options().create(true).append(true).open(path) {
        let _ = writeln!(file, "{word}");
    }
}

async fn check(path: std::path::PathBuf) -> ProbeResult {
    trace(&path, "begin");
    tokio::time::sleep(Duration::from_secs(2)).await;
    trace(&path, "end");
    ProbeResult::Warning("slow".into())
}

odd::another_steady!(|path| check(path.to_owned()));
vitald_sdk::export_probe!(SteadyProbe);
