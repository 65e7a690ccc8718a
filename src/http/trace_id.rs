//! The id of the request being answered, wherever in its answering an error is worded.

use std::future::Future;

tokio::task_local! {
    static TRACE_ID: String;
}

/// Runs `work` as the answering of request `id`.
pub fn answering<F: Future>(id: String, work: F) -> impl Future<Output = F::Output> {
    TRACE_ID.scope(id, work)
}

/// The same, at once.
pub fn answering_now<T>(id: String, work: impl FnOnce() -> T) -> T {
    TRACE_ID.sync_scope(id, work)
}

/// The id of the request being answered; empty outside of one.
pub fn current() -> String {
    TRACE_ID.try_with(Clone::clone).unwrap_or_default()
}
