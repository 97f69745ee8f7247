//! One supervisor with a library that falls ill when it is told to, and one that stays well beside it.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use vitald_tests::{Component, Pid, Place, Stranger, Supervisor, eventually, seconds};

/// How often both are asked, in seconds.
const PERIOD: f64 = 0.1;
/// The neighbour's longest silence on a machine that is busy with other tests.
const SILENCE: Duration = Duration::from_secs(3);

/// Libraries of `tests/plugins`, built as strangers build theirs.
pub(crate) fn libraries() -> Stranger {
    Stranger::build("tests/plugins")
}

/// The processes that a library's probes run in.
pub(crate) fn hosts(library: &Path) -> Vec<Pid> {
    let marked = Pid::marked(&library.display().to_string());
    marked.into_iter().filter(|pid| pid.command().split(' ').nth(1) == Some("__probe-host")).collect()
}

/// The one process of a library, as soon as there is no other.
#[track_caller]
pub(crate) fn host(library: &Path) -> Pid {
    let what = format!("one host of {}", library.display());
    let one = || Some(hosts(library)).filter(|hosts| hosts.len() == 1).map(|hosts| hosts[0]);
    eventually(&what, seconds(15), one, || format!("{:?}", hosts(library)))
}

/// Whether what is done to a host ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    /// It goes on.
    Same,
    /// It is replaced.
    Another,
    /// That depends on how busy the machine is.
    Either,
}

/// `patient`, whose probe does `how` while a file is there, and `neighbour`, asked by another library.
pub(crate) struct Ward {
    pub(crate) s: Supervisor,
    /// Where the library lies that falls ill.
    pub(crate) sick: PathBuf,
    /// Where the other one lies.
    pub(crate) steady: PathBuf,
    before: Before,
}

/// What must not change.
#[derive(Debug, PartialEq, Eq)]
struct Before {
    supervisor: Pid,
    patient: Pid,
    neighbour: Pid,
    steady_host: Option<Pid>,
    sick_host: Option<Pid>,
}

impl Deref for Ward {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.s
    }
}

impl Ward {
    /// A detached supervisor, with both well.
    #[track_caller]
    pub(crate) fn open(how: &str) -> Self {
        Self::with(&format!("misbehave: {{how: {how}, while: sick}}"), "misbehaving", "Process")
    }

    /// The same with the patient's probe in the supervisor's own process.
    #[track_caller]
    pub(crate) fn in_process(how: &str) -> Self {
        Self::with(&format!("misbehave: {{how: {how}, while: sick}}"), "misbehaving", "InProcess")
    }

    /// The same with any handler of any library for the patient.
    #[track_caller]
    pub(crate) fn with(handler: &str, package: &str, isolation: &str) -> Self {
        let s = Supervisor::prepare(&manifest(handler, isolation));
        let libraries = libraries();
        let sick = s.install(&libraries.library(package));
        let steady = s.install(&libraries.library("steady"));
        s.up().expect(0);
        let well = |name| {
            let seen = s.wait_for(name, "well", seconds(15), |c| answers(c, "Success"));
            seen.pid()
        };
        let (patient, neighbour) = (well("patient"), well("neighbour"));
        let sick_host = (isolation == "Process").then(|| host(&sick));
        let before =
            Before { supervisor: s.pid(), patient, neighbour, steady_host: Some(host(&steady)), sick_host };
        Self { s, sick, steady, before }
    }

    /// The supervisor when all were well.
    pub(crate) fn supervisor(&self) -> Pid {
        self.before.supervisor
    }

    /// The sick library's host when all were well.
    pub(crate) fn first_host(&self) -> Pid {
        self.before.sick_host.unwrap()
    }

    /// Makes the patient's probe misbehave from its next check on.
    pub(crate) fn infect(&self) {
        self.write("manifests/sick", "");
    }

    /// And no longer.
    pub(crate) fn cure(&self) {
        let _ = fs::remove_file(self.path("manifests/sick"));
    }

    /// Waits until the patient's probe cannot answer, and says all of these words; gives what it says.
    #[track_caller]
    pub(crate) fn wait_unknown(&self, words: &[&str]) -> String {
        let patient = self.wait_for("patient", &format!("unknown: {words:?}"), seconds(30), |c| {
            let message = &c.probe("liveness").message;
            answers(c, "Unknown")
                && c.is("Running", "ProbeUnknown")
                && words.iter().all(|word| message.contains(word))
        });
        let message = patient.probe("liveness").message.clone();
        let described = self.cli(&["describe", "patient"]).expect(0).stdout;
        assert!(described.contains("Unknown") && described.contains("ProbeUnknown"), "{described}");
        message
    }

    /// Waits until the patient's probe answers well again, from a host as it should be.
    #[track_caller]
    pub(crate) fn wait_well(&self, expected: Host) {
        self.wait_for("patient", "well again", seconds(45), |c| c.is("Running", "") && answers(c, "Success"));
        let (before, now) = (self.before.sick_host, self.before.sick_host.map(|_| host(&self.sick)));
        match expected {
            Host::Same => assert_eq!(now, before, "the host was replaced"),
            Host::Another => assert_ne!(now, before, "the host was not replaced"),
            Host::Either => {}
        }
    }

    /// That nobody else has noticed: neither component was restarted, the supervisor and the other host are the
    /// same, and the neighbour was asked all the while.
    #[track_caller]
    pub(crate) fn assert_nobody_noticed(&self) {
        let of = |name| {
            let component = self.component(name);
            assert_eq!(component.restart_count, 0, "{component:?}");
            component.pid()
        };
        let now = Before {
            supervisor: self.s.pid(),
            patient: of("patient"),
            neighbour: of("neighbour"),
            steady_host: Some(host(&self.steady)),
            sick_host: self.before.sick_host,
        };
        assert_eq!(now, self.before);
        self.assert_neighbour_was_asked();
        let told: Vec<_> = self.events().into_iter().filter(|event| event.kind == "Warning").collect();
        let of_neighbour = told.iter().find(|event| event.component == "neighbour");
        assert!(of_neighbour.is_none(), "{of_neighbour:?}");
        let neighbour = self.component("neighbour");
        assert!(answers(&neighbour, "Success"), "{neighbour:?}");
    }

    /// The whole of it: falls ill and says so in these words, and is well again once it may.
    #[track_caller]
    pub(crate) fn falls_ill_and_recovers(&self, words: &[&str], expected: Host) -> String {
        self.infect();
        let message = self.wait_unknown(words);
        self.cure();
        self.wait_well(expected);
        self.assert_nobody_noticed();
        message
    }

    /// Moments of the neighbour's checks, in milliseconds.
    pub(crate) fn beats(&self) -> Vec<u64> {
        let text = fs::read_to_string(self.path("manifests/beats")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Waits for so many more checks of the neighbour.
    #[track_caller]
    pub(crate) fn wait_beats(&self, more: usize) {
        let wanted = self.beats().len() + more;
        let beats = || (self.beats().len() >= wanted).then_some(());
        eventually("the neighbour's checks", seconds(20), beats, || format!("{} checks", self.beats().len()));
    }

    #[track_caller]
    fn assert_neighbour_was_asked(&self) {
        self.wait_beats(2);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut beats = self.beats();
        beats.push(u64::try_from(now.as_millis()).unwrap());
        let silence = beats.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap();
        assert!(Duration::from_millis(silence) < SILENCE, "nobody asked the neighbour for {silence} ms");
    }
}

/// What the liveness probe of a component answered last.
pub(crate) fn answers(component: &Component, state: &str) -> bool {
    component.probe("liveness").state.as_deref() == Some(state)
}

fn manifest(handler: &str, isolation: &str) -> String {
    let isolation = if isolation == "Process" { "" } else { "\n            isolation: InProcess" };
    format!(
        "
        metadata: {{name: patient}}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe:
            {handler}{isolation}
            periodSeconds: {PERIOD}
            timeoutSeconds: 1
            failureThreshold: 2
        ---
        metadata: {{name: neighbour}}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe:
            steady: {{trace: beats}}
            periodSeconds: {PERIOD}
            timeoutSeconds: 2
            failureThreshold: 1
        "
    )
}

/// `vitald plugin list -o json`: all libraries, loaded or refused.
#[track_caller]
pub(crate) fn listed(place: &Place, flags: &[&str]) -> Vec<Value> {
    let args: Vec<&str> = ["plugin", "list", "-o", "json"].iter().chain(flags).copied().collect();
    let output = place.cli(&args).expect(0);
    let list: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|err| panic!("{err}: {output:?}"));
    list.as_array().unwrap_or_else(|| panic!("no list: {list}")).clone()
}

/// Why a library is refused, as `vitald plugin list` tells; `None` where it is loaded.
#[track_caller]
pub(crate) fn refusal(place: &Place, library: &Path, flags: &[&str]) -> Option<String> {
    let list = listed(place, flags);
    let file = library.display().to_string();
    let found = list.iter().find(|plugin| plugin["file"] == file.as_str());
    let found = found.unwrap_or_else(|| panic!("{file} is not listed: {list:?}"));
    match found["state"].as_str() {
        Some("Loaded") => None,
        Some("Refused") => Some(found["message"].as_str().unwrap_or_default().to_owned()),
        other => panic!("{other:?} is no state: {found}"),
    }
}
