//! What a component inherits beside its environment, and what it does not.

use std::collections::BTreeMap;
use std::fs::File;

use vitald_process::procfs;

use crate::bed::{Bed, clear, set_mode, skip};

#[tokio::test]
async fn no_descriptor_but_the_lock_is_inherited() {
    // As if whoever started the supervisor had left it something open.
    let leak = File::open("/proc/self/status").unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    let bed = Bed::new(&["ls", "-l", "/proc/self/fd"]);
    let output = bed.output().await;
    let links = output.lines().filter_map(|line| line.rsplit_once(" -> "));
    let number = |left: &str| left.rsplit(' ').next().unwrap().parse::<i32>().unwrap();
    let open: BTreeMap<i32, &str> = links.map(|(left, file)| (number(left), file)).collect();
    let (log, lock) = (bed.log_file(), bed.path("locks/it.lock"));
    let (log, lock) = (log.to_string_lossy(), lock.to_string_lossy());
    let files: Vec<&str> = open.values().copied().collect();
    // The fourth is what `ls` looks at. The lock is out of the way of scripts that number their own.
    assert_eq!([files[0], files[1], files[2], files[4]], ["/dev/null", &*log, &*log, &*lock], "{output}");
    assert_eq!(files.len(), 5, "{output}");
    assert!(*open.last_key_value().unwrap().0 >= 100, "{output}");
}

#[tokio::test]
async fn it_leads_its_own_session_and_group() {
    let run = Bed::new(&["sleep", "1000"]).start().await;
    let stat = procfs::stat(run.process().pid).unwrap();
    assert_eq!((stat.session, stat.group), (stat.pid, stat.pid));
    assert_eq!(stat.start_time, run.process().start_time);
    clear(&run).await;
}

#[tokio::test]
async fn no_signal_is_blocked_or_ignored() {
    let mut blocked = nix::sys::signal::SigSet::empty();
    blocked.add(nix::sys::signal::Signal::SIGUSR1);
    blocked.thread_block().unwrap();
    let output = Bed::new(&["cat", "/proc/self/status"]).output().await;
    let mask = |name| output.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    for name in ["SigBlk:", "SigIgn:", "SigCgt:", "SigPnd:"] {
        assert_eq!(mask(name), Some("0000000000000000"), "{output}");
    }
}

#[tokio::test]
async fn files_are_made_with_the_usual_mask() {
    assert_eq!(Bed::sh("umask").output().await, "0022\n");
}

#[tokio::test]
async fn the_limit_of_open_files_is_set() {
    let mut bed = Bed::sh("ulimit -Sn; ulimit -Hn");
    bed.spec.open_files = Some(123);
    assert_eq!(bed.output().await, "123\n123\n");
}

#[tokio::test]
async fn new_privileges_are_given_up_where_asked() {
    for (asked, expected) in [(true, "1"), (false, "0")] {
        let mut bed = Bed::new(&["grep", "NoNewPrivs", "/proc/self/status"]);
        bed.spec.no_new_privileges = asked;
        assert_eq!(bed.output().await, format!("NoNewPrivs:\t{expected}\n"));
    }
}

fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        skip("only root may switch users");
    }
    is_root
}

#[tokio::test]
async fn it_runs_as_the_user_asked_for_and_can_reopen_its_output() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::sh("id -un; id -gn; id -G; echo $USER $LOGNAME $HOME; echo reopened >> /dev/stdout");
    bed.spec.run_as_user = Some("nobody".into());
    let home = nix::unistd::User::from_name("nobody").unwrap().unwrap().dir;
    let expected = format!("nobody\nnogroup\n65534\nnobody nobody {}\nreopened\n", home.display());
    assert_eq!(bed.output().await, expected);
    bed.spec.run_as_user = Some("65534".into());
    bed.spec.run_as_group = Some("12".into());
    bed.spec.command[2] = "id -u; id -g".into();
    assert!(bed.output().await.ends_with("65534\n12\n"));
}

#[tokio::test]
async fn another_user_gets_nothing_of_our_own_folders_and_shell() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::sh("echo $SHELL ${TMPDIR-none} ${XDG_RUNTIME_DIR-none} $XDG_CONFIG_HOME")
        .env("XDG_CONFIG_HOME", "/set/again");
    let ours = [
        ("SHELL", "/bin/zsh"),
        ("TMPDIR", "/supervisor/tmp"),
        ("XDG_RUNTIME_DIR", "/run/user/0"),
        ("XDG_CONFIG_HOME", "/supervisor/config"),
    ];
    bed.inherited.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
    bed.spec.run_as_user = Some("65534".into());
    bed.spec.run_as_group = Some("65534".into());
    assert_eq!(bed.output().await, "/bin/sh none none /set/again\n");
    bed.spec.run_as_user = None;
    bed.spec.run_as_group = None;
    assert!(bed.output().await.ends_with("/bin/zsh /supervisor/tmp /run/user/0 /set/again\n"));
}

/// Where root runs the tests, [another one](crate::cgroups) runs this as somebody else.
#[tokio::test]
async fn only_root_may_switch_users() {
    if nix::unistd::geteuid().is_root() {
        return;
    }
    let mut bed = Bed::new(&["true"]);
    bed.spec.run_as_user = Some("root".into());
    let expected = "cannot run as user root: only root may switch users (Operation not permitted)";
    assert_eq!(bed.refusal().await, expected);
}

#[tokio::test]
async fn a_group_alone_can_be_asked_for() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::sh("id -u; id -gn; id -Gn");
    bed.spec.run_as_group = Some("nogroup".into());
    assert_eq!(bed.output().await, "0\nnogroup\nnogroup\n");
}

#[tokio::test]
async fn what_the_user_may_not_enter_is_refused() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new(&["true"]);
    bed.spec.run_as_user = Some("nobody".into());
    bed.spec.working_dir = bed.dir.path().to_owned();
    set_mode(bed.dir.path(), 0o700);
    let expected =
        format!("working directory {} cannot be entered: Permission denied", bed.dir.path().display());
    assert_eq!(bed.refusal().await, expected);
}

#[tokio::test]
async fn users_that_do_not_exist_are_refused() {
    let mut bed = Bed::new(&["true"]);
    bed.spec.run_as_user = Some("no-such-user".into());
    assert_eq!(bed.refusal().await, "cannot run as user no-such-user: there is no such user");
}
