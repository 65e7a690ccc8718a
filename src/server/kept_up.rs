//! The server's own work, a task each: one that panics is told of, and begun anew.

use crate::app::App;
use crate::domain::limits;
use actix_web::rt::task::JoinHandle;
use actix_web::web;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// Runs what `begin` begins until it ends by itself. One that panics is a concern for a while, and is begun anew after
/// [`limits::TASK_PAUSE_S`].
pub(super) fn keep_up<F: Future<Output = ()> + 'static>(
    app: &web::Data<App>,
    task: &'static str,
    begin: impl Fn(web::Data<App>) -> F + 'static,
) -> JoinHandle<()> {
    let app = app.clone();
    actix_web::rt::spawn(async move {
        let panicked = || {
            app.condition.note_failed_task(Instant::now());
            tracing::error!(task, "a task of the server's panicked, which is a bug; it is begun anew");
        };
        run(Duration::from_secs(limits::TASK_PAUSE_S), panicked, || begin(app.clone())).await;
    })
}

async fn run<F: Future<Output = ()>>(pause: Duration, panicked: impl Fn(), begin: impl Fn() -> F) {
    // What it leaves half done is behind locks that bear that, as after the panic of a request.
    while AssertUnwindSafe(async { begin().await }).catch_unwind().await.is_err() {
        panicked();
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[actix_web::test]
    async fn a_task_that_panics_is_told_of_and_begun_anew_until_it_ends_by_itself() {
        let (begun, told) = (Cell::new(0), Cell::new(0));
        let begin = || {
            begun.set(begun.get() + 1);
            let is_well = begun.get() > 2;
            async move {
                tokio::task::yield_now().await;
                assert!(is_well, "a panic that is meant");
            }
        };
        run(Duration::ZERO, || told.set(told.get() + 1), begin).await;
        assert_eq!((begun.get(), told.get()), (3, 2));
    }
}
