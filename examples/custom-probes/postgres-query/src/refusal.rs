//! What it means that PostgreSQL said no, or nothing.

use std::error::Error as _;
use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use vitald_sdk::probe::ProbeResult;
use vitald_sdk::wording::{excerpt, is_ours, system_error};

/// Whether a question that was refused says something of the server.
pub(crate) fn verdict(err: &Error, server: &str) -> ProbeResult {
    if let Some(refusal) = err.as_db_error() {
        let said = excerpt(refusal.message());
        return match is_about_the_question(refusal.code()) {
            true => ProbeResult::unknown(format!("{server} could not be asked: {said}")),
            false => ProbeResult::failure(format!("{server} answers: {said}")),
        };
    }
    let io = causes(err).find_map(|cause| cause.downcast_ref::<io::Error>());
    if let Some(err) = io {
        let reason = match err.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!("connection refused by {server}: nothing listens there")
            }
            io::ErrorKind::NotFound => format!("{server} is not there"),
            _ => format!("no connection with {server}: {}", system_error(err)),
        };
        return if is_ours(err) { ProbeResult::Unknown(reason) } else { ProbeResult::Failure(reason) };
    }
    if err.is_closed() {
        return ProbeResult::failure(format!("{server} closed the connection"));
    }
    // Such as a password that it wants and nobody has.
    let said: Vec<String> =
        [err.to_string()].into_iter().chain(causes(err).map(ToString::to_string)).collect();
    ProbeResult::unknown(format!("{server} could not be asked: {}", excerpt(&said.join(": "))))
}

/// What an error comes from, and that from, and so on.
fn causes(err: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(err.source(), |&cause| cause.source())
}

/// Whether it is the question that is wrong, by the class of PostgreSQL's error codes: authorization, a name of a
/// database or schema, grammar and rights, a query that would write. All others are the server's state.
fn is_about_the_question(code: &SqlState) -> bool {
    let class = code.code().get(..2).unwrap_or_default();
    ["28", "3D", "3F", "42"].contains(&class) || *code == SqlState::READ_ONLY_SQL_TRANSACTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_lacks_is_its_failure() {
        for (code, is_question) in [
            ("28P01", true),  // a wrong password
            ("3D000", true),  // no such database
            ("42601", true),  // grammar
            ("42501", true),  // rights
            ("25006", true),  // it would write
            ("57P03", false), // it is starting up
            ("53300", false), // too many connections
            ("57014", false), // it took too long
            ("XX001", false), // corrupted data
        ] {
            assert_eq!(is_about_the_question(&SqlState::from_code(code)), is_question, "{code}");
        }
    }
}
