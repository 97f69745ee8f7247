//! `docs/custom-probes.md`: its commands work as they stand, and print what the page says.
//!
//! A block of `console` has commands, after `$ `, and what they print. There, `…` stands for anything within a line;
//! a line that has nothing else, for any number of lines. `<!-- file: NAME -->` above a block: that file.

use std::fs;
use std::process::{Command, Stdio};

use vitald_tests::{Output, Supervisor, repository};

const PAGE: &str = "docs/custom-probes.md";

enum Step {
    File { name: String, text: String },
    Command { line: String, prints: Option<Vec<String>> },
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut file = None;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->")) {
            file = Some(name.to_owned());
        }
        let Some(kind) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let Some(name) = file.take() {
            steps.push(Step::File { name, text: format!("{}\n", block.join("\n")) });
        } else if kind == "console" {
            for line in block {
                match (line.strip_prefix("$ "), steps.last_mut()) {
                    (Some(line), _) => steps.push(Step::Command { line: line.to_owned(), prints: None }),
                    (None, Some(Step::Command { prints, .. })) => {
                        prints.get_or_insert_default().push(line.to_owned());
                    }
                    (None, _) => panic!("{line} is printed by nothing"),
                }
            }
        }
    }
    steps
}

/// All steps in one shell, each command's words and status in files of their own.
fn script(steps: &[Step]) -> String {
    let step = |(number, step): (usize, &Step)| match step {
        Step::File { name, text } => {
            format!("mkdir -p \"$(dirname {name})\"\ncat > {name} <<'THE END'\n{text}THE END\n")
        }
        Step::Command { line, .. } => format!(
            "{{ {line}\n}} > \"$SAID/{number}\" 2>&1 < /dev/null; echo $? > \"$SAID/{number}.status\"\n"
        ),
    };
    steps.iter().enumerate().map(step).collect()
}

#[test]
fn the_pages_commands_work_and_print_what_it_says() {
    let page = fs::read_to_string(repository().join(PAGE)).unwrap();
    let steps = steps(&page);
    let s = Supervisor::prepare("metadata: {name: none}\nspec: {command: [sleep, '1']}");
    let work = s.path("work");
    let said = s.path("said-by-commands");
    // What is built on the way stays for the next time.
    let built = std::env::var_os("VITALD_STRANGER_TARGET")
        .map_or_else(|| repository().join("target/stranger"), Into::into)
        .join("page");
    for folder in [&work, &said, &built] {
        fs::create_dir_all(folder).unwrap();
    }

    let mut bash = Command::new("bash");
    bash.args(["-c", &script(&steps)]).current_dir(&work).stdin(Stdio::null()).env("HOME", s.path(""));
    // As in a shell of a person who has vitald on PATH, and Rust.
    for (name, value) in s.command(&[]).get_envs() {
        match value {
            Some(value) if name == "PATH" || name == "TMPDIR" => bash.env(name, value),
            _ => &mut bash,
        };
    }
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from).unwrap_or_default();
    for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        bash.env(name, std::env::var_os(name).unwrap_or_else(|| home.join(folder).into()));
    }
    for name in ["VITALD_STATE_DIR", "VITALD_PLUGIN_PATH", "XDG_STATE_HOME", "CARGO_TARGET_DIR", "RUSTFLAGS"]
    {
        bash.env_remove(name);
    }
    Output::of(bash.env("SAID", &said).env("CARGO_BUILD_BUILD_DIR", &built)).expect(0);

    let mut commands = 0;
    let mut wrong = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let Step::Command { line, prints } = step else { continue };
        commands += 1;
        let read = |name: String| fs::read_to_string(said.join(name)).unwrap_or_default();
        let (told, status) = (read(number.to_string()), read(format!("{number}.status")));
        let page: Vec<&str> = prints.iter().flatten().map(String::as_str).collect();
        let lines: Vec<&str> = told.lines().map(str::trim_end).collect();
        // Where the page shows nothing, it is good to know that all went well.
        let is_right = if prints.is_none() { status == "0\n" } else { matches(&page, &lines) };
        if !is_right {
            wrong.push(format!("$ {line}\n{told}--- status {status}--- the page has\n{}", page.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{PAGE} shows what is not so:\n{}", wrong.join("\n\n"));
    assert!(commands > 20, "only {commands} commands in {PAGE}");
    s.assert_nothing_left();
}

/// Whether lines are as the page has them.
fn matches(page: &[&str], told: &[&str]) -> bool {
    match page {
        [] => told.is_empty(),
        ["…", rest @ ..] => (0..=told.len()).any(|skipped| matches(rest, &told[skipped..])),
        [line, rest @ ..] => {
            told.first().is_some_and(|told| line_matches(line, told)) && matches(rest, &told[1..])
        }
    }
}

fn line_matches(page: &str, told: &str) -> bool {
    let Some((begin, rest)) = page.split_once('…') else { return page == told };
    let Some(after) = told.strip_prefix(begin) else { return false };
    let places = after.char_indices().map(|(at, _)| at).chain([after.len()]);
    places.into_iter().any(|at| line_matches(rest, &after[at..]))
}

#[test]
fn dots_stand_for_anything_and_nothing_else_does() {
    let told = ["a 1 b", "c", "d"];
    for (page, is_right) in [
        (vec!["a 1 b", "c", "d"], true),
        (vec!["a … b", "…", "d"], true),
        (vec!["…"], true),
        (vec!["…d"], false),
        (vec!["…", "d", "…"], true),
        (vec!["a … c", "…"], false),
        (vec!["…", "c"], false),
        (vec!["a 1", "…"], false),
    ] {
        assert_eq!(matches(&page, &told), is_right, "{page:?}");
    }
}
