//! `vitald plugin new`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::cli::PluginNew;
use crate::exit::{Exit, Failure, Outcome};
use crate::new_probe::{self, Names, Sdk};
use crate::output;

/// Makes a crate with a probe that works.
pub(crate) fn run(args: &PluginNew) -> Outcome {
    let names = Names::of(&args.name, args.probe.as_deref()).map_err(Failure::usage)?;
    // `disk-space` reads better than `./disk-space`.
    let here = args.dir == Path::new(".");
    let folder = if here { PathBuf::from(&names.package) } else { args.dir.join(&names.package) };
    let sdk = match &args.sdk {
        None => Sdk::Along,
        Some(given) => Sdk::At(sdk(given, &args.dir)?),
    };
    let shown = folder.display();
    new_probe::write(&folder, &names, &sdk).map_err(|err| match err.kind() {
        ErrorKind::AlreadyExists => Failure::not(format!(
            "{shown} is there already, and is left as it is: remove it, or choose another name"
        )),
        ErrorKind::NotFound => {
            Failure::not(format!("cannot make {shown}: there is no folder {}", args.dir.display()))
        }
        _ => Failure::not(format!("cannot make {shown}: {err}")),
    })?;
    output::bytes(told(&folder, &names, &sdk).as_bytes())?;
    Ok(Exit::Done)
}

/// What was written, and what to do with it.
fn told(folder: &Path, names: &Names, sdk: &Sdk) -> String {
    let Names { package, key } = names;
    let along = match sdk {
        Sdk::Along => format!("  {:<11} the SDK that it is built with\n", format!("{}/", new_probe::ALONG)),
        Sdk::At(_) => String::new(),
    };
    format!(
        "Made {folder}, a crate with the probe `{key}`. It works as it stands, to be made yours:

  Cargo.toml  the package `{package}`
  src/lib.rs  the probe, and its tests
  README.md   how to build and use it
{along}
Next:

  cd {folder} && cargo test
  cargo build --release
  vitald --plugin-dir target/release check {key} path=Cargo.toml maxAgeSeconds=1e9
",
        folder = folder.display(),
    )
}

/// The SDK's folder as the new crate's `Cargo.toml` has it: relative, if it was given so.
fn sdk(given: &Path, dir: &Path) -> Result<PathBuf, Failure> {
    let not = |why: String| Failure::usage(format!("--sdk {}: {why}", given.display()));
    let found =
        [given.to_owned(), given.join("crates/sdk")].into_iter().find(|folder| new_probe::is_sdk(folder));
    let found = found.ok_or_else(|| {
        not("the package `vitald-sdk` is not there; it is crates/sdk of vitald's sources".into())
    })?;
    let found = found.canonicalize().map_err(|err| not(err.to_string()))?;
    if given.is_absolute() {
        return Ok(found);
    }
    let dir = dir.canonicalize().map_err(|err| Failure::not(format!("--dir {}: {err}", dir.display())))?;
    Ok(Path::new("..").join(between(&dir, &found)))
}

/// The way from one absolute folder to another.
fn between(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Path::new("..").as_os_str());
    up.chain(to.components().skip(shared).map(|step| step.as_os_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_folders() {
        let way = |from: &str, to: &str| between(Path::new(from), Path::new(to)).display().to_string();
        assert_eq!(way("/a/b", "/a/c/d"), "../c/d");
        assert_eq!(way("/a", "/a/b"), "b");
        assert_eq!(way("/", "/a"), "a");
    }
}
