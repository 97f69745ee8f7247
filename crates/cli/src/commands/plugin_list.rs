//! `vitald plugin list`.

use vitald_core::status::{PluginAbout, PluginState, PluginStatus};

use crate::cli::{Format, PluginList};
use crate::exit::{Exit, Failure, Outcome};
use crate::format::plain;
use crate::places::Places;
use crate::{output, plugins, reach, table};

/// Lists libraries of custom probes: those that a command finds, or those that the supervisor has.
pub(crate) async fn run(args: &PluginList, places: &Places) -> Outcome {
    let named = &args.selector.filename;
    let (libraries, nothing) = match args.running {
        true => {
            let client = reach::supervisor(places, named).await?;
            (client.plugins().await?, "the supervisor has found no library of custom probes".to_owned())
        }
        false => find(places, args).await?,
    };
    match args.output {
        Format::Json => output::json(&libraries)?,
        Format::Yaml => output::yaml(&libraries)?,
        Format::Table | Format::Wide if libraries.is_empty() => output::note(&nothing),
        Format::Table | Format::Wide => {
            output::line(rows(&libraries, args.output == Format::Wide, output::colour()))?;
        }
    }
    Ok(Exit::Done)
}

/// What a command finds now, and what is said if that is nothing.
async fn find(places: &Places, args: &PluginList) -> Result<(Vec<PluginStatus>, String), Failure> {
    let folders = plugins::all_folders(places, &places.own(&args.selector.filename)).await;
    let list: String = folders.iter().map(|folder| format!("\n  {}", folder.path.display())).collect();
    let nothing = match list.is_empty() {
        true => "no folder of libraries is known here; name one with --plugin-dir".to_owned(),
        false => format!("there is no library of custom probes in:{list}"),
    };
    let found = plugins::find(places, folders, plugins::say_on_stderr())?;
    Ok((found.list().into_iter().map(plugins::status).collect(), nothing))
}

fn rows(libraries: &[PluginStatus], wide: bool, colour: bool) -> String {
    let mut header = vec!["LIBRARY", "VERSION", "STATE", "PROBES", "FILE"];
    if wide {
        header.extend(["ABI", "SDK", "COMPILER"]);
    }
    header.push("MESSAGE");
    let mut table = table::new(&header, colour);
    for library in libraries {
        let of = |field: fn(&PluginAbout) -> &str| match &library.about {
            Some(about) => plain(field(about)),
            None => "-".to_owned(),
        };
        let state = match library.state {
            PluginState::Loaded => comfy_table::Cell::new(library.state),
            PluginState::Refused => comfy_table::Cell::new(library.state).fg(comfy_table::Color::Red),
        };
        let mut row: Vec<comfy_table::Cell> = vec![
            of(|about| &about.name).into(),
            of(|about| &about.version).into(),
            state,
            plain(&library.probes.join(", ")).into(),
            plain(&library.file).into(),
        ];
        if wide {
            row.extend([
                of(|about| &about.abi).into(),
                of(|about| &about.sdk).into(),
                of(|about| &about.rustc).into(),
            ]);
        }
        row.push(plain(&library.message).into());
        table.add_row(row);
    }
    table::text(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_a_library() {
        let about = PluginAbout {
            name: "disk-space".into(),
            version: "0.1.0".into(),
            abi: "1.0".into(),
            sdk: "0.1.0".into(),
            rustc: "rustc 1.95.0".into(),
            panic_aborts: false,
        };
        let good = PluginStatus {
            file: "/plugins/libdisk_space.so".into(),
            state: PluginState::Loaded,
            message: String::new(),
            probes: vec!["diskSpace".into(), "fileAge".into()],
            about: Some(about),
        };
        let bad = PluginStatus {
            file: "/plugins/libm.so".into(),
            state: PluginState::Refused,
            message: "it is no library of vitald probes".into(),
            probes: Vec::new(),
            about: None,
        };
        insta::assert_snapshot!(rows(&[good.clone(), bad.clone()], false, false), @r"
        LIBRARY     VERSION  STATE    PROBES              FILE                       MESSAGE
        disk-space  0.1.0    Loaded   diskSpace, fileAge  /plugins/libdisk_space.so
        -           -        Refused                      /plugins/libm.so           it is no library of vitald probes
        ");
        assert!(rows(&[good, bad], true, false).contains("  1.0  0.1.0  rustc 1.95.0\n"));
    }
}
