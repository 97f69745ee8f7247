//! Two probes in one library, `diskSpace` and `fileAge`, on real file systems.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use vitald_tests::{Disk, Kind, Output, Stranger, Supervisor, seconds};

fn prepare(manifests: &str) -> Supervisor {
    let s = Supervisor::prepare(manifests);
    s.install(&Stranger::build("examples/custom-probes").library("host-health"));
    s
}

#[test]
fn a_disk_that_fills_up_takes_its_component_out_of_service() {
    let Some(disk) = Disk::small(Kind::Tmpfs, 8) else { return };
    let path = disk.path().display().to_string();
    let mut s = prepare(
        &"
        metadata: {name: collector}
        spec:
          command: [vitald-fixture, sleep]
          readinessProbe:
            diskSpace: {path: DISK, minFree: 25%, minFreeInodes: 10}
            periodSeconds: 0.2
            failureThreshold: 1
        "
        .replace("DISK", &path),
    );
    s.start();
    s.wait_ready("collector");

    let ballast = disk.fill(1 << 20);
    let collector = s.wait_for("collector", "not ready", seconds(10), |c| !c.ready);
    let said = &collector.probe("readiness").message;
    assert_eq!(said, &format!("the file system of {path} has 12.5 % free, less than 25%"));
    fs::remove_file(ballast).unwrap();
    s.wait_ready("collector");

    let remount = Output::of(Command::new("mount").args(["-o", "remount,nr_inodes=12", &path]));
    remount.expect(0);
    (0..8).for_each(|n| fs::write(disk.path().join(n.to_string()), "").unwrap());
    let collector = s.wait_for("collector", "not ready", seconds(10), |c| !c.ready);
    let said = &collector.probe("readiness").message;
    assert!(said.ends_with("inodes free, less than 10"), "{said}");
    assert_eq!(collector.restart_count, 0);
}

#[test]
fn a_backup_that_is_late_is_told() {
    let mut s = prepare(
        "
        metadata: {name: backups}
        spec:
          command: [vitald-fixture, sleep]
          readinessProbe:
            fileAge: {path: backups, maxAgeSeconds: 3600, minSize: 4}
            periodSeconds: 0.2
            failureThreshold: 1
        ",
    );
    s.start();
    let said = |what: &str| {
        let what = what.replace("BACKUPS", &s.path("manifests/backups").display().to_string());
        s.wait_for("backups", &what, seconds(10), |c| !c.ready && c.probe("readiness").message == what);
    };
    said("BACKUPS is not there");
    fs::create_dir(s.path("manifests/backups")).unwrap();
    said("there is no file in BACKUPS");
    let age = |file: &str, seconds: u64| {
        let file = fs::File::options().write(true).open(s.path("manifests/backups").join(file)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    };
    s.write("manifests/backups/monday", "all of it");
    s.wait_ready("backups");
    age("monday", 4 * 3600);
    said("BACKUPS/monday was written 4 h 0 min ago, more than 60 min");
    s.write("manifests/backups/tuesday", "all");
    said("BACKUPS/tuesday has 3 bytes, fewer than 4");
    s.write("manifests/backups/tuesday", "all of it");
    s.wait_ready("backups");
}
