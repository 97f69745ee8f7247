//! What was found when, for people.

use std::time::Duration;

/// One fault, and how it went.
pub(crate) struct Row {
    /// To which part.
    pub(crate) part: String,
    /// What was done to it.
    pub(crate) fault: String,
    /// How it was told: the reason of the last exit.
    pub(crate) told: String,
    /// From the fault until the status said so.
    pub(crate) found: Duration,
    /// From the fault until the part was ready again.
    pub(crate) ready: Duration,
}

/// Prints the table.
pub(crate) fn print(rows: &[Row]) {
    println!("\n{:<16} {:<17} {:<20} {:>9} {:>12}", "part", "fault", "told as", "found", "ready again");
    for row in rows {
        let (found, ready) = (row.found.as_secs_f64(), row.ready.as_secs_f64());
        println!("{:<16} {:<17} {:<20} {found:>7.1} s {ready:>10.1} s", row.part, row.fault, row.told);
    }
}
