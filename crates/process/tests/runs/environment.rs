//! What a component finds in its environment.

use vitald_core::restarter::{ExecRequest, Restarter, RunId};
use vitald_core::spec::{EnvValue, EnvVar};

use crate::bed::{Bed, clear};

fn key(path: std::path::PathBuf, key: &str, optional: bool) -> EnvVar {
    EnvVar { name: "API_KEY".into(), value: EnvValue::FileKey { path, key: key.into(), optional } }
}

#[tokio::test]
async fn it_is_what_was_inherited_what_the_manifest_says_and_the_mark() {
    let mut bed = Bed::new(&["env"]).env("A", "$(FROM_FILE)+$$(A)+$(NONE)").env("PATH", "$(PATH):/opt/bin");
    bed.spec.env_from =
        vec![bed.write("a.env", "FROM_FILE=1\nOTHER=1", 0o600), bed.write("b.env", "OTHER=\"2 3\"", 0o600)];
    let output = bed.output().await;
    let mut lines: Vec<&str> = output.lines().collect();
    lines.sort_unstable();
    let own = lines.iter().position(|line| line.starts_with("VITALD_MAIN_PID=")).expect(&output);
    lines.remove(own);
    let instance = lines.iter().position(|line| line.starts_with("VITALD_INSTANCE=")).expect(&output);
    lines.remove(instance);
    assert_eq!(
        lines,
        [
            "A=1+$(A)+$(NONE)",
            "FROM_FILE=1",
            "OTHER=2 3",
            "PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin",
            "VITALD_COMPONENT=it",
            "VITALD_RUN=1",
        ]
    );
}

#[tokio::test]
async fn secrets_are_read_at_each_start() {
    let mut bed = Bed::sh("echo $API_KEY $VITALD_RUN");
    let file = bed.write("secrets.env", "KEY=first", 0o600);
    bed.spec.env = vec![key(file, "KEY", false)];
    bed.output().await;
    bed.write("secrets.env", "KEY=second", 0o600);
    assert_eq!(bed.output().await, "first 1\nsecond 2\n");
}

#[tokio::test]
async fn missing_files_and_keys_are_named_and_values_are_not() {
    let mut bed = Bed::new(&["true"]);
    let file = bed.write("secrets.env", "KEY=hunter2", 0o600);
    bed.spec.env = vec![key(file.clone(), "OTHER", false)];
    assert_eq!(bed.refusal().await, format!("environment: `API_KEY`: {} has no key `OTHER`", file.display()));
    bed.spec.env = vec![key("/no/such.env".into(), "KEY", false)];
    assert_eq!(bed.refusal().await, "environment: `API_KEY`: /no/such.env: no such file or directory");
    let broken = bed.write("broken.env", "A=1\nhunter2", 0o600);
    bed.spec.env_from = vec![broken.clone()];
    assert_eq!(bed.refusal().await, format!("environment: {}:2: expected NAME=value", broken.display()));
}

#[tokio::test]
async fn optional_ones_are_left_out() {
    let mut bed = Bed::sh("echo ${API_KEY-unset}");
    let file = bed.write("secrets.env", "KEY=1", 0o600);
    bed.spec.env = vec![key(file, "OTHER", true), key("/no/such.env".into(), "KEY", true)];
    assert_eq!(bed.output().await, "unset\n");
}

#[tokio::test]
async fn an_expanded_secret_shows_in_no_refusal() {
    let mut bed = Bed::new(&["$(API_KEY)", "$(API_KEY)"]);
    let file = bed.write("secrets.env", "KEY=hunter2", 0o600);
    bed.spec.env = vec![key(file, "KEY", false)];
    let message = bed.refusal().await;
    assert!(message.contains("`$(API_KEY)`") && !message.contains("hunter2"), "{message}");
}

#[tokio::test]
async fn what_commands_print_of_a_secret_is_blotted_out_before_it_is_cut() {
    let mut bed = Bed::new(&["sleep", "1000"]);
    let file = bed.write("secrets.env", "KEY=\"tok  en-0123456789\"", 0o600);
    bed.spec.env = vec![key(file, "KEY", false)];
    let restarter = bed.restarter();
    let run = restarter.start(RunId(1)).await.unwrap();
    let script = "printf 'refused %s, ' \"$API_KEY\" $API_KEY; printf '%180s' | tr ' ' x; echo $API_KEY";
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let request = ExecRequest { command, ..ExecRequest::default() };
    let done = restarter.executor().exec(request).await.unwrap();
    assert!(done.output.starts_with("refused ***, "), "{}", done.output);
    assert!(done.output.ends_with(&format!("{}***\n", "x".repeat(180))), "{}", done.output);
    assert_eq!(restarter.redact("refused tok en-0123456789".into()), "refused ***");
    clear(&run).await;
}

#[tokio::test]
async fn a_start_that_failed_has_read_the_secrets_already() {
    let mut bed = Bed::new(&["/no/such/program"]);
    let file = bed.write("secrets.env", "KEY=hunter2", 0o600);
    bed.spec.env = vec![key(file, "KEY", false)];
    let restarter = bed.restarter();
    assert!(restarter.start(RunId(1)).await.is_err());
    assert_eq!(restarter.redact("login with hunter2".into()), "login with ***");
}

#[tokio::test]
async fn what_comes_from_files_of_env_from_is_blotted_out_too() {
    let mut bed = Bed::new(&["sleep", "1000"]).env("URL", "redis://:$(PASSWORD)@localhost");
    bed.spec.env_from = vec![
        bed.write("a.env", "PASSWORD=overridden\nLEVEL=3", 0o600),
        bed.write("b.env", "PASSWORD='hunter two'", 0o600),
    ];
    let restarter = bed.restarter();
    let run = restarter.start(RunId(1)).await.unwrap();
    let said = "level 3: redis://:hunter two@localhost refused, and so was overridden";
    assert_eq!(restarter.redact(said.into()), "level 3: redis://:***@localhost refused, and so was ***");
    clear(&run).await;
    // What the run got is not to be seen, whatever the file says by now.
    bed.write("b.env", "PASSWORD=hunter3", 0o600);
    let command = ["/bin/sh", "-c", "echo $PASSWORD; exit 1"].map(str::to_owned).to_vec();
    let done = restarter.executor().exec(ExecRequest { command, ..ExecRequest::default() }).await.unwrap();
    assert_eq!(done.output, "***\n");
}
