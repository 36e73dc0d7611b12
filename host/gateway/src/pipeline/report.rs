//! Reports of failures, for the log and the record of an exchange.

use hyper::StatusCode;

use crate::failure::Failure;

/// What log and metrics get of a failure when it arises. On its way to the client it may be replaced or take another form.
#[derive(Clone, Debug)]
pub struct FailureReport {
    /// The code that the client sees.
    pub code: String,
    /// The metric label: a member of a closed set.
    pub label: &'static str,
    status: StatusCode,
    message: String,
    cause: String,
}

impl FailureReport {
    /// The report of this failure.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        Self {
            code: failure.code().to_owned(),
            label: failure.kind().label(),
            status: failure.status(),
            message: failure.message().to_owned(),
            cause: failure.cause(),
        }
    }

    /// The chain of causes in one line, which the client does not see; "" if there is none.
    #[must_use]
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// Logs it.
    pub fn log(&self, req: &str, route: &str) {
        let Self {
            code,
            status,
            message,
            cause,
            ..
        } = self;
        let status = status.as_u16();
        if status >= 500 {
            tracing::warn!(req, route, status, code, error = cause, "{message}");
        } else {
            tracing::debug!(req, route, status, code, error = cause, "{message}");
        }
    }
}
