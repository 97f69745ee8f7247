//! Groups of one user: what such a group may write to, nobody else may.
//!
//! `useradd` makes one for each user, of the same name, and many systems let all that an ordinary user makes be
//! writable for it (umask 002).

use std::fs;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};
use rustix::io::Errno;

/// Where local users are, a line each.
const USERS: &str = "/etc/passwd";
/// The attribute that an access control list is kept in. With one, the mode's bits for the group are those of all
/// whom the list names.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// The group that this user, and no other, is in. Root has none: who else is in its group is told nowhere, as in
/// containers.
pub(crate) fn of(uid: u32) -> Option<u32> {
    let user = User::from_uid(Uid::from_raw(uid)).ok()??;
    let group = Group::from_gid(user.gid).ok()??;
    let users = fs::read_to_string(USERS).ok()?;
    let alone = uid != 0
        && user.gid != Gid::from_raw(0)
        && group.name == user.name
        && group.mem.iter().all(|member| *member == user.name)
        && !is_of_another(&users, uid, group.gid.as_raw());
    alone.then(|| group.gid.as_raw())
}

/// Whether another user of these begins in the group: such ones are not among its members.
fn is_of_another(users: &str, uid: u32, gid: u32) -> bool {
    users.lines().any(|line| {
        // NAME:PASSWORD:UID:GID:…
        let mut numbers = line.split(':').skip(2).map(|field| field.parse::<u32>().ok());
        let other = numbers.next().flatten() != Some(uid);
        other && numbers.next().flatten() == Some(gid)
    })
}

/// Whether a list may say that others than the mode's three may write.
pub(crate) fn has_access_list(path: &Path) -> bool {
    let nothing: &mut [u8] = &mut [];
    let read = rustix::fs::getxattr(path, ACCESS_LIST, nothing);
    !matches!(read, Err(Errno::NODATA | Errno::OPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_others_begin_in_is_not_private() {
        let users = "root:x:0:0:root:/:/bin/sh\nann:x:1000:1000::/:/bin/sh\n";
        assert!(!is_of_another(users, 1000, 1000));
        assert!(is_of_another(&format!("{users}bob:x:1001:1000::/:/bin/sh\n"), 1000, 1000));
        assert!(!is_of_another(&format!("{users}+::::::\nbob:x:1000\n\n"), 1000, 1000));
    }

    #[test]
    fn roots_is_nobodys() {
        assert_eq!(of(0), None);
    }
}
