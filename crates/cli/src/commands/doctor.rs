//! `vitald doctor`.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anstyle::AnsiColor;
use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use vitald_log::{Capabilities, Way};
use vitald_process::Capability;

use crate::cli::{Format, Listing};
use crate::exit::{Exit, Outcome};
use crate::places::{ANOTHER_PLACE, Places};
use crate::{output, plugins, scope};

/// Shows what this machine offers, and what is degraded where it does not.
pub(crate) async fn run(args: &Listing, places: &Places) -> Outcome {
    let mut findings: Vec<Finding> = vitald_process::capabilities().into_iter().map(Finding::from).collect();
    findings.push(state(&places.state()));
    findings.push(privacy(&places.state()));
    findings.push(rotation(&places.state()));
    findings.extend(plugin_folders(places));
    findings.push(Finding::from(vitald_container::capability().await));
    findings.push(systemd());
    findings.extend(lingering());
    let all_essential = findings.iter().all(|finding| finding.available || !finding.essential);
    match args.output {
        Format::Json => output::json(&Findings { findings })?,
        Format::Yaml => output::yaml(&Findings { findings })?,
        Format::Table | Format::Wide => output::bytes(text(&findings, output::colour()).as_bytes())?,
    }
    Ok(if all_essential { Exit::Done } else { Exit::Not })
}

/// What `-o json` gives.
#[derive(Serialize)]
struct Findings {
    findings: Vec<Finding>,
}

/// Something that the machine may offer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    name: String,
    available: bool,
    /// Whether nothing works without it.
    essential: bool,
    /// Where it is, or why it does not work.
    found: String,
    without_it: String,
}

impl Finding {
    fn new(name: &str, tried: Result<String, String>, without_it: &str) -> Self {
        Self {
            name: name.into(),
            available: tried.is_ok(),
            essential: false,
            found: tried.unwrap_or_else(|why| why),
            without_it: without_it.into(),
        }
    }
}

impl From<Capability> for Finding {
    fn from(capability: Capability) -> Self {
        let Capability { name, available, found, without_it } = capability;
        let essential = ["/proc", "pidfd"].contains(&name);
        Self { name: name.into(), available, essential, found, without_it }
    }
}

/// Whether a supervisor can keep its state.
fn state(folder: &Path) -> Finding {
    let without_it = format!("no supervisor can be started; {ANOTHER_PLACE}");
    Finding { essential: true, ..Finding::new("state", usable(folder), &without_it) }
}

fn usable(folder: &Path) -> Result<String, String> {
    let name = folder.display();
    let Some(there) = folder.ancestors().find(|folder| folder.exists()) else {
        return Err(format!("{name} is nowhere"));
    };
    let cannot = |err: io::Error| match there == folder {
        true => format!("{name} cannot be written: {err}"),
        false => format!("{name} cannot be made: {} cannot be written: {err}", there.display()),
    };
    if !there.is_dir() {
        return Err(cannot(io::ErrorKind::NotADirectory.into()));
    }
    rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|err| cannot(err.into()))?;
    // A file without a name, which is gone at once. Where that cannot be made, the permission has to do.
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(there, flags, Mode::RUSR | Mode::WUSR) {
        rustix::io::write(&file, &[0; 4096]).map_err(|err| cannot(err.into()))?;
    }
    if let Some(network) = network(there) {
        return Err(format!("{name} is on {network}, where locks and sockets cannot be relied on"));
    }
    Ok(format!("in {name}"))
}

/// How the file system of the state lets logs be rotated underneath who writes to them.
fn rotation(folder: &Path) -> Finding {
    let tried = match folder.ancestors().find(|folder| folder.is_dir()) {
        Some(there) => match vitald_log::capabilities(there) {
            Ok(found) => way(&found),
            Err(err) => Err(format!("{} cannot be written: {err}", there.display())),
        },
        None => Err(format!("{} is nowhere", folder.display())),
    };
    Finding::new("log rotation", tried, "logs of components are not rotated, and only grow")
}

fn way(found: &Capabilities) -> Result<String, String> {
    match found.way {
        _ if !found.notices => Err("growth of files is not told: inotify".to_owned()),
        Way::Collapse => Ok("what was rotated leaves the live file: FALLOC_FL_COLLAPSE_RANGE".to_owned()),
        Way::Punch => {
            Ok("by holes, FALLOC_FL_PUNCH_HOLE: vitald hides them, other programs see zeros in the live \
                          file, and a size that only grows"
                .to_owned())
        }
        Way::None => Err("the file system can neither collapse nor punch files".to_owned()),
    }
}

/// Whether only we can put something there. A state dir itself is made private by its supervisor.
fn privacy(folder: &Path) -> Finding {
    let mode = folder.metadata().map(|metadata| metadata.permissions().mode());
    let tried = match mode.as_ref().map(|mode| mode & 0o022) {
        Err(_) => Ok("made for us alone when it is needed".to_owned()),
        Ok(0) => Ok("only we write there".to_owned()),
        Ok(_) => Err(format!(
            "{} can be written by others (mode {:03o})",
            folder.display(),
            mode.unwrap_or(0) & 0o777
        )),
    };
    Finding::new("private state", tried, "what others put there may be taken for a state dir of ours")
}

/// Whether libraries of custom probes are trusted, of each folder that there is.
fn plugin_folders(places: &Places) -> Vec<Finding> {
    let folders = plugins::folders(places, &places.own(&[]));
    let there = folders.iter().filter(|folder| folder.path.exists());
    there
        .map(|folder| {
            let tried = match folder.distrust() {
                Some(why) => Err(why),
                None => Ok(format!("{}: only root and we write there", folder.path.display())),
            };
            Finding::new("custom probes", tried, "libraries in that folder are refused")
        })
        .collect()
}

/// The network file system that a folder is on: statfs(2).
fn network(folder: &Path) -> Option<&'static str> {
    const NETWORK: [(u32, &str); 5] = [
        (0x6969, "NFS"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB"),
        (0x0102_1997, "9P"),
        (0x00c3_6400, "Ceph"),
    ];
    let kind = rustix::fs::statfs(folder).ok()?.f_type;
    // The width of the field is the architecture's; the numbers have 32 bits.
    NETWORK.iter().find(|(magic, _)| *magic == kind as u32).map(|(_, name)| *name)
}

/// Whether `up` can give a supervisor a scope of its own.
fn systemd() -> Finding {
    let without_it = "a supervisor in the background stays in the cgroup of the session that `vitald up` was typed \
                      in, and may end with it";
    let tried = match (scope::is_booted(), scope::prefix().is_empty()) {
        (false, _) => Err("it does not run this machine".to_owned()),
        (true, true) => Err("systemd-run makes no scope".to_owned()),
        (true, false) => Ok("systemd-run makes delegated scopes".to_owned()),
    };
    Finding::new("systemd scope", tried, without_it)
}

/// Whether an ordinary user's processes outlast the last session, where systemd decides on that.
fn lingering() -> Option<Finding> {
    let user = rustix::process::geteuid();
    if !scope::is_booted() || user.is_root() {
        return None;
    }
    let name = std::env::var("USER").ok()?;
    let tried = match Path::new("/var/lib/systemd/linger").join(&name).exists() {
        true => Ok(format!("{name} lingers")),
        false => Err(format!("{name} does not; `loginctl enable-linger` changes that")),
    };
    let without_it =
        "when your last session ends, systemd stops your scopes, supervisors and components with them";
    Some(Finding::new("lingering", tried, without_it))
}

/// `ok` or `missing`, what was found, and what that means.
fn text(findings: &[Finding], colour: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let (word, of) = match (finding.available, finding.essential) {
            (true, _) => ("ok", AnsiColor::Green),
            (false, false) => ("missing", AnsiColor::Yellow),
            (false, true) => ("missing", AnsiColor::Red),
        };
        let style = output::paint(of.on_default(), colour);
        text += &format!("{style}{word:8}{style:#} {}: {}\n", finding.name, finding.found);
        if !finding.available {
            text += &format!("         without it: {}\n", finding.without_it);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_explained() {
        let pidfd = Capability {
            name: "pidfd",
            available: false,
            found: "Function not implemented".into(),
            without_it: "vitald does not work".into(),
        };
        let findings = [
            Finding::from(pidfd),
            Finding::new("cgroup v2", Err("none is mounted".into()), "a fork bomb may not be caught"),
            Finding::new("subreaper", Ok("works".into()), "orphans fall to init"),
        ];
        assert!(findings[0].essential && !findings[1].essential);
        insta::assert_snapshot!(text(&findings, false), @r"
        missing  pidfd: Function not implemented
                 without it: vitald does not work
        missing  cgroup v2: none is mounted
                 without it: a fork bomb may not be caught
        ok       subreaper: works
        ");
    }

    #[test]
    fn the_way_of_rotation_is_told() {
        let there = |way, notices| Capabilities { way, block: 4096, notices };
        assert!(super::way(&there(Way::Collapse, true)).is_ok());
        assert!(super::way(&there(Way::Punch, true)).is_ok_and(|told| told.contains("zeros")));
        assert!(
            super::way(&there(Way::None, true)).is_err() && super::way(&there(Way::Punch, false)).is_err()
        );
        let temp = tempfile::tempdir().unwrap();
        assert!(rotation(&temp.path().join("not/made/yet")).available);
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_of_libraries_that_others_write_to_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let places = Places::find(Some(temp.path().join("state").into()), Default::default()).unwrap();
        assert!(plugin_folders(&places).is_empty(), "there is none");
        let folder = temp.path().join("state/plugins");
        std::fs::create_dir_all(&folder).unwrap();
        for part in [folder.parent().unwrap(), &folder] {
            std::fs::set_permissions(part, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        assert!(plugin_folders(&places)[0].available, "{}", plugin_folders(&places)[0].found);
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        let told = &plugin_folders(&places)[0];
        assert!(!told.available && told.found.contains("chmod go-w"), "{}", told.found);
    }

    #[test]
    fn state_is_kept_where_only_we_can_write() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("state/vitald");
        assert!(state(&folder).available, "it can be made");
        assert_eq!(privacy(&folder).found, "made for us alone when it is needed");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(privacy(&folder).found.contains("by others (mode 777)"), "{}", privacy(&folder).found);
        std::fs::remove_dir(&folder).unwrap();
        std::fs::write(&folder, "").unwrap();
        let file = state(&folder);
        assert!(!file.available && file.essential, "{}", file.found);
    }
}
