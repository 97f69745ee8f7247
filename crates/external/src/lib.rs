//! Under vitald: what others start, found by pid file or port.
//!
//! vitald does not trust a pid. A process counts as the one that is meant if it is alive, had started when its pid
//! file was written, and has the name that it must have; from then on it is held by a pidfd, and told apart from
//! every other by its start time. What does not fit is told in the component's log, and ignored.
//!
//! - **Start.** What runs already is taken as it is. Else `startCommand` runs, and its process is waited for, 90 s for
//!   both. Without one, somebody else's start is waited for, however long that takes.
//! - **End.** It is told by the kernel. A process that has ended while its pid file names another living one has
//!   replaced itself, and the run goes on with that one.
//! - **Stop.** By `stopCommand`, and it lasts as long as that does; what is there after the grace period is ended by
//!   SIGKILL, as systemd does it with a service of a pid file: the very process that was found, and no other of its
//!   tree. Without a `stopCommand` nothing is ever signalled, and a stop lets go of it.
//! - **Restart.** With a `restartCommand`, the run is let go of, and after the delay the command runs, instead of stop
//!   and start. Should nothing be started any more meanwhile, `stopCommand` ends what was let go of; should the
//!   supervisor die, the next one knows of it. `restartCommand` also begins what has ended, where there is no
//!   `startCommand`. Without either, a sick process is let go of, and another one is waited for, or its end.
//! - **Commands** that a supervisor was at when it died are ended by the next one, before it looks what there is. A
//!   start that is given up in the middle of its command is followed by `stopCommand`.
//! - **Output** of the commands goes to the component's log.

mod found;
mod port;
mod restarter;
mod run;
mod shared;

pub use restarter::ExternalRestarter;
