//! What a component needs of its machine: room on a disk (`diskSpace`), and files that somebody keeps writing
//! (`fileAge`).

mod disk_space;
mod file_age;
mod question;

pub use disk_space::{DiskSpaceProbe, DiskSpaceSpec};
pub use file_age::{FileAgeProbe, FileAgeSpec};

vitald_sdk::export_probe!(DiskSpaceProbe, FileAgeProbe);
