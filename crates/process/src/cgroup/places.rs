//! Where cgroups are: the mounts, our own place in them, and what earlier supervisors made.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The folder that all of ours are in.
const FOLDER: &str = "vitald";
/// In it, where the supervisor itself moves to make room for limits.
pub(super) const SUPERVISOR: &str = "supervisor";
/// Most bytes of a component's name in that of its cgroup, which may have 255 in all.
const MOST_OF_NAME: usize = 160;

/// Version 2, among the names of controllers that [`hierarchy`] takes.
pub(crate) const V2: &str = "";

/// Those that anything of ours can be in.
const OURS: [&str; 3] = [V2, "memory", "cpu"];

/// A mounted hierarchy of cgroups, seen from where we were started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The cgroup of the hierarchy that is seen at the mount.
    root: PathBuf,
    /// The cgroup that we were started in, as a folder below the mount.
    pub base: PathBuf,
}

impl Hierarchy {
    /// Where a component's runs live.
    pub(crate) fn of_component(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.base.join(FOLDER)
    }
}

/// Whether cgroups are to be used: unless `VITALD_CGROUPS` is `off`.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os("VITALD_CGROUPS").is_none_or(|wanted| wanted != "off")
}

/// The hierarchy of a controller of version 1, or of version 2. `None` if there is none for us.
pub(crate) fn hierarchy(controller: &str) -> Option<Hierarchy> {
    if !is_wanted() {
        return None;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    find(&mounts, &own, controller)
}

fn find(mounts: &str, own: &str, controller: &str) -> Option<Hierarchy> {
    let own = path_in(own, controller)?;
    mounts.lines().find_map(|line| {
        let (root, mount) = mount_of(line, controller)?;
        // Piece by piece: without a slash at the end.
        let mut base: PathBuf =
            mount.components().chain(own.strip_prefix(&root).ok()?.components()).collect();
        // From within our own folder, it is the same place that is meant.
        if base.ends_with(Path::new(FOLDER).join(SUPERVISOR)) {
            base.pop();
            base.pop();
        }
        Some(Hierarchy { mount, root, base })
    })
}

/// Root and mount point of a line of `/proc/PID/mountinfo`, if it is of this controller.
fn mount_of(line: &str, controller: &str) -> Option<(PathBuf, PathBuf)> {
    let (mount, system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, point) = (mount.next()?, mount.next()?);
    let mut system = system.split(' ');
    let matches = match (system.next()?, system.nth(1)?) {
        ("cgroup2", _) => controller == V2,
        ("cgroup", options) => options.split(',').any(|option| option == controller),
        _ => false,
    };
    matches.then(|| (unescape(root), unescape(point)))
}

/// Blanks and the like are octal there: `\040`.
fn unescape(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    PathBuf::from(plain)
}

/// The cgroup of a controller in the text of `/proc/PID/cgroup`, as an absolute path in its hierarchy.
fn path_in(text: &str, controller: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    })?;
    // One that is not below what we can see, or that was removed.
    (!path.contains("/..") && !path.ends_with(" (deleted)")).then(|| PathBuf::from(path))
}

/// The folder of a process's cgroup of a controller.
pub(super) fn dir_of(pid: i32, controller: &str) -> Option<PathBuf> {
    let hierarchy = hierarchy(controller)?;
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = path_in(&text, controller)?;
    Some(hierarchy.mount.join(path.strip_prefix(&hierarchy.root).ok()?))
}

/// Which lock file the process of a component lives under, by its cgroup.
pub(crate) fn instance_of(pid: i32, component: &str) -> Option<String> {
    let dir = dir_of(pid, V2)?;
    let prefix = name_of(component, "");
    dir.ancestors().find_map(|dir| {
        let in_folder = dir.parent().is_some_and(|folder| folder.ends_with(FOLDER));
        let instance = dir.file_name()?.to_str()?.strip_prefix(&prefix)?;
        in_folder.then(|| instance.to_owned())
    })
}

/// What a component's cgroups are called.
pub(crate) fn name_of(component: &str, instance: &str) -> String {
    let usual = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let mut name: String = component.chars().map(usual).collect();
    while name.len() > MOST_OF_NAME {
        name.pop();
    }
    format!("{name}.{instance}")
}

/// The cgroups of a component that are there already, wherever its earlier supervisors lived.
pub(super) fn existing(controller: &str, name: &str) -> Vec<PathBuf> {
    let Some(hierarchy) = hierarchy(controller) else { return Vec::new() };
    let here = hierarchy.of_component(name);
    let mut found: Vec<PathBuf> = earlier()
        .iter()
        .filter(|(of, dir)| *of == controller && dir.file_name().is_some_and(|called| called == name))
        .map(|(_, dir)| dir.clone())
        .collect();
    if !found.contains(&here) {
        found.push(here);
    }
    found.retain(|dir| dir.is_dir());
    found
}

/// What earlier supervisors had made by the time that this was first asked. What has come since is our own,
/// and in our own place.
fn earlier() -> &'static [(&'static str, PathBuf)] {
    static EARLIER: OnceLock<Vec<(&str, PathBuf)>> = OnceLock::new();
    EARLIER.get_or_init(|| {
        let mut all = Vec::new();
        for controller in OURS {
            if let Some(hierarchy) = hierarchy(controller) {
                let dirs = super::with_those_below(&hierarchy.mount);
                let ours = dirs.into_iter().filter(|dir| dir.parent().is_some_and(|p| p.ends_with(FOLDER)));
                all.extend(ours.map(|dir| (controller, dir)));
            }
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw";

    #[test]
    fn each_controller_is_found_where_it_is_mounted() {
        let own = "4:memory:/some/job\n2:cpu,cpuacct:/\n0::/user.slice/x.scope\n";
        let base = |controller| find(HYBRID, own, controller).map(|found| found.base);
        assert_eq!(base("memory"), Some("/sys/fs/cgroup/memory/some/job".into()));
        assert_eq!(base("cpu"), Some("/sys/fs/cgroup/cpu,cpuacct".into()));
        assert_eq!(base(V2), Some("/sys/fs/cgroup/uni fied/user.slice/x.scope".into()));
        assert_eq!(base("pids"), None);
    }

    #[test]
    fn a_mount_may_show_a_part_only() {
        let mounts = "1 2 0:3 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw";
        let base = |own| find(mounts, own, V2).map(|found| found.base);
        assert_eq!(base("0::/docker/abc/in"), Some("/sys/fs/cgroup/in".into()));
        assert_eq!(base("0::/elsewhere"), None);
        assert_eq!(base("0::/../x"), None);
    }

    #[test]
    fn our_own_leaf_is_no_place_to_begin_anew() {
        let found = find(HYBRID, "0::/a/vitald/supervisor\n", V2).unwrap();
        assert_eq!(found.of_component("web.1"), Path::new("/sys/fs/cgroup/uni fied/a/vitald/web.1"));
    }

    #[test]
    fn any_name_makes_a_folder() {
        assert_eq!(name_of("web", "8-1-2"), "web.8-1-2");
        assert_eq!(name_of("a/../b\n", "1"), "a_.._b_.1");
        assert!(name_of(&"é".repeat(300), "1").len() <= MOST_OF_NAME + 2);
    }
}
