//! Users and groups by name or number: passwd(5), group(5), credentials(7).

use std::ffi::CString;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, getgrouplist};
use vitald_core::restarter::StartError;

/// Whom to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// For messages: `user nobody`.
    pub who: String,
    pub uid: Uid,
    pub gid: Gid,
    /// The supplementary groups.
    pub groups: Vec<Gid>,
    /// Variables that follow the user; `None` where there must be none.
    pub environment: Vec<(&'static str, Option<String>)>,
}

impl Identity {
    /// Whom the manifest asks for. `None` if it asks for nobody, or for who we are already.
    ///
    /// The groups are those of initgroups(3). Looking up a user may wait for a name service.
    pub(crate) fn wanted(user: Option<&str>, group: Option<&str>) -> Result<Option<Self>, StartError> {
        let group = group.map(find_group).transpose()?;
        let wanted = match (user, group) {
            (None, None) => return Ok(None),
            (None, Some((who, gid))) => {
                Self { who, uid: geteuid(), gid, groups: vec![gid], environment: Vec::new() }
            }
            (Some(user), group) => Self::of_user(user, group.map(|(_, gid)| gid))?,
        };
        let already = wanted.uid == geteuid() && wanted.gid == getegid();
        if already && !geteuid().is_root() {
            return Ok(None);
        }
        Ok(Some(wanted))
    }

    fn of_user(name: &str, group: Option<Gid>) -> Result<Self, StartError> {
        let who = format!("user {name}");
        let refuse = |reason: &str| StartError::User { who: who.clone(), reason: reason.to_owned() };
        let found = match name.parse() {
            Ok(number) => User::from_uid(Uid::from_raw(number)),
            Err(_) => User::from_name(name),
        };
        let found = found.map_err(|err| refuse(err.desc()))?;
        let Some(user) = found else {
            let Ok(number) = name.parse() else { return Err(refuse("there is no such user")) };
            let gid =
                group.ok_or_else(|| refuse("it has no entry in passwd, so runAsGroup is needed, too"))?;
            return Ok(Self {
                who,
                uid: Uid::from_raw(number),
                gid,
                groups: vec![gid],
                environment: vec![
                    ("HOME", Some("/".to_owned())),
                    ("USER", None),
                    ("LOGNAME", None),
                    ("SHELL", Some(SHELL.to_owned())),
                ],
            });
        };
        let gid = group.unwrap_or(user.gid);
        let login = CString::new(user.name.as_str()).map_err(|_| refuse("its name is not valid"))?;
        let groups = getgrouplist(&login, gid).map_err(|err| refuse(err.desc()))?;
        Ok(Self {
            who,
            uid: user.uid,
            gid,
            groups,
            environment: vec![
                ("HOME", Some(user.dir.to_string_lossy().into_owned())),
                ("USER", Some(user.name.clone())),
                ("LOGNAME", Some(user.name)),
                ("SHELL", Some(shell_of(&user.shell))),
            ],
        })
    }

    /// Whether a variable that we were given is about us, and of no use to this user: our own folders, which
    /// another may not even enter.
    pub(crate) fn drops(&self, name: &str) -> bool {
        self.uid != geteuid() && (name == "TMPDIR" || name.starts_with("XDG_"))
    }
}

/// The shell of who has none, or one that only refuses to log in.
const SHELL: &str = "/bin/sh";

fn shell_of(shell: &Path) -> String {
    let refuses = shell.file_name().is_none_or(|name| name == "nologin" || name == "false");
    if refuses { SHELL.to_owned() } else { shell.to_string_lossy().into_owned() }
}

fn find_group(name: &str) -> Result<(String, Gid), StartError> {
    let who = format!("group {name}");
    if let Ok(number) = name.parse() {
        return Ok((who, Gid::from_raw(number)));
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok((who, group.gid)),
        Ok(None) => Err(StartError::User { who, reason: "there is no such group".to_owned() }),
        Err(err) => Err(StartError::User { who, reason: err.desc().to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(user: Option<&str>, group: Option<&str>) -> String {
        Identity::wanted(user, group).unwrap_err().to_string()
    }

    #[test]
    fn a_user_brings_group_and_home() {
        if !geteuid().is_root() {
            return;
        }
        let nobody = Identity::wanted(Some("nobody"), None).unwrap().unwrap();
        assert_eq!(nobody.who, "user nobody");
        assert!(nobody.groups.contains(&nobody.gid));
        assert!(nobody.environment.contains(&("USER", Some("nobody".to_owned()))));
        let by_number = Identity::wanted(Some(&nobody.uid.to_string()), None).unwrap().unwrap();
        assert_eq!((by_number.uid, by_number.gid), (nobody.uid, nobody.gid));
    }

    #[test]
    fn a_shell_that_refuses_is_none() {
        let shell = |path| shell_of(Path::new(path));
        assert_eq!(shell("/bin/zsh"), "/bin/zsh");
        assert_eq!([shell("/usr/sbin/nologin"), shell("/bin/false"), shell("")], ["/bin/sh"; 3]);
    }

    #[test]
    fn nobody_asked_for_is_nobody_to_become() {
        assert_eq!(Identity::wanted(None, None), Ok(None));
    }

    #[test]
    fn strangers_are_refused_by_name() {
        assert_eq!(
            refusal(Some("no-such-user"), None),
            "cannot run as user no-such-user: there is no such user"
        );
        assert_eq!(
            refusal(None, Some("no-such-group")),
            "cannot run as group no-such-group: there is no such group"
        );
        assert_eq!(
            refusal(Some("3999999999"), None),
            "cannot run as user 3999999999: it has no entry in passwd, so runAsGroup is needed, too"
        );
    }
}
