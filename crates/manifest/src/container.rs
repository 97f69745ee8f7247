//! A Docker container: its image, its ports on this machine, and what it sees of this machine's files.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use vitald_core::spec::{ContainerSpec, ImagePullPolicy, Mount, Protocol};

use crate::document::Document;
use crate::mistake::{Code, Mistake};
use crate::model::{Modeller, is_label, join};
use crate::nearest::{did_you_mean, list, nearest};
use crate::tree::{NodeId, Tree, quote};
use crate::typed::At;
use crate::types::{self, Spec};

impl Modeller<'_> {
    /// The container that a spec with an `image` describes.
    pub(crate) fn container(&mut self, spec: &Spec) -> ContainerSpec {
        let security = spec.security_context.as_ref();
        let limits = spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        let image = spec.image.as_ref().map(|image| self.image(image)).unwrap_or_default();
        ContainerSpec {
            image_pull_policy: spec.image_pull_policy.unwrap_or_else(|| default_policy(&image)),
            image,
            command: self.command(spec.command.as_deref().unwrap_or_default()),
            args: self.words(&spec.args),
            working_dir: spec.working_dir.as_ref().map(|dir| self.inside(dir)),
            folder: self.file.dir.clone(),
            env: self.env(&spec.env),
            env_from: spec.env_from.iter().map(|from| self.path(&from.file)).collect(),
            host_network: spec.host_network.unwrap_or_default(),
            mounts: self.mounts(spec),
            run_as_user: security.and_then(|s| s.run_as_user.as_ref()).map(|user| user.0.clone()),
            run_as_group: security.and_then(|s| s.run_as_group.as_ref()).map(|group| group.0.clone()),
            no_new_privileges: security.and_then(|s| s.no_new_privileges).unwrap_or_default(),
            open_files: limits.and_then(|limits| limits.open_files),
            memory_limit: limits.and_then(|limits| self.memory(limits.memory.as_ref()?)),
            cpu_limit_millis: limits.and_then(|limits| self.cpu(limits.cpu.as_ref()?)),
        }
    }

    fn image(&mut self, at: &At<String>) -> String {
        if let Err(rule) = check_image(at) {
            let lower = at.to_lowercase();
            let help = (lower != at.value && check_image(&lower).is_ok()).then(|| did_you_mean(&lower));
            let help = help.unwrap_or_else(|| "such as `postgres:17` or `ghcr.io/stigmer/runner:1.2`".into());
            self.invalid(at.id, at, rule, Some(help));
        }
        at.value.clone()
    }

    /// A path inside the container.
    fn inside(&mut self, path: &At<String>) -> String {
        if !path.starts_with('/') {
            let rule = "must be absolute: it is a path inside the container";
            self.invalid(path.id, path, rule, None);
        }
        self.word(path)
    }

    fn mounts(&mut self, spec: &Spec) -> Vec<Mount> {
        let mut volumes: HashMap<&str, &types::Volume> = HashMap::new();
        for volume in &spec.volumes {
            if !is_label(&volume.name) {
                let rule = "must be of lower-case letters, digits and `-`";
                self.invalid(volume.name.id, &volume.name, rule, None);
            }
            if let Some(first) = volumes.get(volume.name.as_str()) {
                self.duplicate(volume.name.id, first.name.id, &format!("volume `{}`", volume.name.value));
            } else {
                volumes.insert(&volume.name, volume);
            }
        }
        let node = |field| self.tree.get(self.tree.get(Tree::ROOT, "spec")?, field);
        let some_are_faulty = node("volumes").is_some_and(|volumes| self.tree.any_faulty(volumes));
        let mut targets: HashMap<String, NodeId> = HashMap::new();
        let mut mounts = Vec::new();
        for mount in &spec.volume_mounts {
            let target = self.inside(&mount.mount_path);
            let id = mount.mount_path.id;
            let bare = target.trim_end_matches('/');
            if bare.is_empty() && target.starts_with('/') {
                self.invalid(id, &target, "must not be the root of the container", None);
            } else if target.contains(':') {
                self.invalid(id, &target, "must not contain `:`", None);
            } else if let Some(first) = targets.insert(bare.to_owned(), id) {
                self.duplicate(id, first, &format!("mountPath `{bare}`"));
            }
            match volumes.get(mount.name.as_str()) {
                Some(volume) => mounts.push(Mount {
                    source: self.path(&volume.host_path.path),
                    target,
                    read_only: mount.read_only.unwrap_or_default(),
                }),
                None if some_are_faulty => {}
                None => self.unknown_volume(&mount.name, &spec.volumes),
            }
        }
        mounts
    }

    fn unknown_volume(&mut self, name: &At<String>, volumes: &[types::Volume]) {
        let known: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
        let message = format!("not found: no volume is named `{}`", name.value);
        let mistake = self.at(Code::NotFound, name.id, message).label("no volume has this name");
        let mistake = match nearest(name, known.iter().copied()) {
            Some(name) => mistake.help(did_you_mean(name)),
            None if !known.is_empty() => mistake.help(format!("known here: {}", list(&known, "and"))),
            None => mistake.help(format!(
                "say in `volumes` what it is: [{{name: {}, hostPath: {{path: …}}}}]",
                name.value
            )),
        };
        self.mistakes.push(mistake);
    }

    /// Where the ports of a container are published.
    pub(crate) fn host_ports(&mut self, ports: &[types::Port], host_network: bool) {
        let mut taken: Vec<(u16, Protocol, IpAddr, NodeId)> = Vec::new();
        for port in ports {
            if self.is_faulty_port(port) {
                continue;
            }
            let ip = port.host_ip.as_ref().map(|at| (at, at.parse::<IpAddr>()));
            if let Some((at, Err(_))) = &ip {
                let help =
                    Some("leave it out for 127.0.0.1; 0.0.0.0 is every address of the machine".to_owned());
                self.invalid(at.id, at, "must be an IP address", help);
            }
            if let Some((at, Ok(_))) = &ip
                && (host_network || port.host_port.is_none())
            {
                let why = match host_network {
                    true => "with `hostNetwork` nothing is published: it listens where it likes",
                    false => "without a `hostPort` nothing is published on this address",
                };
                let mistake = self.at(Code::Forbidden, at.id, format!("forbidden: {why}"));
                self.mistakes.push(mistake.label("has no effect"));
            }
            let Some(host_port) = &port.host_port else { continue };
            if host_network && host_port.value != port.container_port.value {
                let rule = format!("must be containerPort ({}) with hostNetwork", port.container_port.value);
                let message = format!("invalid value {}: {rule}", host_port.value);
                let mistake = self.at(Code::Invalid, host_port.id, message).label(rule);
                self.mistakes
                    .push(mistake.help("with `hostNetwork` nothing is published; leave hostPort out"));
                continue;
            }
            let ip = match ip {
                Some((_, Err(_))) => continue,
                Some((_, Ok(ip))) => ip,
                None => PUBLISHED_ON,
            };
            let protocol = port.protocol.unwrap_or_default();
            let same = |(other, spoken, on, _): &&(u16, Protocol, IpAddr, NodeId)| {
                (*other, *spoken) == (host_port.value, protocol) && overlap(*on, ip)
            };
            if let Some((.., first)) = taken.iter().find(same) {
                self.duplicate(host_port.id, *first, &format!("hostPort {}", host_port.value));
            } else {
                taken.push((host_port.value, protocol, ip, host_port.id));
            }
        }
    }

    /// Whether something is wrong with a port itself, which has been told.
    fn is_faulty_port(&self, port: &types::Port) -> bool {
        let ports = self.tree.get(Tree::ROOT, "spec").and_then(|spec| self.tree.get(spec, "ports"));
        let mut items = ports.into_iter().flat_map(|ports| self.tree.items(ports));
        let item = items.find(|item| self.tree.get(**item, "containerPort") == Some(port.container_port.id));
        item.is_some_and(|item| self.tree.any_faulty(*item))
    }
}

/// Where a port is published that does not say where.
pub(crate) const PUBLISHED_ON: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Whether what listens on one address is in the way of what listens on the other.
pub(crate) fn overlap(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() || other.is_unspecified()
}

/// Volumes that nothing mounts, and files of this machine that are not there.
pub(crate) fn warnings(document: &Document, spec: &Spec, model: &ContainerSpec) -> Vec<Mistake> {
    let tree = &document.tree;
    let mut mistakes = Vec::new();
    let used: HashSet<&str> = spec.volume_mounts.iter().map(|mount| mount.name.as_str()).collect();
    let known: HashSet<&str> = spec.volumes.iter().map(|volume| volume.name.as_str()).collect();
    // One that has another name there has been told.
    let unclear = document.spec_node("volumeMounts").is_some_and(|mounts| tree.any_faulty(mounts))
        || !used.is_subset(&known);
    for volume in &spec.volumes {
        let (name, path) = (&volume.name, &volume.host_path.path);
        if !unclear && !used.contains(name.as_str()) {
            let message = format!("the volume `{}` is not mounted", name.value);
            mistakes.push(
                Mistake::new(Code::VolumeUnused, tree.path(name.id), message)
                    .at(tree.node(name.id).span.clone())
                    .label("the container does not see it")
                    .help(format!("say where: `volumeMounts: [{{name: {}, mountPath: /…}}]`", name.value)),
            );
        }
        if !join(&model.folder, Path::new(&path.value)).exists() {
            let message = format!("the path {} does not exist", quote(path));
            mistakes.push(
                Mistake::new(Code::FileNotFound, tree.path(path.id), message)
                    .at(tree.node(path.id).span.clone())
                    .label("nothing is there, right now")
                    .help("its path begins at the manifest's own folder"),
            );
        }
    }
    mistakes
}

/// As Kubernetes has it: what `latest` means changes.
fn default_policy(image: &str) -> ImagePullPolicy {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    match (split_tag(name).1, digest) {
        (Some("latest"), _) | (None, None) => ImagePullPolicy::Always,
        _ => ImagePullPolicy::IfNotPresent,
    }
}

/// What is before the tag, and the tag.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[path..].find(':') {
        Some(colon) => (&name[..path + colon], Some(&name[path + colon + 1..])),
        None => (name, None),
    }
}

/// What Docker's own reference grammar refuses.
fn check_image(image: &str) -> Result<(), &'static str> {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let (path, tag) = split_tag(name);
    let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if digest.is_some_and(|digest| {
        digest.split_once(':').is_none_or(|(_, hash)| hash.len() < 32 || !hash.chars().all(hexadecimal))
    }) {
        return Err("must have a digest such as sha256:… behind the `@`");
    }
    let in_tag = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if tag.is_some_and(|tag| {
        tag.is_empty() || tag.len() > 128 || tag.starts_with(['.', '-']) || !tag.chars().all(in_tag)
    }) {
        return Err("must have a tag of letters, digits, `_`, `.` and `-` behind the `:`");
    }
    let parts: Vec<&str> = path.split('/').collect();
    let is_host = |part: &str| part == "localhost" || part.contains(['.', ':']);
    let rest = if parts.len() > 1 && is_host(parts[0]) { &parts[1..] } else { &parts[..] };
    let in_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
    let ends_well = |part: &str| !part.starts_with(['_', '.', '-']) && !part.ends_with(['_', '.', '-']);
    match rest.iter().all(|part| !part.is_empty() && part.chars().all(in_part) && ends_well(part)) {
        true => Ok(()),
        false if path.chars().any(|c| c.is_ascii_uppercase()) => {
            Err("must be an image in lower-case letters")
        }
        false => Err("must be the name of an image"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_as_kubernetes_does() {
        let check = |image: &str, policy| assert_eq!(default_policy(image), policy, "{image}");
        check("nginx", ImagePullPolicy::Always);
        check("nginx:latest", ImagePullPolicy::Always);
        check("localhost:5000/nginx", ImagePullPolicy::Always);
        check("nginx:1.29", ImagePullPolicy::IfNotPresent);
        check("localhost:5000/nginx:1", ImagePullPolicy::IfNotPresent);
        check("nginx@sha256:abc", ImagePullPolicy::IfNotPresent);
        check("nginx:latest@sha256:abc", ImagePullPolicy::Always);
    }

    #[test]
    fn takes_names_as_docker_does() {
        let hash = "0123456789abcdef".repeat(4);
        let by_digest = format!("a@sha256:{hash}");
        for good in
            ["a", "a/b:c", "ghcr.io/a/b_c-d.e:V1.2_x", "localhost:5000/a", "HOST.example/a", &by_digest]
        {
            assert_eq!(check_image(good), Ok(()), "{good}");
        }
        for bad in
            ["", "A", "a b", "a:", "a:.b", "a:b c", "/a", "a//b", "-a", "a-", "a@sha256:x", "https://a"]
        {
            assert!(check_image(bad).is_err(), "{bad}");
        }
    }
}
