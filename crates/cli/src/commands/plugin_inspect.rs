//! `vitald plugin inspect FILE`.

use serde::Serialize;
use vitald_core::quantity::show_bytes;
use vitald_core::status::{PluginAbout, PluginLimits};
use vitald_plugin::Inspection;

use crate::cli::{Format, PluginInspect};
use crate::commands::probe_list::{Kind, fields_table};
use crate::exit::{Exit, Failure, Outcome};
use crate::format::plain;
use crate::places::Places;
use crate::{kept, output, plugins};

/// Shows what a library says of itself, wherever it lies.
pub(crate) async fn run(args: &PluginInspect, places: &Places) -> Outcome {
    let file = places.absolute(&args.file);
    let plugins = plugins::find(places, Vec::new(), plugins::say_on_stderr())?;
    let inspection = plugins.inspect(&file).map_err(|refusal| Failure::not(plain(&refusal.to_string())))?;
    let limits = plugins::limits(plugins.limits());
    let library = Library::of(inspection, limits, kept::limits_of_running(places).await);
    match args.output {
        Format::Json => output::json(&library)?,
        Format::Yaml => output::yaml(&library)?,
        Format::Table | Format::Wide => output::bytes(library.text(output::colour()).as_bytes())?,
    }
    Ok(if library.objections.is_empty() { Exit::Done } else { Exit::Not })
}

/// A library, looked at closely.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Library {
    file: String,
    about: PluginAbout,
    /// What keeps it from being used here.
    objections: Vec<String>,
    /// What its process may use where a command such as this one loads it.
    limits: PluginLimits,
    /// What it may use in the supervisor of the current folder, if one runs.
    limits_of_supervisor: Option<PluginLimits>,
    probes: Vec<Probe>,
}

#[derive(Debug, Serialize)]
struct Probe {
    key: String,
    /// The JSON Schema of its configuration.
    schema: serde_json::Value,
}

impl Library {
    fn of(inspection: Inspection, limits: PluginLimits, limits_of_supervisor: Option<PluginLimits>) -> Self {
        let Inspection { file, about, probes, objections } = inspection;
        let probes =
            probes.into_iter().map(|probe| Probe { key: probe.key, schema: probe.schema.to_value() });
        Self {
            file: file.display().to_string(),
            about: plugins::about(about),
            objections: objections.iter().map(|objection| plain(objection)).collect(),
            limits,
            limits_of_supervisor,
            probes: probes.collect(),
        }
    }

    fn text(&self, colour: bool) -> String {
        let PluginAbout { name, version, abi, sdk, rustc, panic_aborts } = &self.about;
        let mut text = String::new();
        let mut line = |what: &str, value: &str| text += &format!("{what:10}{}\n", plain(value));
        line("Library", name);
        line("Version", version);
        line("File", &self.file);
        line("ABI", abi);
        line("SDK", sdk);
        line("Compiler", rustc);
        line("Limits", &self.limits());
        if *panic_aborts {
            line("Panics", "end its process (panic = \"abort\"), so that it cannot run in the supervisor");
        }
        for objection in &self.objections {
            line("Refused", objection);
        }
        let kinds: Vec<Kind> =
            self.probes.iter().map(|probe| Kind::of(&probe.key, &self.file, &probe.schema)).collect();
        text + "\n" + &fields_table(&kinds, false, colour) + "\n"
    }
}

impl Library {
    /// `512Mi of memory and 256 open files for its process`, and where else it is otherwise.
    fn limits(&self) -> String {
        let shown = |PluginLimits { memory, open_files }| {
            format!("{} of memory and {open_files} open files", show_bytes(memory))
        };
        let own = shown(self.limits);
        match self.limits_of_supervisor.filter(|running| *running != self.limits) {
            Some(running) => {
                format!("{own} for its process here, {} in the supervisor that runs", shown(running))
            }
            None => format!("{own} for its process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_and_what_its_probes_take() {
        let library = Library {
            file: "/plugins/libdisk_space.so".into(),
            about: PluginAbout {
                name: "disk-space".into(),
                version: "0.1.0".into(),
                abi: "1.0".into(),
                sdk: "0.1.0".into(),
                rustc: "rustc 1.95.0".into(),
                panic_aborts: true,
            },
            limits: PluginLimits { memory: 512 << 20, open_files: 256 },
            limits_of_supervisor: Some(PluginLimits { memory: 1 << 30, open_files: 100 }),
            objections: vec!["`pid` is the name of a built-in probe".into()],
            probes: vec![Probe {
                key: "diskSpace".into(),
                schema: serde_json::json!({
                    "description": "Healthy while a file system has room.\n\nMore.",
                    "properties": {
                        "path": { "description": "A file or\nfolder on it." },
                        "minFree": { "description": "Percent that must be free." },
                    },
                    "required": ["path"],
                }),
            }],
        };
        insta::assert_snapshot!(library.text(false), @r#"
        Library   disk-space
        Version   0.1.0
        File      /plugins/libdisk_space.so
        ABI       1.0
        SDK       0.1.0
        Compiler  rustc 1.95.0
        Limits    512Mi of memory and 256 open files for its process here, 1Gi of memory and 100 open files in the supervisor that runs
        Panics    end its process (panic = "abort"), so that it cannot run in the supervisor
        Refused   `pid` is the name of a built-in probe

        KEY        FIELD    REQUIRED  MEANING
        diskSpace                     Healthy while a file system has room.
                   path     yes       A file or folder on it.
                   minFree  no        Percent that must be free.
        "#);
    }
}
