//! What tells a container as ours, and as whose.

use std::collections::HashMap;
use std::path::Path;

use vitald_core::restarter::RunId;

/// The component.
pub(crate) const COMPONENT: &str = "io.vitald.component";
/// The number of the run.
pub(crate) const RUN: &str = "io.vitald.run";
/// The identity of the component's lock file: two supervisors may have components of the same name, but never
/// share a lock file, and a copied state dir has other ones.
pub(crate) const INSTANCE: &str = "io.vitald.instance";
/// Where that file was, for people.
pub(crate) const LOCK: &str = "io.vitald.lock";

/// What a component's container is called.
pub(crate) fn container_name(component: &str) -> String {
    format!("vitald-{component}")
}

/// The labels of one run's container.
pub(crate) fn of_run(component: &str, instance: &str, run: RunId, lock: &Path) -> HashMap<String, String> {
    [
        (COMPONENT, component.to_owned()),
        (INSTANCE, instance.to_owned()),
        (RUN, run.to_string()),
        (LOCK, lock.display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// A filter for the containers of a component, whichever run they belong to.
pub(crate) fn of_component(component: &str, instance: &str) -> HashMap<String, Vec<String>> {
    let labels = vec![format!("{COMPONENT}={component}"), format!("{INSTANCE}={instance}")];
    [("label".to_owned(), labels)].into()
}
