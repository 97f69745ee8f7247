//! Who listens on a TCP port: `/proc/net/tcp`, and the descriptors that name its sockets.

use std::collections::BTreeSet;
use std::fs;

use vitald_core::wording::system_error;
use vitald_process::procfs::{self, Stat};

/// A socket that listens, in `/proc/net/tcp`: `include/net/tcp_states.h`.
const LISTEN: &str = "0A";

/// The living processes that listen on a port of this machine.
///
/// # Errors
/// Nobody does, or it cannot be told who: in one sentence.
pub(crate) fn owners(port: u16) -> Result<Vec<Stat>, String> {
    let mut sockets = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // A machine may have no IPv6.
        let text = fs::read_to_string(table).unwrap_or_default();
        sockets.extend(text.lines().skip(1).filter_map(|line| listening(line, port)));
    }
    if sockets.is_empty() {
        return Err(format!("nobody listens on port {port}"));
    }
    let processes =
        procfs::processes().map_err(|err| format!("/proc cannot be read: {}", system_error(&err)))?;
    let owns = |process: &Stat| !process.is_dead() && holds_one_of(process.pid, &sockets);
    let owners: Vec<Stat> = processes.into_iter().filter(owns).collect();
    match owners.is_empty() {
        true => Err(format!(
            "port {port} belongs to a process whose descriptors vitald may not see: run vitald as its user, or as root"
        )),
        false => Ok(owners),
    }
}

/// The inode of the socket that a line is about, if that listens on the port.
fn listening(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let local = fields.get(1)?.rsplit_once(':')?.1;
    let is_it = u16::from_str_radix(local, 16) == Ok(port) && *fields.get(3)? == LISTEN;
    is_it.then(|| format!("socket:[{}]", fields.get(9).copied().unwrap_or_default()))
}

fn holds_one_of(pid: i32, sockets: &BTreeSet<String>) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.into_iter().any(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_listens_on_the_port_counts() {
        let line = |state: &str| {
            format!(
                "   0: 0100007F:1F90 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 4711 1"
            )
        };
        assert_eq!(listening(&line("0A"), 8080).as_deref(), Some("socket:[4711]"));
        assert_eq!(listening(&line("01"), 8080), None, "a connection");
        assert_eq!(listening(&line("0A"), 80), None);
        let six = "   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 12 1";
        assert_eq!(listening(six, 8080).as_deref(), Some("socket:[12]"));
        assert_eq!(listening("", 8080), None);
    }

    #[test]
    fn the_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let owners = owners(listener.local_addr().unwrap().port()).unwrap();
        assert!(owners.iter().any(|owner| owner.pid == procfs::own_pid()));
    }
}
