//! What is made once and kept outside the tree.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The kept directory of this name, which `make` fills if there is none. What `make` leaves half done is not
/// kept. The name holds the version.
pub(crate) fn keep(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = cache_dir()?;
    let dir = cache.join(name);
    if dir.exists() {
        return Ok(dir);
    }
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let lock = File::create(cache.join(format!("{name}.lock")))?;
    if lock.try_lock().is_err() {
        eprintln!("xtask: another xtask is making {name}; waiting for it");
        lock.lock()?;
    }
    if dir.exists() {
        return Ok(dir);
    }
    // Whoever was interrupted here held the lock, so what is in the way is nobody's.
    let scratch = cache.join(format!("{name}.part"));
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch)?;
    make(&scratch)?;
    fs::rename(&scratch, &dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

fn cache_dir() -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let base = base.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME is set")?.join("vitald"))
}
