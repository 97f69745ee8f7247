//! What cannot be done, as HTTP says it.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vitald_core::status::ApiError;
use vitald_supervisor::CommandError;

/// A refusal: a status code and one sentence.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: StatusCode,
    sentence: String,
}

impl Refusal {
    /// The request makes no sense.
    pub(crate) fn bad_request(sentence: impl Into<String>) -> Self {
        Self { code: StatusCode::BAD_REQUEST, sentence: sentence.into() }
    }

    /// What is asked for does not exist.
    pub(crate) fn not_found(sentence: impl Into<String>) -> Self {
        Self { code: StatusCode::NOT_FOUND, sentence: sentence.into() }
    }

    /// The route exists for another method.
    pub(crate) fn wrong_method(sentence: impl Into<String>) -> Self {
        Self { code: StatusCode::METHOD_NOT_ALLOWED, sentence: sentence.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.code, Json(ApiError { error: self.sentence })).into_response()
    }
}

impl From<CommandError> for Refusal {
    fn from(err: CommandError) -> Self {
        let code = match err {
            CommandError::NoSuchComponent { .. } | CommandError::NoSuchProbe { .. } => StatusCode::NOT_FOUND,
            CommandError::NotRunning { .. } | CommandError::PluginsRefused(_) => StatusCode::CONFLICT,
            CommandError::BadProbe { .. } => StatusCode::BAD_REQUEST,
            CommandError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { code, sentence: err.to_string() }
    }
}

impl From<JsonRejection> for Refusal {
    fn from(err: JsonRejection) -> Self {
        Self::bad_request(err.body_text())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(err: QueryRejection) -> Self {
        Self::bad_request(err.body_text())
    }
}
