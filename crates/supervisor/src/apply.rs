//! Making the running set what the manifests say: what did not change is not touched.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use vitald_core::lifecycle::{Command, EventReason, Notice};
use vitald_core::spec::ComponentSpec;
use vitald_core::status::{EventType, Plan};

use crate::handle::CommandError;
use crate::member::Member;
use crate::shutdown::in_reverse_order;
use crate::store;
use crate::supervisor::Shared;

/// What would become of the components.
pub(crate) fn plan(members: &[Arc<Member>], specs: &[ComponentSpec]) -> Plan {
    let mut plan = Plan::default();
    for spec in specs {
        let list = match members.iter().find(|member| member.name == spec.name).map(|member| member.spec()) {
            None => &mut plan.created,
            Some(now) if !now.runs_like(spec) => &mut plan.changed,
            Some(now) if *now != *spec => &mut plan.relabelled,
            Some(_) => &mut plan.unchanged,
        };
        list.push(spec.name.clone());
    }
    let kept: BTreeSet<_> = specs.iter().map(|spec| &spec.name).collect();
    let removed = members.iter().map(|member| &member.name).filter(|name| !kept.contains(name));
    plan.removed = removed.cloned().collect();
    plan
}

/// Brings the plan about: those that change or go are stopped in reverse order; then the changed ones get
/// their specs, and those and the new ones begin, each as soon as what it depends on is there.
///
/// `manifests` is where they are from, if that is another place than before.
/// `under_way` is told as soon as the status of a component that changes says so.
///
/// # Errors
/// The supervisor is ending; what has been stopped by then is its next one's business.
pub(crate) async fn apply(
    shared: &Arc<Shared>,
    specs: Vec<ComponentSpec>,
    manifests: Option<Vec<PathBuf>>,
    under_way: Option<oneshot::Sender<()>>,
) -> Result<Plan, CommandError> {
    // One after the other: each makes the running set what its manifests say.
    let one_at_a_time = shared.applying.lock().await;
    let plan = create(shared, &specs)?;
    let members = shared.members();
    let leaving: Vec<_> = members
        .iter()
        .filter(|member| plan.changed.contains(&member.name) || plan.removed.contains(&member.name))
        .cloned()
        .collect();
    let removed: BTreeSet<_> = plan.removed.iter().cloned().collect();
    in_reverse_order(&leaving, &members, under_way, |member| match removed.contains(&member.name) {
        true => Some(Command::Shutdown),
        false => Some(Command::Replace),
    })
    .await;

    let mut begun = Vec::new();
    for spec in specs {
        let Some(member) = members.iter().find(|member| member.name == spec.name) else { continue };
        if *member.spec() != spec {
            give(shared, member, Arc::new(spec)).await?;
        }
        begun.push(Arc::clone(member));
    }
    join_all(leaving.iter().filter(|member| removed.contains(&member.name)).map(|m| m.ended())).await;
    plan.removed.iter().for_each(|name| shared.nursery.logs.forget(name));
    shared.set_members(&begun)?;
    if let Some(manifests) = manifests {
        shared.set_manifests(manifests);
    }
    forget(shared, &begun);
    // All of them: what they depend on may be another one, or gone.
    begun.iter().for_each(|member| member.watch_dependencies(&begun));
    for member in &begun {
        member.tell(Command::Begin).await;
    }
    drop(one_at_a_time);
    join_all(begun.iter().map(|member| member.until(|view| view.lifecycle.is_settled()))).await;
    Ok(plan)
}

/// Adds the new ones, which do not begin yet.
fn create(shared: &Arc<Shared>, specs: &[ComponentSpec]) -> Result<Plan, CommandError> {
    let plan = plan(&shared.members(), specs);
    for spec in specs.iter().filter(|spec| plan.created.contains(&spec.name)) {
        shared.make(spec.clone())?;
    }
    // What stays as it is goes on, and somebody may tell the new ones to start. What changes or goes, and was only
    // just adopted, is not started again under a spec of yesterday.
    let members = shared.members();
    let stays =
        |member: &&Arc<Member>| !plan.changed.contains(&member.name) && !plan.removed.contains(&member.name);
    members.iter().filter(stays).for_each(|member| member.watch_dependencies(&members));
    Ok(plan)
}

/// Gives a member its new spec. Somebody may have told it to start meanwhile: it is stopped again then.
async fn give(shared: &Shared, member: &Member, spec: Arc<ComponentSpec>) -> Result<(), CommandError> {
    shared.nursery.logs.keep(&member.name, &spec.logs);
    while !member.give(Arc::clone(&spec)).await {
        if shared.shutdown.is_asked() {
            return Err(CommandError::ShuttingDown);
        }
        if member.has_ended() {
            // Nobody looks after it any more, and people have been told so.
            return Ok(());
        }
        member.tell(Command::Replace).await;
        member.until(|view| view.lifecycle.is_settled()).await;
    }
    Ok(())
}

/// Forgets what is not in the manifests any more. Logs stay, and so do locks: they must never be deleted.
fn forget(shared: &Shared, members: &[Arc<Member>]) {
    let names: BTreeSet<_> = members.iter().map(|member| member.name.as_str()).collect();
    let folder = shared.nursery.state_dir.path().join("components");
    let warn = |name: &str, reason, message| {
        shared.nursery.events.add(name, &Notice { kind: EventType::Warning, reason, message });
    };
    match store::forget_all_but(&folder, |name| names.contains(name)) {
        Ok(put_aside) => {
            for name in put_aside {
                let message = "it is not in the manifests, and what an earlier vitald knew of it cannot be read: \
                               what may run of it is left alone";
                warn(&name, EventReason::FailedRead, message.into());
            }
        }
        Err(err) => {
            let message = format!("records of components that are gone cannot be removed: {err}");
            warn("", EventReason::FailedWrite, message);
        }
    }
}
