//! `cargo xtask simulate`: many virtual days, or faults made by hand that those must find.

mod mutants;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use mutants::{MUTANTS, Mutant};

/// What to simulate.
#[derive(clap::Args)]
pub(crate) struct Wanted {
    /// How many days; by default 100000, and with --mutants at most 20000 for each
    #[arg(long)]
    seeds: Option<u64>,
    /// The seed of the first day
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// The day of this seed only, with all that happens in it
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Put faults into a copy of the lifecycle, one at a time, and see that each is found
    #[arg(long)]
    mutants: bool,
    /// Only the mutants whose rule contains this
    #[arg(long, requires = "mutants")]
    only: Option<String>,
}

/// Whether no rule was broken, or with mutants, whether one was by each.
pub(crate) fn simulate(workspace: &Workspace, wanted: &Wanted) -> Result<bool> {
    if wanted.mutants {
        return find_mutants(workspace, wanted);
    }
    workspace.cargo(["build", "--release", "--package", "vitald-sim"])?;
    let mut simulator = Command::new(workspace.programs("release").join("vitald-sim"));
    match wanted.seed {
        Some(seed) => simulator.arg("--seed").arg(seed.to_string()),
        None => simulator
            .args(["--seeds", &wanted.seeds.unwrap_or(100_000).to_string()])
            .args(["--from", &wanted.from.to_string()]),
    };
    Ok(simulator.status().context("cannot start the simulator")?.success())
}

fn find_mutants(workspace: &Workspace, wanted: &Wanted) -> Result<bool> {
    let copy = Copy::make(workspace)?;
    let seeds = wanted.seeds.unwrap_or(20_000);
    if let Some(found) = copy.first_broken(wanted.from, seeds)? {
        bail!("a rule is broken without any fault put in: day {found}");
    }
    let only = wanted.only.as_deref().unwrap_or_default();
    let (mut all, mut missed) = (0, 0);
    println!("{:>7}  {:<55} found by", "days", "rule");
    for mutant in MUTANTS.iter().filter(|mutant| mutant.rule.contains(only)) {
        all += 1;
        let found = copy.with(workspace, mutant, || copy.first_broken(wanted.from, seeds))?;
        let (days, how) = match &found {
            Some(found) => found.split_once(' ').unwrap_or((found, "")),
            None => ("-", "NOT FOUND"),
        };
        missed += u64::from(found.is_none());
        let how: String = how.chars().take(110).collect();
        println!("{days:>7}  {:<55} {how}", mutant.rule);
    }
    println!("{} of {all} mutants found", all - missed);
    Ok(missed == 0 && all > 0)
}

/// A workspace of core and the simulator alone, in the target directory, to put faults into.
struct Copy {
    root: PathBuf,
}

impl Copy {
    fn make(workspace: &Workspace) -> Result<Self> {
        let root = workspace.programs("mutants");
        for part in ["crates/core", "crates/sim"] {
            let to = root.join(part);
            if to.exists() {
                fs::remove_dir_all(&to)?;
            }
            copy_all(&workspace.root().join(part), &to)?;
        }
        let manifest = fs::read_to_string(workspace.root().join("Cargo.toml"))?;
        let alone = manifest.lines().map(|line| match line {
            line if line.starts_with("members = ") => "members = [\"crates/core\", \"crates/sim\"]",
            line if line.starts_with("default-members = ") => "default-members = [\"crates/sim\"]",
            line => line,
        });
        fs::write(root.join("Cargo.toml"), alone.collect::<Vec<_>>().join("\n"))?;
        fs::copy(workspace.root().join("Cargo.lock"), root.join("Cargo.lock"))?;
        Ok(Self { root })
    }

    /// With the fault in it, and without it again afterwards.
    fn with<T>(&self, workspace: &Workspace, mutant: &Mutant, then: impl FnOnce() -> Result<T>) -> Result<T> {
        let path = self.root.join(mutant.file);
        let sound = fs::read_to_string(workspace.root().join(mutant.file))?;
        let times = sound.matches(mutant.text).count();
        if times != 1 {
            bail!(
                "mutant \"{}\": its text is {times} times in {}:\n{}",
                mutant.rule,
                mutant.file,
                mutant.text
            );
        }
        fs::write(&path, sound.replacen(mutant.text, mutant.instead, 1))?;
        let done = then().with_context(|| format!("mutant \"{}\"", mutant.rule));
        fs::write(&path, sound)?;
        done
    }

    /// How many days until a rule is broken, and which: `12 restart limit: …`.
    fn first_broken(&self, from: u64, seeds: u64) -> Result<Option<String>> {
        let target = self.root.join("target");
        let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--release", "--package", "vitald-sim"])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &target)
            // What a fault leaves unused is no matter, and most of the time goes into building.
            .env("RUSTFLAGS", "-A warnings")
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .status()
            .context("cannot start cargo")?;
        if !built.success() {
            bail!("it does not build");
        }
        let simulator = Command::new(target.join("release/vitald-sim"))
            .args(["--brief", "--seeds", &seeds.to_string(), "--from", &from.to_string()])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start the simulator")?;
        let said = String::from_utf8_lossy(&simulator.stdout).trim().to_owned();
        match simulator.status.success() {
            true => Ok(None),
            false if said.is_empty() => bail!("the simulator ended without a word"),
            false => Ok(Some(said)),
        }
    }
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_its_place() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for mutant in MUTANTS {
            let source = fs::read_to_string(root.join(mutant.file)).unwrap();
            assert_eq!(source.matches(mutant.text).count(), 1, "mutant \"{}\"", mutant.rule);
            assert_ne!(mutant.text, mutant.instead, "mutant \"{}\"", mutant.rule);
        }
    }
}
