//! Logs that others write to: one file a component, opened once for append, that nobody can be made to
//! reopen. They are rotated underneath the writer, and read as if nothing had happened.
//!
//! ```text
//! web.log          live: the component writes to it by itself
//! web.log.1 …      older, 1 the newest; all of them, oldest first, are exactly the bytes written
//! web.log.meta     which byte of all ever written is where; web.log.meta.next: room for its next version
//! web.log.draft    an archive being made
//! web.log.times    when the log had grown how far
//! ```
//!
//! **Every position is a logical offset**: bytes ever written to the log before it. It stays what it is when
//! the log is rotated, and when what it points to is dropped.
//!
//! **Invariant:** one file decides, and it is replaced atomically: `web.log.meta`. A range of bytes is read
//! from the live file up to the moment when meta says that it lies in an archive, and from the archive from
//! then on. What is in the live file twice by then is hidden by meta, and only afterwards given back to
//! the file system.
//!
//! **Invariant:** readers take no lock and write nothing. They look at meta again after each look at
//! the live file, and forget what they saw if it has changed.
//!
//! **What may be lost:** by processes that die, nothing. By a machine that dies, what the kernel had not written
//! to the disk by then, about 30 s of a component's output, as of any file. Rotation adds nothing to that with
//! [`Settings::sync`]: what has left the live file is on the disk. On tmpfs all is lost.
//!
//! | who | uses |
//! |---|---|
//! | who starts a component | [`append`]: the file to write to, and where its run begins |
//! | the supervisor | [`Keeper`]: a thread that rotates, keeps the index, watches limits; [`RotatingWriter`] for its own log |
//! | who shows logs | [`LogReader`], [`FolderWatch`], [`Timeline`], [`merge`] |
//! | `doctor` | [`capabilities`] |

mod append;
mod capabilities;
mod chain;
mod cut;
mod error;
mod keeper;
mod merge;
mod meta;
mod names;
mod own;
mod reader;
mod rotate;
mod tail;
mod times;
mod total;
mod view;
mod watch;

pub use append::{Extent, append, extent};
pub use capabilities::{Capabilities, Way, capabilities};
pub use error::LogError;
pub use keeper::{Keeper, Notice, Policy, Shortage};
pub use merge::{Piece, merge};
pub use own::{Format, Level, Record, RotatingWriter};
pub use reader::{LogReader, Read};
pub use rotate::{Finding, Look, OnDiskFull, Rotated, RotatingLog, Settings, Step};
pub use times::{Moment, Timeline};
pub use total::limit_total;
pub use watch::FolderWatch;
