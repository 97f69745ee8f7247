//! Docker containers: how a component is created, watched, logged, stopped and cleared away.
//!
//! A run is one container, made for it and removed after it. Labels say whose it is: the component, the run,
//! and the identity of the component's lock file, so that a copied state dir does not take it for its own.
//! The engine restarts nothing behind our back.
//!
//! The engine's own log of a container is copied into the component's log, and removed with the container
//! once it has been copied to its end. Where the copy stands is on record beside the lock: a supervisor that
//! takes over goes on there, and the overlap is told by time and by count.
//!
//! An engine that cannot be reached says nothing about a container: whoever waits for its end waits on, and
//! asks again when the engine is back.
//!
//! There is no init in the container, as in Kubernetes: some images bring their own, which must be PID 1. The
//! main process is PID 1 then, and a signal that it has no handler for does nothing to it: SIGTERM is followed
//! by SIGKILL once the grace period is over.
//!
//! Nothing here decides when a component starts or stops.

mod adopt;
mod capability;
mod component;
mod create;
mod engine;
mod executor;
mod failure;
mod image;
mod kernel;
mod labels;
mod leftovers;
mod log;
mod position;
mod restarter;
mod run;
mod watch;

pub use capability::capability;
pub use leftovers::end_leftovers;
pub use restarter::ContainerRestarter;
